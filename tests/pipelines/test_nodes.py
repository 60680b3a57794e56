"""Nodes that only pass on what the science found: nothing gets lost on the way."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import EvaluationOptions
from lvo_kedro.pipelines.evaluation.nodes import (
    check_study_design,
    list_quality_findings,
    measure_points,
)
from lvo_kedro.pipelines.localization_training.nodes import LocalizationOptions, tabulate_calls


def cases(records: dict) -> SimpleNamespace:
    return SimpleNamespace(records=lambda field: {n: r[field] for n, r in records.items()})


def test_an_implausible_vessel_stands_in_the_quality_table() -> None:
    fine = {"quality": {"findings": []}}
    calls = {"a": {"call": {"vessel_findings": ["left M1 not found"]}}}
    table = list_quality_findings(cases({"a": fine}), cases({"a": fine}), cases(calls))
    assert table.to_dict("records") == [
        {"case_id": "a", "stage": "vessels", "finding": "left M1 not found"}
    ]


def network_call(called: bool) -> dict:
    return {
        "called_side": "left" if called else "",
        "called_segment": "M1" if called else "",
        "best_side": "left",
        "best_segment": "M1",
        "confidence": 0.5,
        "finding": "left M1",
        "point_mm": [1.0, 2.0, 3.04],
    }


@pytest.mark.parametrize("called", [True, False])
@pytest.mark.parametrize("guess", [True, False])
def test_a_call_comes_with_a_point_and_no_call_with_none(
    called: bool, guess: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = "lvo_kedro.pipelines.localization_training.nodes"
    monkeypatch.setattr(f"{nodes}._density_call", lambda *_: network_call(True))
    cohort = pd.DataFrame({"case_id": ["a"], "patient_id": ["p"], "split": "external", "lvo": 1})
    table = tabulate_calls(
        cases({"a": {"call": network_call(called)}}),
        {"a": {"densities": None}},
        {"all": None},
        cohort,
        pd.DataFrame({"patient_id": [], "fold": []}),
        LocalizationOptions(guess=guess),
    )
    named = bool(called or guess)
    assert (table["called_side"].iloc[0] == "left") == named
    point = table[["point_x", "point_y", "point_z"]].to_numpy()[0]
    assert np.array_equal(point, [1.0, 2.0, 3.0] if named else [np.nan] * 3, equal_nan=True)
    truth = {"a": {"truth": {"centre_mm": [1.0, 2.0, 6.0]}}}
    measured = measure_points(table, cases(truth)).iloc[0]
    error = measured["point_error_mm"]
    assert error == pytest.approx(3.0) if named else np.isnan(error)
    assert measured["clot_annotated"] == 1
    assert measure_points(table, cases({"a": {"truth": {}}})).iloc[0]["clot_annotated"] == 0


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Any]:
    """Four development patients in two folds, two external ones, and what their models record."""
    names = ["a", "b", "c", "d", "x", "y"]
    cohort = pd.DataFrame({"case_id": names, "patient_id": [f"p{name}" for name in names]})
    cohort["split"] = ["development"] * 4 + ["external"] * 2
    cohort["site"] = ["here"] * 4 + ["there"] * 2
    folds = pd.DataFrame({"patient_id": ["pa", "pb", "pc", "pd"], "fold": [0, 0, 1, 1]})
    train = {0: ["c", "d"], 1: ["a", "b"]}
    of_case = dict.fromkeys("ab", train[0]) | dict.fromkeys("cd", train[1])
    for fold, known in train.items():
        (tmp_path / f"fold_{fold}").mkdir()
        training = {"options": {"selection": "last"}, "train": known, "chosen_on": known}
        (tmp_path / f"fold_{fold}" / "model.json").write_text(json.dumps({"training": training}))
    return {
        "cohort": cohort,
        "folds": folds,
        "scans": {name: {"quality": {"content_hash": name}} for name in names},
        "vessels": {name: {"provenance": {"trained_on": t}} for name, t in of_case.items()},
        "detection_scores": cohort.assign(fold=[0, 0, 1, 1, np.nan, np.nan]),
        "occlusions": {name: {"call": {"trained_on": t}} for name, t in of_case.items()},
        "detectors": {
            f"fold_{fold}": SimpleNamespace(folder=tmp_path / f"fold_{fold}") for fold in train
        },
    }


def study_findings(study: dict[str, Any], **options: Any) -> pd.DataFrame:
    stored = {name: cases(study[name]) for name in ("scans", "vessels", "occlusions")}
    return check_study_design(**study | stored, options=EvaluationOptions(**options))


def test_a_sound_study_goes_on_and_so_does_one_with_warnings_alone(study: dict[str, Any]) -> None:
    assert study_findings(study).empty
    study["cohort"]["site"] = "here"
    assert study_findings(study)["severity"].tolist() == ["warning"]


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        ("copy", ("duplicated_scan", "(cases a, x)", "take the copies out of the cohort table")),
        ("patient", ("patient_in_two_splits", "(cases a, x)", "correct the column split")),
        ("fold", ("not_out_of_fold", "predictions of segmentation", "train segmentation again")),
    ],
)
def test_a_leak_stops_the_run_unless_it_is_allowed(
    study: dict[str, Any], leak: str, named: tuple[str, ...]
) -> None:
    if leak == "copy":
        study["scans"]["x"] = study["scans"]["a"]
    elif leak == "patient":
        study["cohort"].loc[study["cohort"]["case_id"] == "x", "patient_id"] = "pa"
    else:
        study["vessels"]["a"] = study["vessels"]["c"]
    with pytest.raises(TableError, match="make the figures invalid") as caught:
        study_findings(study)
    assert all(words in str(caught.value) for words in (*named, "evaluation.allow_errors=true"))
    allowed = study_findings(study, allow_errors=True)
    assert allowed["check"].tolist() == ["errors_allowed", named[0]]
    assert (allowed["severity"] == "error").all()
    assert "not valid" in allowed["message"].iloc[0]


def test_a_fold_whose_cases_all_failed_in_a_stage_is_no_leak(study: dict[str, Any]) -> None:
    for name in ("a", "b"):
        del study["vessels"][name]
    assert study_findings(study).empty

"""Nodes that only pass on what the science found: nothing gets lost on the way."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import EvaluationOptions
from lvo_kedro.localization import LocalizationOptions, measure_points
from lvo_kedro.pipelines.evaluation.nodes import check_study_design, list_quality_findings
from lvo_kedro.pipelines.localization_training.nodes import tabulate_calls


def cases(records: dict) -> SimpleNamespace:
    return SimpleNamespace(records=lambda field: {n: r[field] for n, r in records.items()})


def test_an_implausible_vessel_stands_in_the_quality_table() -> None:
    fine = {"quality": {"findings": []}}
    found = {"a": ["left M1 not found"]}
    table = list_quality_findings(cases({"a": fine}), cases({"a": fine}), found)
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
@pytest.mark.parametrize("force_call", [True, False])
def test_a_call_comes_with_a_point_and_no_call_with_none(
    called: bool, force_call: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = "lvo_kedro.pipelines.localization_training.nodes"
    monkeypatch.setattr(f"{nodes}.call_by_densities", lambda *_: network_call(True))
    cohort = pd.DataFrame({"case_id": ["a"], "patient_id": ["p"], "split": "external", "lvo": 1})
    table = tabulate_calls(
        cases({"a": {"call": network_call(called)}}),
        {"a": {"densities": None}},
        {"all": None},
        cohort,
        LocalizationOptions(force_call=force_call),
    )
    named = bool(called or force_call)
    assert (table["called_side"].iloc[0] == "left") == named
    point = table[["point_x", "point_y", "point_z"]].to_numpy()[0]
    assert np.array_equal(point, [1.0, 2.0, 3.0] if named else [np.nan] * 3, equal_nan=True)
    measured = measure_points(table, {"a": (1.0, 2.0, 6.0)}).iloc[0]
    error = measured["point_error_mm"]
    assert error == pytest.approx(3.0) if named else np.isnan(error)
    assert measured["clot_annotated"] == 1
    assert measure_points(table, {}).iloc[0]["clot_annotated"] == 0


@pytest.fixture
def study() -> dict[str, Any]:
    """Four development patients in two folds, two external ones, and what their models record."""
    names = ["a", "b", "c", "d", "x", "y"]
    cohort = pd.DataFrame({"case_id": names, "patient_id": [f"p{name}" for name in names]})
    cohort["split"] = ["development"] * 4 + ["external"] * 2
    cohort["site"] = ["here"] * 4 + ["there"] * 2
    cohort["fold"] = [0, 0, 1, 1, np.nan, np.nan]
    trained = {"fold_0": ["c", "d"], "fold_1": ["a", "b"]}
    models = {name: {"trained_on": known, "chosen_on": []} for name, known in trained.items()}
    networks = {case: [f"fold_{case in 'cd':d}"] for case in "abcd"}
    stage = {"models": models, "networks": networks}
    return {
        "cohort": cohort,
        "scans": {name: {"quality": {"content_hash": name}} for name in names},
        "stages": {
            "segmentation": copy.deepcopy(stage),
            "detection": {"models": models, "scores": cohort.copy()},
            "localization": copy.deepcopy(stage),
        },
    }


def study_findings(study: dict[str, Any], **options: Any) -> pd.DataFrame:
    scans = cases(study["scans"])
    return check_study_design(**study | {"scans": scans}, options=EvaluationOptions(**options))


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
        study["stages"]["segmentation"]["networks"]["a"] = ["fold_1"]
    with pytest.raises(TableError, match="make the figures invalid") as caught:
        study_findings(study)
    assert all(words in str(caught.value) for words in (*named, "evaluation.allow_errors=true"))
    allowed = study_findings(study, allow_errors=True)
    assert allowed["check"].tolist() == ["errors_allowed", named[0]]
    assert (allowed["severity"] == "error").all()
    assert "not valid" in allowed["message"].iloc[0]


def test_a_fold_whose_cases_all_failed_in_a_stage_is_no_leak(study: dict[str, Any]) -> None:
    for name in ("a", "b"):
        del study["stages"]["segmentation"]["networks"][name]
    assert study_findings(study).empty

"""Nodes that put together what the science found: nothing gets lost on the way."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.detection import DetectionOptions, TrainingOptions
from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import NOT_BEGUN, WITHOUT_CONTROLS, EvaluationOptions
from lvo_kedro.localization import BaselineOptions, LocalizationOptions, measure_points
from lvo_kedro.localization.baseline import WEIGHED
from lvo_kedro.pipelines.detection_training.nodes import (
    network_tasks,
    side_model_tasks,
    train_detectors,
)
from lvo_kedro.pipelines.evaluation.nodes import check_design, count_errors
from lvo_kedro.pipelines.evaluation.report_nodes import _caption
from lvo_kedro.pipelines.localization_training.nodes import (
    draw_occlusions,
    fit_density_baselines,
    tabulate_calls,
)
from lvo_kedro.stages import align_annotations
from tests.features.conftest import measured


class cases(dict):
    """Computed cases, as a dataset gives them."""

    def records(self, field: str) -> dict:
        return {name: record[field] for name, record in self.items()}


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
        cases({"a": {"arteries": None, "score": {"likely_side": ""}}}),
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


@pytest.mark.parametrize("side", ["detection", "own"])
def test_the_side_that_detection_finds_is_kept_where_asked_for(side, monkeypatch) -> None:
    """The network of stage 3 would name the left one, and the right one if only that counts."""
    nodes = "lvo_kedro.pipelines.localization_training.nodes"
    monkeypatch.setattr(f"{nodes}.call_by_densities", lambda *_: network_call(True))
    cohort = pd.DataFrame({"case_id": ["a"], "patient_id": ["p"], "split": "external", "lvo": 1})
    own = network_call(True)
    call = own | {"on_left": own, "on_right": own | {"best_side": "right", "best_segment": "M2"}}
    table = tabulate_calls(
        cases({"a": {"call": call}}),
        cases({"a": {"arteries": None, "score": {"likely_side": "right"}}}),
        {"all": None},
        cohort,
        LocalizationOptions(side=side),
    )
    expected = ("right", "M2") if side == "detection" else ("left", "M1")
    assert tuple(table[["called_side", "called_segment"]].iloc[0]) == expected


def sound_study() -> tuple[pd.DataFrame, dict[str, str], dict[str, Any]]:
    """Cohort, hashes of scans and stages of two patients in two folds, without a leak."""
    cohort = pd.DataFrame({"case_id": ["a", "b"], "patient_id": ["p", "q"], "fold": [0, 1]})
    cohort = cohort.assign(split="development", site="here")
    models = {"fold_0": {"trained_on": ["b"], "chosen_on": []}}
    models["fold_1"] = {"trained_on": ["a"], "chosen_on": []}
    stage = {"models": models, "networks": {"a": ["fold_0"], "b": ["fold_1"]}, "scores": cohort}
    stages: Any = dict.fromkeys(("segmentation", "detection", "localization"), stage)
    stages["detection"] = stage | {"calibration": {"all": {}, "folds": {}}}
    return cohort, {"a": "a", "b": "b"}, stages


def test_what_the_stages_record_is_what_is_checked_for_leaks() -> None:
    cohort, hashes, stages = sound_study()
    stage = stages["localization"]
    options = EvaluationOptions(allow_errors=True)
    found = check_design(cohort, hashes, stages, options)
    assert found["check"].tolist() == ["no_external_split"]
    stages["localization"] = stage | {"networks": {"a": ["fold_1"]}}
    found = check_design(cohort, hashes, stages, options)
    assert found["check"].tolist() == ["errors_allowed", "no_external_split", "not_out_of_fold"]
    assert found["cases"].tolist()[-1] == "a"
    hashes = dict.fromkeys("ab", "same")
    assert "duplicated_scan" in set(check_design(cohort, hashes, stages, options)["check"])


def test_a_detector_that_did_not_begin_is_an_error_and_does_not_stop_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cohort, hashes, stages = sound_study()
    assert count_errors(check_design(cohort, hashes, stages, EvaluationOptions())) == {
        "errors": 0,
        NOT_BEGUN: 0,
    }
    models = copy.deepcopy(stages["detection"]["models"])
    models["fold_0"] |= {"train_loss": 0.69, "chance_loss": 0.6931}
    models["fold_1"] |= {"train_loss": 0.2, "chance_loss": 0.6931}
    stages["detection"] = stages["detection"] | {"models": models}
    found = check_design(cohort, hashes, stages, EvaluationOptions())
    assert found["check"].tolist() == ["no_external_split", NOT_BEGUN]
    assert found["severity"].tolist() == ["note", "error"]
    assert count_errors(found) == {"errors": 1, NOT_BEGUN: 1}
    assert "fold_0: training loss 0.69" in caplog.text


def test_that_there_were_no_controls_to_learn_from_is_a_warning() -> None:
    cohort, hashes, stages = sound_study()
    stages["detection"] = stages["detection"] | {"calibration": {"controls": False}}
    found = check_design(cohort, hashes, stages, EvaluationOptions())
    assert found["check"].tolist() == ["no_external_split", WITHOUT_CONTROLS]
    assert found["severity"].tolist() == ["note", "warning"]


def test_networks_and_clinical_values_need_controls() -> None:
    cohort = cohort_with_nameless()
    occluded = cohort[cohort["lvo"] == 1]
    for options in (DetectionOptions(), DetectionOptions(network=False, clinical=("nihss",))):
        with pytest.raises(TableError, match="no development case without an occlusion"):
            train_detectors(cases({}), cases({}), cases({}), occluded, options, TrainingOptions())


def test_a_leak_stops_the_run_whatever_the_detectors_learnt() -> None:
    cohort, hashes, stages = sound_study()
    stages["localization"] = stages["localization"] | {"networks": {"a": ["fold_1"]}}
    with pytest.raises(TableError, match="not_out_of_fold"):
        check_design(cohort, hashes, stages, EvaluationOptions())


TRUTHS = [
    ("left", "M1"),
    ("right", "M2"),
    ("right", "M1"),
    ("left", "C7"),
    ("both", "M1"),
    ("unknown", "M2"),
    ("left", "other"),
    ("unknown", "unknown"),
    ("", ""),
    ("", ""),
]


def cohort_with_nameless() -> pd.DataFrame:
    """Four occlusions that stage 3 can name, four that it cannot, and two open cases."""
    table = pd.DataFrame(TRUTHS, columns=["side", "segment"])
    table["case_id"] = table["patient_id"] = [f"c{n}" for n in range(len(table))]
    table["lvo"] = (table["segment"] != "").astype(int)
    return table.assign(split="development", fold=table.index % 2, nihss=5.0, age=70.0)


def test_detectors_learn_from_every_occlusion_and_from_no_side_but_left_and_right() -> None:
    cohort = cohort_with_nameless()
    stored = cases(dict.fromkeys(cohort["case_id"], SimpleNamespace()))
    stored["c0"].options = {"options": {"grid": "brain", "frame": "midline"}}
    tasks = network_tasks(
        stored, stored, cohort, TrainingOptions(target="sides", augmentation={"flip": 0})
    )
    taught = tasks["fold_0"]
    assert sum(taught.args[1].values()) == 8
    named = {"c0": "left", "c1": "right", "c2": "right", "c3": "left", "c6": "left"}
    assert taught.keywords["sides"] == named
    labels = side_model_tasks(stored, cohort, DetectionOptions())["fold_0_sides"].args[1]
    assert labels["case_id"].tolist() == ["c1", "c3", "c5", "c7", "c9"]
    assert labels["lvo"].tolist() == [1, 1, 1, 1, 0]


def test_the_density_baseline_does_not_learn_from_occlusions_without_a_name() -> None:
    cohort = cohort_with_nameless()
    rng, arteries = np.random.default_rng(0), measured(("M1",)).arteries
    scores = cases(
        {
            case: {"arteries": arteries.assign(**{n: rng.normal(0, 5, 6) for n in WEIGHED})}
            for case in cohort["case_id"]
        }
    )
    nameable = cohort[~cohort["case_id"].isin(["c4", "c5", "c6", "c7"])]
    fitted = fit_density_baselines(scores, cohort, BaselineOptions())
    assert fitted == fit_density_baselines(scores, nameable, BaselineOptions())


def test_an_annotation_is_checked_for_its_side_only_where_there_is_one() -> None:
    cohort = cohort_with_nameless().assign(vessel_labels="v.nii", occlusion_mask="")
    scans = cases(dict.fromkeys(cohort["case_id"]))
    tasks = align_annotations(cohort, scans, "vessel_labels")
    sides = [task.args[3] for task in tasks.values()]
    assert sides == ["left", "right", "right", "left", None, None, "left", None, None, None]
    assert {task.args[1] for task in tasks.values()} == {Path("v.nii")}


def test_only_open_cases_are_drawn_without_a_clot() -> None:
    cohort = cohort_with_nameless()
    projections = cases(dict.fromkeys(cohort["case_id"]))
    assert list(draw_occlusions(projections, cases({}), projections, cohort)) == ["c8", "c9"]


@pytest.mark.parametrize(
    ("side", "segment", "words"),
    [
        ("left", "M1", "truth: left M1;"),
        ("both", "M1", "truth: side both, segment M1;"),
        ("unknown", "other", "truth: side unknown, segment other;"),
    ],
)
def test_a_caption_says_what_is_known(side: str, segment: str, words: str) -> None:
    row = {"side": side, "segment": segment, "lvo": 1, "kind": "detected", "probability": 0.9}
    row |= {"called_side": "left", "called_segment": "M1"}
    told = _caption(row, with_probability=True)
    assert words in told
    assert told == _caption(row, with_probability=False) + "; probability 0.90"

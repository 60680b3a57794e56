"""Nodes that put together what the science found: nothing gets lost on the way."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import NOT_BEGUN, EvaluationOptions
from lvo_kedro.localization import LocalizationOptions, measure_points
from lvo_kedro.pipelines.evaluation.nodes import check_design, count_errors
from lvo_kedro.pipelines.localization_training.nodes import tabulate_calls


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


def test_a_leak_stops_the_run_whatever_the_detectors_learnt() -> None:
    cohort, hashes, stages = sound_study()
    stages["localization"] = stages["localization"] | {"networks": {"a": ["fold_1"]}}
    with pytest.raises(TableError, match="not_out_of_fold"):
        check_design(cohort, hashes, stages, EvaluationOptions())

"""Nodes that only pass on what the science found: nothing gets lost on the way."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.localization import LocalizationOptions, measure_points
from lvo_kedro.pipelines.evaluation.nodes import list_quality_findings
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
@pytest.mark.parametrize("guess", [True, False])
def test_a_call_comes_with_a_point_and_no_call_with_none(
    called: bool, guess: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = "lvo_kedro.pipelines.localization_training.nodes"
    monkeypatch.setattr(f"{nodes}.call_by_densities", lambda *_: network_call(True))
    cohort = pd.DataFrame({"case_id": ["a"], "patient_id": ["p"], "split": "external", "lvo": 1})
    table = tabulate_calls(
        cases({"a": {"call": network_call(called)}}),
        {"a": {"densities": None}},
        {"all": None},
        cohort,
        LocalizationOptions(guess=guess),
    )
    named = bool(called or guess)
    assert (table["called_side"].iloc[0] == "left") == named
    point = table[["point_x", "point_y", "point_z"]].to_numpy()[0]
    assert np.array_equal(point, [1.0, 2.0, 3.0] if named else [np.nan] * 3, equal_nan=True)
    measured = measure_points(table, {"a": (1.0, 2.0, 6.0)}).iloc[0]
    error = measured["point_error_mm"]
    assert error == pytest.approx(3.0) if named else np.isnan(error)
    assert measured["clot_annotated"] == 1
    assert measure_points(table, {}).iloc[0]["clot_annotated"] == 0

"""Which side a map points to, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import evaluate_explanations

SCORES = pd.DataFrame(
    {
        "case_id": list("abcdef"),
        "lvo": [1, 1, 1, 1, 0, 1],
        "side": ["left", "right", "left", "right", "", "left"],
        "call_youden": [1, 1, 1, 1, 1, 0],
    }
)
SIDES = {
    "a": {"left": 2.0, "right": 1.0},  # right
    "b": {"left": 2.0, "right": 1.0},  # wrong
    "c": {"left": 0.0, "right": 0.0},  # empty: wrong
    "d": {"left": 1.0, "right": 3.0},  # right
    "e": {"left": 1.0, "right": 3.0},  # no occlusion
    "f": {"left": 9.0, "right": 3.0},  # not detected
}


def test_true_positives_are_counted():
    row = evaluate_explanations(SCORES, SIDES).iloc[0]
    assert (row["operating_point"], row["value"], row["n"]) == ("youden", 0.5, 4)
    assert row["low"] == pytest.approx(0.150, abs=1e-3)  # Wilson, 2 of 4
    assert row["high"] == pytest.approx(0.850, abs=1e-3)


def test_cases_without_a_map_are_not_counted():
    some = {case: SIDES[case] for case in "ad"}
    assert evaluate_explanations(SCORES, some).iloc[0][["value", "n"]].tolist() == [1.0, 2]
    assert evaluate_explanations(SCORES, {}).empty


def test_occlusions_of_no_one_side_are_not_counted():
    some = SCORES.assign(side=["both", "right", "unknown", "right", "", "left"])
    assert evaluate_explanations(some, SIDES).iloc[0][["value", "n"]].tolist() == [0.5, 2]


def test_a_table_without_sides_is_refused():
    with pytest.raises(TableError, match="side"):
        evaluate_explanations(SCORES.drop(columns="side"), SIDES)

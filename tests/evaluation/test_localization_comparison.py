"""Two ways of naming the same occlusions, by hand."""

from __future__ import annotations

import pytest
from statsmodels.stats.contingency_tables import mcnemar

from lvo_kedro.evaluation import (
    EvaluationOptions,
    compare_locations,
    compare_methods,
)
from tests.evaluation.test_localization import tables
from tests.synthetic_study import make_study

FAST = EvaluationOptions(resamples=200)
HALF = {"half": 0.5}


def test_named_occlusions_of_two_runs_by_hand() -> None:
    calls, scores = tables()
    # b is now on its right side, a on the wrong one, d is named, e is detected
    other = calls.set_index("case_id")
    other.loc["b", "called_side"] = "left"
    other.loc["a", "called_side"] = "right"
    other.loc["d", ["called_side", "called_segment"]] = ["right", "C7"]
    lower = scores.assign(probability=scores["probability"].where(scores["case_id"] != "e", 0.9))
    both = (calls, other.reset_index()), (scores, lower)
    table, moved = compare_locations(*both, (HALF, HALF), FAST)
    row = table.set_index(["scope", "metric"]).loc
    side = row[("all_lvo", "side_accuracy")]  # A: a c e right; B: b c d e right
    assert (side["only_a_correct"], side["only_b_correct"], side["n"]) == (1, 2, 5)
    assert side["value"] == pytest.approx(-1 / 5)
    found = row[("end_to_end", "side_accuracy")]  # A: a c; B: b c d e
    assert (found["only_a_correct"], found["only_b_correct"]) == (1, 3)
    expected = mcnemar([[1, 1], [3, 0]], exact=True).pvalue
    assert found["p_value"] == pytest.approx(expected)
    assert moved["case_id"].tolist() == ["a", "b", "d"]
    assert moved["right"].tolist() == ["A", "B", "B"]
    assert moved["called_a"].tolist() == ["left M1", "right M1", "none"]


def test_an_occlusion_that_one_or_both_runs_could_not_locate_counts_as_wrong() -> None:
    study = make_study(40)
    right = study.calls.assign(
        called_side=study.calls["side"], called_segment=study.calls["segment"]
    )
    a, b, c = right.index[right["lvo"] == 1][:3]
    calls = right.drop(index=[a, b]), right.drop(index=[b, c])
    table, moved = compare_locations(calls, (study.scores, study.scores), ({}, {}), FAST)
    row = table.set_index("metric").loc["side_accuracy"]
    assert (row["n"], row["only_a_correct"], row["only_b_correct"]) == (20, 1, 1)
    assert moved["case_id"].tolist() == sorted(right.loc[[a, c], "case_id"])


def test_methods_within_one_run_stand_side_by_side_with_their_difference() -> None:
    calls, scores = tables()
    calls = calls.assign(
        network_side=calls["called_side"],
        network_segment=calls["called_segment"],
        densities_side=calls["side"],
        densities_segment=calls["segment"],
    )
    table = compare_methods(calls, scores, HALF, FAST).set_index(["by", "scope", "metric"])
    assert table.loc[("densities", "all_lvo", "segment_accuracy"), "value"] == 1
    assert table.loc[("densities", "end_to_end", "segment_accuracy"), "value"] == 4 / 5
    assert table.loc[("network", "all_lvo", "segment_accuracy"), "value"] == 3 / 5
    difference = table.loc[("network - densities", "all_lvo", "segment_accuracy")]
    assert difference["value"] == pytest.approx(-2 / 5)
    assert (table["n"] > 0).all()
    assert compare_methods(tables()[0], scores, HALF, FAST).empty

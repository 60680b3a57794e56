"""Two ways of naming occlusions, the cohort's flow, and which cases are looked at, by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import (
    EvaluationOptions,
    choose_cases,
    compare_locations,
    compare_methods,
    compare_runs,
    count_flow,
    fixed_points,
    require_same_cases,
)
from tests.evaluation.test_localization import tables
from tests.synthetic_study import OPERATING_POINTS, make_study

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
    assert (side["only_a_right"], side["only_b_right"], side["n"]) == (1, 2, 5)
    assert side["value"] == pytest.approx(-1 / 5)
    found = row[("end_to_end", "side_accuracy")]  # A: a c; B: b c d e
    assert (found["only_a_right"], found["only_b_right"]) == (1, 3)
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
    assert (row["n"], row["only_a_right"], row["only_b_right"]) == (20, 1, 1)
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


def test_runs_on_different_cases_are_refused_by_name() -> None:
    scores = make_study(30).scores
    with pytest.raises(TableError, match=r"2 only in run A \(dev000, dev001\)") as caught:
        require_same_cases(scores, scores.iloc[2:])
    assert "run B" not in str(caught.value)
    extra = scores.assign(case_id=scores["case_id"].replace("dev003", "new1"))
    with pytest.raises(
        TableError, match=r"1 only in run A \(dev003\) and 1 only in run B \(new1\)"
    ):
        require_same_cases(scores, extra)
    require_same_cases(scores, scores.sample(frac=1, random_state=0))


def test_each_run_is_read_at_its_own_operating_points() -> None:
    scores = make_study(60).scores
    same = compare_runs(scores, scores, {"p": 0.5}, {"p": 0.5}, FAST)
    other = compare_runs(scores, scores, {"p": 0.5}, {"p": 0.9}, FAST)
    assert same.changed.empty
    between = scores["probability"].between(0.5, 0.9, inclusive="left")
    assert len(other.changed) == between.sum() > 0
    assert set(same.curves["run"]) == {"A", "B"}


def test_operating_points_of_a_split() -> None:
    part = {"operating_points": {"p": 0.3}, "fitted_on": ["a", "b"]}
    calibration = {"all": part, "folds": {"0": part, "1": part | {"operating_points": {"p": 0.4}}}}
    assert fixed_points(calibration, "external") == ({"p": 0.3}, ["a", "b"])
    points, fitted = fixed_points(calibration, "development")
    assert points == {"p": {0: 0.3, 1: 0.4}}
    assert fitted == {0: ["a", "b"], 1: ["a", "b"]}


def test_the_flow_accounts_for_every_case() -> None:
    cohort = pd.DataFrame({"case_id": list("abcdef")})
    scores = pd.DataFrame({"case_id": list("abc"), "lvo": [1, 0, 1]})
    exclusions = pd.DataFrame(
        {
            "case_id": ["d", "d", "e", "elsewhere"],
            "stage": ["scans", "priors", "scans", "scans"],
            "error": "found no head; expected one; look",
        }
    )
    flow = count_flow(cohort, scores, exclusions)
    assert flow.to_numpy().tolist() == [
        ["in the cohort", "", 6],
        ["excluded", "scans: no head", 2],
        ["without a score", "", 1],
        ["evaluated", "", 3],
        ["with LVO", "", 2],
    ]
    assert count_flow(cohort, scores)["count"].tolist() == [6, 3, 3, 2]


def test_pictures_are_given_to_the_worst_of_both_kinds_first() -> None:
    failures = pd.DataFrame(
        {
            "case_id": ["n1", "n2", "n3", "p1"],
            "kind": ["false negative"] * 3 + ["false positive"],
            "rank": [1, 2, 3, 1],
        }
    )
    scores = pd.DataFrame(
        {
            "case_id": ["n1", "n2", "n3", "p1", "t1", "t2", "t3"],
            "lvo": [1, 1, 1, 0, 1, 1, 1],
            "probability": [0.1, 0.2, 0.3, 0.9, 0.9, 0.8, 0.7],
        }
    )
    assert choose_cases(failures, scores, 4)["case_id"].tolist() == ["n1", "p1", "t1", "t3"]
    assert choose_cases(failures, scores, 4)["kind"].iloc[1] == "false positive"
    assert len(choose_cases(failures, scores, 20)) == 7
    assert choose_cases(failures, scores, 0).empty
    assert choose_cases(failures.iloc[:0], scores, 2)["case_id"].tolist() == ["t1", "n1"]


def test_operating_points_are_compared_by_common_names_only() -> None:
    scores = make_study(30).scores
    compared = compare_runs(scores, scores, OPERATING_POINTS, {"youden": 0.4}, FAST)
    assert set(compared.calls["operating_point"]) == {"youden"}

"""Two runs on the same cases: tests, changed calls, and what cannot be compared."""

from __future__ import annotations

import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import EvaluationOptions, compare_runs, require_same_cases
from tests.synthetic_study import OPERATING_POINTS, make_study

FAST = EvaluationOptions(resamples=200)


def test_two_runs_on_the_same_cases() -> None:
    good, poor = make_study(80), make_study(80, separation=1.2)
    comparison = compare_runs(good.scores, poor.scores, OPERATING_POINTS, options=FAST)
    summary = comparison.summary.set_index(["run", "metric"])
    difference = summary.loc[("A - B", "auc")]
    a, b = summary.loc[("A", "auc"), "value"], summary.loc[("B", "auc"), "value"]
    assert difference["value"] == pytest.approx(a - b)
    assert difference["p_value"] < 0.05
    row = comparison.calls.set_index(["operating_point", "metric"]).loc[("youden", "accuracy")]
    right_a = (good.scores["probability"] >= 0.5) == (good.scores["lvo"] == 1)
    right_b = (poor.scores["probability"] >= 0.5) == (poor.scores["lvo"] == 1)
    expected = mcnemar(pd.crosstab(right_a, right_b), exact=True).pvalue
    assert row["p_value"] == pytest.approx(expected)
    assert row["value"] == pytest.approx(right_a.mean() - right_b.mean())
    changed = comparison.changed.loc[comparison.changed["operating_point"] == "youden"]
    assert len(changed) == (right_a != right_b).sum()
    assert set(changed["right"]) <= {"A", "B"}


def test_tables_that_were_read_as_text_are_compared_as_numbers() -> None:
    good, poor = make_study(60).scores, make_study(60, separation=1.2).scores
    good.loc[0, "probability"] = 1e-5  # as text it would rank above 0.9
    expected = compare_runs(good, poor, OPERATING_POINTS, options=FAST)
    read = compare_runs(good.astype(str), poor.astype(str), OPERATING_POINTS, options=FAST)
    assert not expected.changed.empty
    pd.testing.assert_frame_equal(read.changed, expected.changed)
    pd.testing.assert_frame_equal(read.cases, expected.cases)


def test_a_run_equals_itself_and_lost_cases_are_said() -> None:
    scores = make_study(60).scores
    same = compare_runs(scores, scores, OPERATING_POINTS, options=FAST)
    assert same.summary["p_value"].dropna().tolist() == [1.0]
    assert same.changed.empty
    fewer = compare_runs(scores, scores.iloc[5:], OPERATING_POINTS, options=FAST)
    assert fewer.findings["check"].tolist() == ["only_in_run_a"]
    assert len(fewer.cases) == 55
    with pytest.raises(TableError, match="two different labels"):
        compare_runs(scores, scores.assign(lvo=1 - scores["lvo"]), options=FAST)
    with pytest.raises(TableError, match="without a case in common"):
        compare_runs(scores, scores.assign(case_id=scores["case_id"] + "x"), options=FAST)


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


def test_operating_points_are_compared_by_common_names_only() -> None:
    scores = make_study(30).scores
    compared = compare_runs(scores, scores, OPERATING_POINTS, {"youden": 0.4}, FAST)
    assert set(compared.calls["operating_point"]) == {"youden"}


def test_runs_on_occlusions_alone_have_no_areas_and_their_calls_are_compared() -> None:
    good, poor = (make_study(80, separation=s).scores.query("lvo == 1") for s in (2.0, 0.5))
    comparison = compare_runs(good, poor, OPERATING_POINTS, options=FAST)
    assert comparison.summary["value"].isna().all()
    assert set(comparison.summary["method"]) == {"only one class: no case without LVO"}
    assert comparison.curves.empty
    gained = (good["probability"] >= 0.5).mean() - (poor["probability"] >= 0.5).mean()
    assert comparison.metrics["sensitivity_difference_youden"] == pytest.approx(gained)
    assert not {"auc_a", "auc_difference", "specificity_difference_youden"} & {*comparison.metrics}

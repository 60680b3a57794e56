"""Localization and vessels against tables made by hand; two runs compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import (
    EvaluationOptions,
    compare_runs,
    evaluate_localization,
    evaluate_vessels,
)
from lvo_kedro.evaluation.localization import weighted_quantile
from lvo_kedro.evaluation.vessels import LARGE_VESSELS
from tests.synthetic_study import OPERATING_POINTS, make_study

FAST = EvaluationOptions(resamples=200)

# case, probability, true side and segment, called side and segment, distance
ROWS = [
    ("a", 0.9, "left", "M1", "left", "M1", 4.0),
    ("b", 0.8, "left", "M1", "right", "M1", 80.0),
    ("c", 0.7, "right", "M2", "right", "M1+M2", 6.0),
    ("d", 0.6, "right", "C7", "", "", np.nan),
    ("e", 0.2, "left", "C7+M1", "left", "C7+M1", 3.0),  # not detected at 0.5
    ("f", 0.1, "", "", "", "", np.nan),
    ("g", 0.8, "", "", "left", "M1", np.nan),
]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    names = ["case_id", "probability", "side", "segment", "called_side", "called_segment"]
    table = pd.DataFrame(ROWS, columns=[*names, "point_error_mm"])
    table["patient_id"] = table["case_id"]
    table["lvo"] = [1] * 5 + [0] * 2
    calls = table[["case_id", *names[2:], "point_error_mm"]]
    return calls, table[["case_id", "patient_id", "lvo", "probability"]]


def figure(table: pd.DataFrame, metric: str, scope: str, segment: str | None = "all") -> tuple:
    part = table.loc[(table["metric"] == metric) & (table["scope"] == scope)]
    if segment is not None:
        part = part.loc[part["segment"] == segment]
    (row,) = part.to_dict("records")
    return row["value"], row["n"]


def test_side_and_segment_by_hand() -> None:
    result = evaluate_localization(*tables(), {"half": 0.5}, FAST)
    summary = result.summary
    assert figure(summary, "segment_accuracy", "end_to_end") == (2 / 5, 5)
    assert figure(summary, "segment_accuracy", "given_detection") == (2 / 4, 4)
    assert figure(summary, "segment_accuracy", "all_lvo") == (3 / 5, 5)
    assert figure(summary, "side_accuracy", "end_to_end") == (2 / 5, 5)
    assert figure(summary, "side_accuracy", "given_detection") == (2 / 4, 4)
    assert figure(summary, "side_and_segment_accuracy", "end_to_end") == (1 / 5, 5)
    assert figure(summary, "adjoining_segment_accuracy", "end_to_end") == (3 / 5, 5)
    assert figure(summary, "segment_accuracy", "end_to_end", "M1") == (1, 2)
    # Shares by class: M1 1, M2 0, C7 0, C7+M1 0 (not detected); M1+M2 does not occur.
    assert figure(summary, "balanced_accuracy", "end_to_end")[0] == pytest.approx(1 / 4)
    assert figure(summary, "balanced_accuracy", "given_detection")[0] == pytest.approx(1 / 3)


def test_confusion_matrix_by_hand() -> None:
    result = evaluate_localization(*tables(), {"half": 0.5}, FAST)
    counts = result.confusion.set_index(["scope", "truth", "called"])["count"]
    assert counts.loc[("end_to_end", "M1", "M1")] == 2
    assert counts.loc[("end_to_end", "M2", "M1+M2")] == 1
    assert counts.loc[("end_to_end", "C7", "none")] == 1
    assert counts.loc[("end_to_end", "C7+M1", "none")] == 1
    assert counts.loc[("all_lvo", "C7+M1", "C7+M1")] == 1
    assert counts.loc["end_to_end"].sum() == 5
    assert counts.loc["given_detection"].sum() == 4
    assert len(counts.loc["end_to_end"]) == 30


def test_distances_by_hand() -> None:
    points = evaluate_localization(*tables(), {"half": 0.5}, FAST).points
    assert figure(points, "median_mm", "end_to_end", None) == (6, 3)
    assert figure(points, "median_mm", "all_lvo", None) == (5, 4)
    assert figure(points, "median_if_right_mm", "end_to_end", None) == (4, 1)
    assert figure(points, "median_if_right_mm", "all_lvo", None) == (3.5, 2)
    assert figure(points, "within_5_mm", "end_to_end", None) == (1 / 5, 5)
    assert figure(points, "within_10_mm", "given_detection", None) == (2 / 4, 4)
    assert figure(points, "point_given", "end_to_end", None) == (3 / 5, 5)


def test_an_occlusion_without_an_annotated_clot_is_neither_near_nor_far() -> None:
    calls, scores = tables()
    calls.loc[calls["case_id"] == "a", "point_error_mm"] = np.nan
    apparent = evaluate_localization(calls, scores, {"half": 0.5}, FAST).points
    assert figure(apparent, "within_10_mm", "end_to_end", None) == (1 / 5, 5)
    calls["clot_annotated"] = (calls["case_id"] != "a").astype(int)
    points = evaluate_localization(calls, scores, {"half": 0.5}, FAST).points
    assert figure(points, "within_10_mm", "end_to_end", None) == (1 / 4, 4)
    assert figure(points, "point_given", "given_detection", None) == (2 / 3, 3)
    assert figure(points, "median_mm", "end_to_end", None) == (43, 2)


def test_weighted_quantile_is_numpys_median_and_respects_weights() -> None:
    values = np.array([5.0, 1.0, 3.0, 9.0])
    ones = np.ones((1, 4))
    assert weighted_quantile(values, ones, level=0.5)[0] == np.median(values)
    assert weighted_quantile(values, np.array([[0, 5, 0, 1.0]]), level=0.5)[0] == 1
    assert np.isnan(weighted_quantile(values, 0 * ones, level=0.5)[0])


def test_a_case_without_a_call_counts_as_wrong_and_needs_its_truth() -> None:
    calls, scores = tables()
    partial = calls.loc[calls["case_id"] != "a"]
    with pytest.raises(TableError, match="without a true side: a"):
        evaluate_localization(partial, scores, {"half": 0.5}, FAST)
    result = evaluate_localization(partial, scores, {"half": 0.5}, FAST, cohort=calls)
    assert figure(result.summary, "segment_accuracy", "end_to_end") == (1 / 5, 5)


def test_an_impossible_name_counts_as_none() -> None:
    calls, scores = tables()
    calls["called_segment"] = calls["called_segment"].replace("M1", "C7+M2")
    counts = evaluate_localization(calls, scores, {"half": 0.5}, FAST).confusion
    none = counts.loc[(counts["called"] == "none") & (counts["scope"] == "end_to_end"), "count"]
    assert none.sum() == 4


def test_no_lvo_is_refused_and_folds_are_shown() -> None:
    study = make_study(80)
    with pytest.raises(TableError, match="no case with LVO"):
        evaluate_localization(study.calls, study.scores.assign(lvo=0), OPERATING_POINTS, FAST)
    result = evaluate_localization(study.calls, study.scores, OPERATING_POINTS, FAST)
    assert set(result.folds["fold"]) == {"0", "1", "2", "3", "spread"}
    assert "side_accuracy_end_to_end_youden" in result.metrics
    assert "segment_accuracy_all_lvo" in result.metrics


def test_vessel_table_by_hand() -> None:
    metrics = pd.DataFrame(
        {
            "case_id": ["a", "a", "a", "b", "b", "b"],
            "split": "development",
            "label": ["C7", "M1", "M2"] * 2,
            "dice": [0.6, 0.8, 0.4, 0.8, 0.6, 0.0],
            "hd95_mm": [2.0, 3.0, 4.0, 4.0, 5.0, np.nan],  # nothing found to measure from
            "missing": [0, 0, 0, 0, 0, 1],
        }
    )
    table = evaluate_vessels(metrics, FAST).set_index(["label", "metric"])
    assert table.loc[("C7", "dice"), "value"] == pytest.approx(0.7)
    assert table.loc[(LARGE_VESSELS, "dice"), "value"] == pytest.approx((0.6 + 1.4 / 3) / 2)
    assert table.loc[("C7", "dice"), "sd"] == pytest.approx(0.2 / np.sqrt(2))
    assert table.loc[("C7", "hd95_mm"), "median"] == 3
    assert table.loc[("M2", "hd95_mm"), "n"] == 1
    together = table.loc[(LARGE_VESSELS, "hd95_mm")]
    assert (together["value"], together["n"]) == (3, 1)  # not 3.75 of two, M2 of b left out
    assert np.isnan(table.loc[("M2", "hd95_mm"), "sd"])
    assert table.loc[("M2", "missing"), "value"] == 0.5
    with pytest.raises(TableError, match="label"):
        evaluate_vessels(metrics.drop(columns="label"), FAST)


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

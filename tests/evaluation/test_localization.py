"""Localization and vessels against tables made by hand; two runs compared."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import (
    EvaluationOptions,
    compare_locations,
    evaluate_detection,
    evaluate_localization,
)
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
    assert figure(points, "median_if_correct_mm", "end_to_end", None) == (4, 1)
    assert figure(points, "median_if_correct_mm", "all_lvo", None) == (3.5, 2)
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


def test_without_lvo_nothing_is_estimable_and_folds_are_shown() -> None:
    study = make_study(80)
    none = evaluate_localization(study.calls, study.scores.assign(lvo=0), OPERATING_POINTS, FAST)
    assert none.summary["value"].isna().all()
    assert set(none.summary["method"]) >= {"no case"}
    result = evaluate_localization(study.calls, study.scores, OPERATING_POINTS, FAST)
    assert set(result.folds["fold"]) == {"0", "1", "2", "3", "spread"}
    assert "side_accuracy_end_to_end_youden" in result.metrics
    assert "segment_accuracy_all_lvo" in result.metrics


def with_nameless() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables by hand and four detected occlusions that stage 3 has no name for."""
    calls, scores = tables()
    words = [("left", "other"), ("both", "M1"), ("unknown", "M1"), ("unknown", "unknown")]
    more = pd.DataFrame(words, columns=["side", "segment"]).assign(case_id=list("wxyz"))
    more = more.assign(called_side="left", called_segment="M1", point_error_mm=1.0)
    scored = pd.DataFrame({"case_id": list("wxyz"), "lvo": 1, "probability": 0.95})
    scored = scored.assign(patient_id=scored["case_id"])
    return pd.concat([calls, more]), pd.concat([scores, scored])


def test_occlusions_without_a_name_of_stage_3_change_no_figure_of_it() -> None:
    own = evaluate_localization(*tables(), {"half": 0.5}, FAST)
    result = evaluate_localization(*with_nameless(), {"half": 0.5}, FAST)
    for name, table in own.tables().items():
        pd.testing.assert_frame_equal(result.tables()[name], table)
    calls, scores = with_nameless()
    truth = calls[["case_id", "side", "segment"]]  # also where the calls know nothing of them
    known = calls[~calls["case_id"].isin(list("wxyz"))]
    again = evaluate_localization(known, scores, {"half": 0.5}, FAST, cohort=truth)
    pd.testing.assert_frame_equal(again.summary, own.summary)


def test_with_no_other_occlusions_nothing_is_estimable() -> None:
    calls, scores = (t[t["case_id"].isin(list("fgwxyz"))] for t in with_nameless())
    result = evaluate_localization(calls, scores, {"half": 0.5}, FAST)
    accuracies = result.summary[result.summary["segment"] == "all"]
    assert accuracies["value"].isna().all()
    assert (accuracies["n"] == 0).all()
    assert result.metrics == {}
    table, moved = compare_locations((calls, calls), (scores, scores), ({}, {}), FAST)
    assert table["value"].isna().all()
    assert moved.empty


def test_detection_counts_them_and_shows_them_by_their_own_words() -> None:
    study = make_study(80)
    lvo = study.cohort.index[study.cohort["lvo"] == 1]
    cohort = study.cohort.copy()
    cohort.loc[lvo[:12], "segment"] = "other"
    cohort.loc[lvo[10:13], "side"] = "unknown"
    scores = study.scores.assign(likely_side="left")
    options = EvaluationOptions(resamples=100, minimum_cases=2)
    result = evaluate_detection(scores, cohort, OPERATING_POINTS, options)
    before = evaluate_detection(scores, study.cohort, OPERATING_POINTS, options)
    pd.testing.assert_frame_equal(result.summary, before.summary)  # all 40 occlusions, as ever
    groups = result.subgroups.set_index(["subgroup", "level", "metric"])["value"]
    assert groups[("segment", "other", "cases_with_lvo")] == 12
    assert groups[("side", "unknown", "cases_with_lvo")] == 3
    side = result.methods.set_index("metric").loc["likely_side_accuracy"]
    assert side["n"] == 37
    known = cohort.loc[cohort["side"].isin(["left", "right"]), "side"]
    assert side["value"] == pytest.approx((known == "left").mean())

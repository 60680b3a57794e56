"""The detectors side by side: areas counted by hand, and tables that lack some of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import EvaluationOptions, evaluate_detection, paired_delong
from lvo_kedro.evaluation.methods import CHOSEN, method_table
from lvo_kedro.evaluation.subgroups import TOO_FEW, UNKNOWN
from tests.synthetic_study import METHOD_COLUMNS, OPERATING_POINTS, make_study, value

OPTIONS = EvaluationOptions(resamples=100, minimum_cases=2)


def table_by_hand() -> pd.DataFrame:
    """Two occlusions of M1, one of M2 and one of an unknown segment; four cases without any."""
    return pd.DataFrame(
        {
            "lvo": [1, 1, 1, 1, 0, 0, 0, 0],
            "segment": ["M1", "M1", "M2", None, None, None, None, None],
            "side": ["left", "left", "right", "right", None, None, None, None],
            "likely_side": ["left", "right", "right", "right", "left", "left", "right", "left"],
            "logit_network": [3.0, -1.0, 0.5, 1.0, 0.0, 2.0, -2.0, 0.75],
            "logit_sides": [4.0, 3.0, 0.5, 2.0, 0.0, 1.0, -2.0, -1.0],
        }
    ).assign(logit=lambda t: t["logit_sides"])


def test_areas_by_method_and_segment_are_those_counted_by_hand() -> None:
    table = method_table(table_by_hand(), OPTIONS)

    def area(by: str, segment: str) -> float:
        return value(table, "auc", by=by, segment=segment)

    # pairs of an occlusion and a case without one, of 4 each: network 4 + 1 + 2 + 3 in order
    assert area("network", "all") == pytest.approx(10 / 16)
    assert area("network", "M1") == pytest.approx(5 / 8)
    assert area("network", "M2") == pytest.approx(2 / 4)
    assert area("network", UNKNOWN) == pytest.approx(3 / 4)
    assert area("sides", "all") == pytest.approx(15 / 16)
    assert area("sides", "M1") == 1
    assert area("sides", "M2") == pytest.approx(3 / 4)
    m2 = table[(table["by"] == "sides") & (table["segment"] == "M2")].iloc[0]
    assert (m2["n"], m2["remark"]) == (5, f"{TOO_FEW}: 1 with and 4 without LVO")
    assert not table.loc[table["segment"] == "M1", "remark"].any()


def test_the_difference_is_the_paired_one_to_the_network() -> None:
    scores = make_study(60).scores
    table = method_table(scores, OPTIONS)
    differences = table[table["metric"] == "auc_difference"].set_index("by")
    assert differences.index.tolist() == ["sides", "ensemble"]
    for by, row in differences.iterrows():
        test = paired_delong(scores["lvo"], scores[f"logit_{by}"], scores["logit_network"])
        areas = [value(table, "auc", by=name, segment="all") for name in (by, "network")]
        assert row["value"] == pytest.approx(areas[0] - areas[1])
        assert (row["low"], row["high"]) == (test.difference.low, test.difference.high)
        assert row["p_value"] == test.p_value
    assert table.loc[table["metric"] != "auc_difference", "p_value"].isna().all()


def test_the_side_is_counted_of_the_chosen_method_alone() -> None:
    table = method_table(table_by_hand(), OPTIONS)
    (row,) = table[table["metric"] == "likely_side_accuracy"].to_dict("records")
    assert (row["by"], row["value"], row["n"]) == ("sides", 3 / 4, 4)
    assert set(table.loc[table["chosen"] == CHOSEN, "by"]) == {"sides"}
    assert (row["low"], row["high"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)  # Wilson
    unknown = table_by_hand().assign(side=["left", "", "", "right", "", "", "", ""])
    assert value(method_table(unknown, OPTIONS), "likely_side_accuracy") == 1
    for untold in (
        table_by_hand().assign(likely_side=""),
        table_by_hand().drop(columns="likely_side"),
    ):
        (row,) = (
            method_table(untold, OPTIONS)
            .query("metric == 'likely_side_accuracy'")
            .to_dict("records")
        )
        assert math.isnan(row["value"])
        assert row["method"] == "the method tells no sides"


@pytest.mark.parametrize("chosen", ["network", "sides", "ensemble", "ensemble_clinical"])
def test_whose_score_counts_is_read_from_the_scores(chosen: str) -> None:
    scores = table_by_hand()
    both = scores["logit_sides"] + 0.25 * scores["logit_network"]
    scores = scores.assign(logit_ensemble=both, logit_ensemble_clinical=both + 0.5)
    table = method_table(scores.assign(logit=scores[f"logit_{chosen}"]), OPTIONS)
    assert set(table.loc[table["chosen"] == CHOSEN, "by"]) == {chosen}
    assert table["by"].nunique() == 4


def test_a_score_of_no_method_is_refused() -> None:
    scores = table_by_hand().assign(logit=lambda t: t["logit_sides"] + 1e-9)
    with pytest.raises(TableError, match=r"none of the methods.*logit_network, logit_sides"):
        method_table(scores, OPTIONS)


def test_absent_methods_have_no_rows() -> None:
    alone = method_table(table_by_hand().drop(columns="logit_network"), OPTIONS)
    assert set(alone["by"]) == {"sides"}
    assert (alone["chosen"] == CHOSEN).all()
    assert "auc_difference" not in set(alone["metric"])


def test_a_cohort_without_segments_says_so() -> None:
    for scores in (table_by_hand().drop(columns="segment"), table_by_hand().assign(segment=np.nan)):
        table = method_table(scores, OPTIONS)
        rows = table[table["segment"] == UNKNOWN]
        assert rows["value"].isna().all()
        assert rows["remark"].str.contains("not recorded|not in the cohort").all()
        assert set(table["segment"]) == {"all", UNKNOWN}


def test_score_tables_of_earlier_runs_are_the_networks() -> None:
    study = make_study(60, split="external")
    now = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    old = study.scores.drop(columns=METHOD_COLUMNS)
    before = evaluate_detection(old, study.cohort, OPERATING_POINTS, OPTIONS)
    assert set(before.methods["by"]) == {"network"}
    assert value(before.methods, "auc", segment="all") == before.metrics["auc"]
    assert before.metrics["auc_network"] == before.metrics["auc"]
    pd.testing.assert_frame_equal(before.summary, now.summary)
    bare = old.drop(columns=["logit", "probability_raw"])
    again = evaluate_detection(bare, study.cohort, OPERATING_POINTS, OPTIONS)
    assert value(again.methods, "auc", segment="all") == before.metrics["auc"]


def test_each_area_is_a_metric_with_its_limits() -> None:
    study = make_study(60)
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    for by in ("network", "sides", "ensemble"):
        rows = result.methods.query("by == @by and metric == 'auc' and segment == 'all'")
        found = [result.metrics[f"auc_{by}{ending}"] for ending in ("", "_low", "_high")]
        assert found == rows[["value", "low", "high"]].to_numpy()[0].tolist()
    assert "auc_ensemble_clinical" not in result.metrics

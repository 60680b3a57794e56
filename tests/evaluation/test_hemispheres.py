"""Occluded against opposite side: pairs counted by hand, patients as units, and what is no pair."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.evaluation import (
    EvaluationOptions,
    evaluate_detection,
    hemisphere_table,
    summarize_evaluation,
    wilson_interval,
)
from lvo_kedro.evaluation.hemispheres import AREA, RATE
from tests.synthetic_study import OPERATING_POINTS, make_study, value

OPTIONS = EvaluationOptions(resamples=200)
WHOLE = "the method scores whole cases, not sides"


def pairs(*rows: tuple[str, str, float, float], lvo: int = 1) -> pd.DataFrame:
    """Patient, side, utility of the left, utility of the right."""
    table = pd.DataFrame(rows, columns=["patient_id", "side", "utility_left", "utility_right"])
    return table.assign(lvo=lvo, case_id=[f"c{n}" for n in range(len(table))])


def row(table: pd.DataFrame, metric: str) -> pd.Series:
    return table.set_index("metric").loc[metric]


FOUR = pairs(
    ("p", "left", 3, 1), ("q", "right", 0, 2), ("r", "left", -1, 0.5), ("s", "right", 1, 4)
)


def test_pairs_and_hemispheres_are_those_counted_by_hand() -> None:
    table = hemisphere_table(FOUR, OPTIONS)
    rate, area = row(table, RATE), row(table, AREA)
    assert (rate["value"], rate["n"], rate["method"]) == (3 / 4, 4, "Wilson")
    expected = wilson_interval(3, 4)
    assert (rate["low"], rate["high"]) == (expected.low, expected.high)
    # occluded 3, 2, -1, 4 against opposite 1, 0, 0.5, 1: all of 3, 2 and 4 above, -1 below
    assert area["value"] == pytest.approx(12 / 16)
    assert area["n"] == 4
    assert area["low"] < 0.75 < area["high"]
    assert value(table, "scans_compared") == 4
    assert value(table, "side_not_compared") == 0


def test_the_area_pools_patients_and_the_rate_does_not() -> None:
    # each occluded side is above its own opposite one, and the patients lie far apart
    apart = pairs(*[(f"p{n}", "left", 10.0 * n + 1, 10.0 * n) for n in range(20)])
    table = hemisphere_table(apart, OPTIONS)
    assert value(table, RATE) == 1
    assert value(table, AREA) == pytest.approx((20 * 19 / 2 + 20) / 400)


def test_sides_are_not_exchanged() -> None:
    mirrored = FOUR.assign(
        side=FOUR["side"].map({"left": "right", "right": "left"}),
        utility_left=FOUR["utility_right"],
        utility_right=FOUR["utility_left"],
    )
    pd.testing.assert_frame_equal(
        hemisphere_table(mirrored, OPTIONS), hemisphere_table(FOUR, OPTIONS)
    )
    turned = FOUR.assign(side=mirrored["side"])
    table = hemisphere_table(turned, OPTIONS)
    assert (value(table, RATE), value(table, AREA)) == pytest.approx((1 / 4, 4 / 16))


def test_all_scans_of_a_patient_count_as_one() -> None:
    # one patient with nine wrong scans, three with a right one
    rows = [("p", "left", 0, 1)] * 9 + [(name, "right", 0, 1) for name in "qrs"]
    table = hemisphere_table(pairs(*rows), OPTIONS)
    rate, expected = row(table, RATE), wilson_interval(3, 4)
    assert (rate["value"], rate["n"]) == (3 / 4, 4)
    assert (rate["low"], rate["high"]) == (expected.low, expected.high)
    # occluded 0 (weight 1) and 1 (3) against opposite 1 (1) and 0 (3): 0.5 * 3 + 3 * 0.5 + 9
    assert value(table, AREA) == pytest.approx(12 / 16)
    assert value(table, "scans_compared") == 12


def test_a_tie_is_half_a_win_and_its_interval_is_the_bootstraps() -> None:
    table = hemisphere_table(
        pairs(("p", "left", 1, 1), ("q", "left", 2, 1), ("r", "left", 0, 1), ("s", "left", 5, 1)),
        OPTIONS,
    )
    rate = row(table, RATE)
    assert rate["value"] == pytest.approx(2.5 / 4)
    assert rate["method"].startswith("patient bootstrap")
    assert rate["low"] < 2.5 / 4 < rate["high"]
    ties = hemisphere_table(pairs(("p", "left", 1, 1), ("q", "right", 2, 2)), OPTIONS)
    assert (value(ties, RATE), value(ties, AREA)) == (0.5, 0.5)
    assert math.isnan(row(ties, RATE)["low"])  # all resamples agree: no width is not claimed


def test_where_all_are_told_the_intervals_have_a_width() -> None:
    table = hemisphere_table(pairs(*[(f"p{n}", "left", 2, 1) for n in range(20)]), OPTIONS)
    assert value(table, RATE) == value(table, AREA) == 1
    assert row(table, RATE)["low"] == pytest.approx(0.839, abs=1e-3)  # Wilson, 20 of 20
    assert 0.7 < row(table, AREA)["low"] < 1
    assert row(table, AREA)["method"].startswith("Newcombe score, patients counted")


def test_the_interval_of_the_area_covers_and_is_wider_with_copies_of_scans() -> None:
    generator = np.random.default_rng(0)
    own, opposite = generator.normal(1, 1, 60), generator.normal(0, 1, 60)
    sixty = [(f"p{n}", "left", own[n], opposite[n]) for n in range(60)]
    once = row(hemisphere_table(pairs(*sixty), OPTIONS), AREA)
    copied = row(hemisphere_table(pairs(*sixty * 4), OPTIONS), AREA)
    assert copied["value"] == pytest.approx(once["value"])
    assert copied["high"] - copied["low"] == pytest.approx(once["high"] - once["low"], abs=1e-9)
    as_patients = pairs(*[(f"{name}-{k}", *rest) for name, *rest in sixty for k in range(4)])
    apart = row(hemisphere_table(as_patients, OPTIONS), AREA)
    assert apart["high"] - apart["low"] < 0.7 * (once["high"] - once["low"])


@pytest.mark.parametrize("word", ["both", "unknown", "", None])
def test_occlusions_without_one_side_are_counted_and_not_compared(word: str | None) -> None:
    more = pairs(*FOUR.iloc[:, :4].itertuples(index=False), ("t", word, 0, 9))
    table = hemisphere_table(more, OPTIONS)
    assert value(table, RATE) == 3 / 4
    assert value(table, "side_not_compared") == 1
    alone = hemisphere_table(pairs(("t", word, 0, 9)), OPTIONS)
    assert row(alone, RATE)["method"] == "no occlusion whose side is left or right"


def test_cases_without_an_occlusion_take_no_part() -> None:
    both = pd.concat([FOUR, pairs(("x", "left", 9, 0), lvo=0)], ignore_index=True)
    pd.testing.assert_frame_equal(hemisphere_table(both, OPTIONS), hemisphere_table(FOUR, OPTIONS))
    none = hemisphere_table(pairs(("x", "", 9, 0), lvo=0), OPTIONS)
    assert row(none, RATE)["method"] == "no case with LVO"


@pytest.mark.parametrize("columns", [{"utility_left": np.nan, "utility_right": np.nan}, None])
def test_a_detector_of_whole_cases_has_none_and_says_why(columns: dict[str, float] | None) -> None:
    whole = FOUR.assign(**columns) if columns else FOUR.drop(columns=["utility_left"])
    table = hemisphere_table(whole, OPTIONS)
    for metric in (RATE, AREA):
        assert math.isnan(row(table, metric)["value"])
        assert row(table, metric)["method"] == WHOLE


def test_it_stands_in_tables_summary_and_metrics() -> None:
    study = make_study(80)
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    occluded = study.scores.assign(side=study.cohort["side"]).query("lvo == 1")
    right = (occluded["likely_side"] == occluded["side"]).mean()
    assert result.metrics[RATE] == pytest.approx(right)
    assert {f"{RATE}_low", f"{RATE}_high", AREA, f"{AREA}_low"} <= set(result.metrics)
    places = pd.DataFrame(columns=["scope", "operating_point", "metric", "segment"])
    tables = result.tables()
    summary = summarize_evaluation(
        tables["summary"], tables["operating"], tables["hemispheres"], places
    )
    (found,) = summary.loc[summary["title"] == "occluded side higher within the patient", "value"]
    assert found == pytest.approx(right)
    whole = study.scores.drop(columns=["utility_left", "utility_right"])
    result = evaluate_detection(whole, study.cohort, OPERATING_POINTS, OPTIONS)
    assert not {RATE, AREA} & set(result.metrics)

"""Changes of scans: known effects are found, and what could not be computed is counted."""

from __future__ import annotations

import pandas as pd
import pytest

from lvo_kedro.evaluation import EvaluationOptions, evaluate_robustness, paired_delong
from tests.synthetic_study import OPERATING_POINTS, Study, make_study

FAST = EvaluationOptions(resamples=200)


def changed(study: Study, name: str, probability: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = study.scores["case_id"] + "." + name
    origin = pd.DataFrame({"case_id": ids, "original": study.scores["case_id"], "change": name})
    return origin, study.scores.assign(case_id=ids, probability=probability)


def figures(table: pd.DataFrame, change: str, point: str = "") -> pd.DataFrame:
    part = table[(table["change"] == change) & (table["operating_point"] == point)]
    return part.set_index("metric")


def test_a_change_that_does_nothing_and_one_that_ruins_the_scores() -> None:
    study = make_study(60, split="external")
    before = study.scores["probability"]
    same, same_scores = changed(study, "noise_0", before)
    worse, worse_scores = changed(study, "offset_5", 1 - before)
    table, cases = evaluate_robustness(
        pd.concat([same, worse]),
        (pd.concat([same_scores, worse_scores]), study.calls.iloc[:0]),
        (study.scores, study.calls),
        OPERATING_POINTS,
        FAST,
    )
    nothing = figures(table, "noise_0")
    assert nothing.loc["auc_difference", "value"] == 0
    assert nothing.loc["auc_difference", "p_value"] == 1
    assert figures(table, "noise_0", "youden").loc["calls_changed", "value"] == 0
    ruined = figures(table, "offset_5").loc["auc_difference"]
    expected = paired_delong(study.scores["lvo"], 1 - before, before)
    assert ruined["value"] == pytest.approx(expected.difference.value)
    assert ruined["value"] < -0.5
    assert ruined["p_value"] == pytest.approx(expected.p_value)
    point = figures(table, "offset_5", "youden")
    flipped = ((before >= 0.5) != (1 - before >= 0.5)).sum()
    assert point.loc["calls_changed", "value"] == flipped / 60
    assert point.loc["sensitivity_difference", "value"] < 0
    assert "side_accuracy_difference" not in table["metric"].tolist()  # no calls were given
    assert len(cases) == 120


def test_lost_cases_are_counted_and_locations_compared_on_what_is_left() -> None:
    study = make_study(40, split="external")
    origin, scores = changed(study, "slices_5", study.scores["probability"])
    kept = scores.iloc[5:]
    calls = study.calls.assign(
        case_id=study.calls["case_id"] + ".slices_5",
        called_side=study.calls["called_side"].map({"left": "right", "right": "left"}),
    )
    with_lvo = study.calls.index[study.calls["lvo"] == 1]
    calls = calls.drop(index=with_lvo[-1])  # scored, but its occlusion could not be located
    table, _ = evaluate_robustness(
        origin, (kept, calls), (study.scores, study.calls), OPERATING_POINTS, FAST
    )
    rows = figures(table, "slices_5")
    assert (rows.loc["not_computed", "value"], rows.loc["not_computed", "n"]) == (5, 40)
    assert rows.loc["auc_difference", "n"] == 35
    side = rows.loc["side_accuracy_difference"]
    assert side["n"] == kept["lvo"].sum()
    assert side["value"] < 0
    lost = rows.loc["segment_accuracy_difference", "value"]  # the one without a call, right before
    assert lost == pytest.approx(-1 / side["n"])


def test_a_change_that_left_one_class_is_shown_as_not_estimable() -> None:
    study = make_study(40, split="external")
    origin, scores = changed(study, "tilt_15", study.scores["probability"])
    table, _ = evaluate_robustness(
        origin,
        (scores[scores["lvo"] == 0], study.calls.iloc[:0]),
        (study.scores, study.calls),
        OPERATING_POINTS,
        FAST,
    )
    row = figures(table, "tilt_15").loc["auc_difference"]
    assert pd.isna(row["value"])
    assert "fewer than one case" in row["method"]

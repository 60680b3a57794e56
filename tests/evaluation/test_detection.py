"""Detection tables: counts by hand, calibration with known answers, subgroups that stay."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from pydantic import ValidationError
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import (
    EvaluationOptions,
    Subgroup,
    evaluate_detection,
    patient_weights,
    recalibration,
)
from lvo_kedro.evaluation.operating import decision_curve, operating_table, predictive_values
from lvo_kedro.evaluation.subgroups import TOO_FEW, UNKNOWN
from tests.synthetic_study import OPERATING_POINTS, make_study

FAST = EvaluationOptions(resamples=200)


def by_hand() -> pd.DataFrame:
    """Ten cases: at 0.5 three true and one false positive, one missed, five rightly negative."""
    return pd.DataFrame(
        {
            "case_id": [f"c{i}" for i in range(10)],
            "patient_id": [f"p{i}" for i in range(10)],
            "lvo": [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
            "probability": [0.9, 0.8, 0.5, 0.2, 0.7, 0.4, 0.3, 0.3, 0.1, 0.05],
            "fold": [0, 1] * 5,
        }
    )


def value(table: pd.DataFrame, metric: str, **where: object) -> float:
    mask = table["metric"] == metric
    for column, wanted in where.items():
        mask &= table[column] == wanted
    (found,) = table.loc[mask, "value"]
    return float(found)


def test_counts_at_an_operating_point_by_hand() -> None:
    table = operating_table(by_hand(), {"half": 0.5})
    cells = {name: value(table, name) for name in ("tp", "fp", "fn", "tn")}
    assert cells == {"tp": 3, "fp": 1, "fn": 1, "tn": 5}
    assert value(table, "sensitivity") == 3 / 4  # a case at the threshold is called
    assert value(table, "specificity") == 5 / 6
    assert value(table, "ppv") == 3 / 4
    assert value(table, "npv") == 5 / 6
    assert value(table, "likelihood_ratio_positive") == pytest.approx(4.5)
    assert value(table, "likelihood_ratio_negative") == pytest.approx(0.3)


def test_thresholds_by_fold_apply_to_their_own_fold() -> None:
    # Fold 0 has 0.9, 0.5 | 0.7, 0.3, 0.1; fold 1 has 0.8, 0.2 | 0.4, 0.3, 0.05.
    table = operating_table(by_hand(), {"crossed": {"0": 0.6, "1": 0.15}})
    cells = [value(table, name) for name in ("tp", "fp", "fn", "tn")]
    assert cells == [3, 3, 1, 3]
    threshold = table.loc[table["metric"] == "threshold"].iloc[0]
    assert (threshold["low"], threshold["high"]) == (0.15, 0.6)
    with pytest.raises(TableError, match="without a finite threshold for every case"):
        operating_table(by_hand(), {"crossed": {0: 0.6}})


def test_predictive_values_follow_bayes() -> None:
    scores = by_hand()
    weights = patient_weights(scores["patient_id"], scores["lvo"], 100)
    table = predictive_values(scores, {"half": 0.5}, (0.4, 0.05), weights)
    assert value(table, "ppv", prevalence=0.4) == pytest.approx(3 / 4)  # that of the table itself
    expected = 0.75 * 0.05 / (0.75 * 0.05 + (1 / 6) * 0.95)
    assert value(table, "ppv", prevalence=0.05) == pytest.approx(expected)


def test_perfect_calls_claim_no_certainty_at_any_prevalence() -> None:
    scores = by_hand().assign(probability=lambda t: 0.2 + 0.6 * t["lvo"])
    weights = patient_weights(scores["patient_id"], scores["lvo"], 100)
    table = predictive_values(scores, {"half": 0.5}, (0.1, 0.4), weights)
    table = table.set_index(["metric", "prevalence"])
    assert (table["value"] == 1).all()
    # likelihood ratios with half a case added to each cell: 4.5 / 5 and 0.5 / 7, and the reverse
    positive, negative = (4.5 / 5) / (0.5 / 7), (0.5 / 5) / (6.5 / 7)
    errors = [1 / a - 1 / 5 + 1 / b - 1 / 7 for a, b in ((4.5, 0.5), (0.5, 6.5))]
    lowest = positive / np.exp(1.959964 * np.sqrt(errors[0]))
    highest = negative * np.exp(1.959964 * np.sqrt(errors[1]))
    ppv, npv = table.loc[("ppv", 0.1)], table.loc[("npv", 0.1)]
    assert (ppv["low"], ppv["high"]) == pytest.approx((1 / (1 + 9 / lowest), 1), rel=1e-6)
    assert (npv["low"], npv["high"]) == pytest.approx((1 / (1 + highest / 9), 1), rel=1e-6)
    assert table.loc[("ppv", 0.4), "low"] > ppv["low"]
    assert "all resamples give the same value" in ppv["method"]
    curve = decision_curve(scores, (0.5,), weights).set_index("strategy")
    assert curve.loc["model", "value"] == pytest.approx(0.4)
    assert math.isnan(curve.loc["model", "low"])
    assert "no interval" in curve.loc["model", "method"]
    summary = evaluate_detection(
        scores, scores[["case_id", "patient_id", "lvo"]], {"half": 0.5}, FAST
    ).summary.set_index("metric")
    assert summary.loc["auc_bootstrap", "low"] < 0.8
    assert math.isnan(summary.loc["average_precision", "low"])


def test_net_benefit_by_hand() -> None:
    scores = by_hand()
    weights = patient_weights(scores["patient_id"], scores["lvo"], 100)
    table = decision_curve(scores, (0.25, 0.5), weights)
    assert value(table, "net_benefit", strategy="model", threshold=0.5) == pytest.approx(0.2)
    assert value(table, "net_benefit", strategy="all", threshold=0.25) == pytest.approx(0.2)
    assert value(table, "net_benefit", strategy="none", threshold=0.25) == 0


def test_calibration_recovers_known_slope_and_intercept() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 1.5, 40_000)
    positives = generator.random(truth.size) < expit(truth)
    right = recalibration(positives, expit(truth))
    assert right["slope"].low <= 1 <= right["slope"].high
    assert right["intercept"].low <= 0 <= right["intercept"].high
    twisted = recalibration(positives, expit(2 * truth + 1))  # twice too extreme, and too high
    assert twisted["slope"].value == pytest.approx(0.5, abs=0.02)
    assert twisted["intercept"].value == pytest.approx(-0.5, abs=0.03)
    shifted = recalibration(positives, expit(truth + 1))
    assert shifted["calibration_in_the_large"].value == pytest.approx(-1, abs=0.03)


def test_calibration_equals_statsmodels() -> None:
    scores = make_study(60, separation=1.0).scores
    positives, probability = scores["lvo"].to_numpy() == 1, scores["probability_raw"].to_numpy()
    ours = recalibration(positives, probability)
    design = sm.add_constant(logit(probability))
    fit = sm.Logit(positives.astype(float), design).fit(disp=0)
    assert [ours["intercept"].value, ours["slope"].value] == pytest.approx(list(fit.params))
    assert [ours["slope"].low, ours["slope"].high] == pytest.approx(
        list(fit.conf_int()[1]), rel=1e-5
    )


def test_calibration_says_why_it_cannot_be_estimated() -> None:
    positives = np.array([False] * 5 + [True] * 5)
    assert "separated" in recalibration(positives, np.linspace(0.1, 0.9, 10))["slope"].method
    assert "constant" in recalibration(positives, np.full(10, 0.4))["slope"].method
    assert math.isnan(recalibration(positives | True, np.linspace(0.1, 0.9, 10))["slope"].value)
    assert np.isfinite(recalibration(positives, np.r_[0, 1, 0, 0, 0, 1, 1, 1, 0, 1.0])["slope"].low)


def test_brier_and_reliability_bins() -> None:
    study = make_study(80)
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, FAST)
    scores = study.scores
    expected = brier_score_loss(scores["lvo"], scores["probability"])
    assert value(result.calibration, "brier", stage="after") == pytest.approx(expected)
    bins = result.reliability.loc[result.reliability["stage"] == "after"]
    assert bins["n"].sum() == 80
    assert bins["predicted"].is_monotonic_increasing
    assert (bins["value"] * bins["n"]).sum() == pytest.approx(40)


def test_every_estimate_has_n_interval_and_method() -> None:
    study = make_study(80)
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, FAST)
    for name in ("summary", "operating", "calibration", "subgroups", "folds", "reliability"):
        table = result.tables()[name]
        assert {"metric", "value", "low", "high", "n", "method"} <= set(table.columns), name
        estimates = table.loc[(table["method"] != "count") & table["value"].notna()]
        assert (estimates["low"] <= estimates["value"] + 1e-12).all(), name
        assert (estimates["value"] <= estimates["high"] + 1e-12).all(), name
        assert (estimates["n"] > 0).all(), name
    assert all(math.isfinite(number) for number in result.metrics.values())
    assert {"auc", "auc_low", "sensitivity_youden", "brier_after"} <= set(result.metrics)


def test_the_interval_of_the_area_can_be_chosen() -> None:
    study = make_study(40, separation=3.0)
    options = FAST.model_copy(update={"auc_method": "score"})
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, options)
    for table in (result.summary, result.subgroups.query("level == 'all'")):
        assert table.set_index("metric").loc["auc", "method"] == "Newcombe score"
        assert table.set_index("metric").loc["auc", "high"] < 1


def test_nothing_is_refitted_to_the_reported_scores() -> None:
    study = make_study(80)
    result = evaluate_detection(study.scores, study.cohort, {"fixed": 0.83}, FAST)
    assert value(result.operating, "threshold") == 0.83
    called = study.scores["probability"] >= 0.83
    assert value(result.operating, "tp") == (called & (study.scores["lvo"] == 1)).sum()


def test_subgroups_are_all_there_however_small() -> None:
    study = make_study(80)
    cohort = study.cohort.assign(rare=["only one", *["common"] * 78, ""])
    options = FAST.model_copy(
        update={
            "subgroups": (
                Subgroup(column="rare"),
                Subgroup(column="age", bands=(65, 80)),
                Subgroup(column="segment"),
                Subgroup(column="not there"),
            )
        }
    )
    table = evaluate_detection(study.scores, cohort, OPERATING_POINTS, options).subgroups
    rare = table.loc[table["subgroup"] == "rare"]
    assert set(rare["level"]) == {"only one", "common", UNKNOWN}
    few = rare.loc[rare["level"] == "only one"]
    assert few["remark"].str.startswith(TOO_FEW).all()
    assert few.set_index("metric").loc["auc", "method"] == "only one class"
    bands = table.loc[(table["subgroup"] == "age") & (table["metric"] == "n")]
    assert list(bands["level"]) == ["< 65", "65 to < 80", "≥ 80"]
    assert bands["value"].sum() == 80
    segments = table.loc[(table["subgroup"] == "segment") & (table["metric"] == "n")]
    of_lvo = study.cohort["segment"].value_counts()
    assert {r["level"]: r["value"] - 40 for _, r in segments.iterrows()} == of_lvo.to_dict()
    empty = evaluate_detection(
        study.scores, study.cohort.assign(rare=""), OPERATING_POINTS, options
    ).subgroups
    assert empty.set_index("subgroup").loc["rare", "remark"] == "not recorded for any case"
    missing = table.loc[table["subgroup"] == "not there"]
    assert missing["remark"].iloc[0] == "column not in the cohort table"


def test_failures_are_ranked_and_carry_their_findings() -> None:
    scores, cohort = by_hand(), by_hand()[["case_id", "patient_id", "lvo"]]
    quality = pd.DataFrame(
        {
            "case_id": ["c3", "c3", "c4", "c9"],
            "stage": ["priors", "brain", "vessels", "vessels"],
            "finding": ["poor", "leak", "right M1 of 0.06 ml", "right M1 of 0.2 ml"],
        }
    )
    result = evaluate_detection(scores, cohort, {"low": 0.25}, FAST, quality=quality)
    failures = result.failures
    assert list(failures["case_id"]) == ["c3", "c4", "c5", "c6", "c7"]
    assert list(failures["rank"]) == [1, 1, 2, 3, 4]
    assert failures["findings"].iloc[0] == "poor; leak"
    table = result.quality.set_index("finding")
    assert table.loc["poor", "value"] == 1
    assert table.loc["no finding", "n"] == 7
    assert table.loc["poor", "others"] == pytest.approx(4 / 9)
    assert table.loc["right M1 of … ml", ["value", "n"]].tolist() == [1 / 2, 2]  # c4, not c9
    stages = result.quality.loc[result.quality["finding"] == "any finding"]
    assert dict(zip(stages["stage"], stages["n"], strict=True)) == {
        "brain": 1,
        "priors": 1,
        "vessels": 2,
    }


def test_fold_spread_stands_beside_the_pooled_figure() -> None:
    study = make_study(80)
    folds = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, FAST).folds
    assert set(folds["fold"]) == {"0", "1", "2", "3", "spread"}
    areas = folds.loc[(folds["metric"] == "auc") & (folds["fold"] != "spread"), "value"]
    spread = folds.loc[(folds["metric"] == "auc") & (folds["fold"] == "spread")].iloc[0]
    assert spread["value"] == pytest.approx(areas.mean())
    assert (spread["low"], spread["high"]) == (areas.min(), areas.max())


def test_the_scores_hold_nothing_of_the_cohort_table_that_they_did_not_hold_before() -> None:
    study = make_study(20)
    cohort = study.cohort.assign(ncct="Smith^John.nii.gz")
    kept = evaluate_detection(study.scores, cohort, OPERATING_POINTS, FAST).scores
    assert set(kept) == {*study.scores, *(f"call_{name}" for name in OPERATING_POINTS)}


def test_repeated_patients_and_unrecorded_fit_are_said() -> None:
    study = make_study(40)
    same = {case: "p0" for case in study.scores["case_id"][:3]}
    rename = [same.get(c, p) for c, p in study.cohort[["case_id", "patient_id"]].to_numpy()]
    scores, cohort = study.scores.assign(patient_id=rename), study.cohort.assign(patient_id=rename)
    result = evaluate_detection(scores, cohort, OPERATING_POINTS, FAST)
    assert {"repeated_patients", "fit_not_recorded"} <= set(result.findings["check"])


def test_tables_survive_a_csv_file(tmp_path: Path) -> None:
    study = make_study(60, split="external")
    study.scores.to_csv(tmp_path / "scores.csv", index=False)
    study.cohort.to_csv(tmp_path / "cohort.csv", index=False)
    scores = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    cohort = pd.read_csv(tmp_path / "cohort.csv", keep_default_na=False)
    result = evaluate_detection(scores, cohort, OPERATING_POINTS, FAST)
    direct = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, FAST)
    assert result.metrics == pytest.approx(direct.metrics)
    assert len(result.subgroups) == len(direct.subgroups)


def test_bands_are_made_of_text_that_is_numbers_and_of_no_other() -> None:
    study = make_study(60)
    expected = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, FAST).subgroups
    text = study.cohort["slice_thickness"].astype(str)
    cohort = study.cohort.assign(slice_thickness=text)
    read = evaluate_detection(study.scores, cohort, OPERATING_POINTS, FAST).subgroups
    pd.testing.assert_frame_equal(read, expected)
    cohort = study.cohort.assign(slice_thickness=text + " mm")
    with pytest.raises(TableError, match=r"slice_thickness .*'[\d.]+ mm'.*divided into bands"):
        evaluate_detection(study.scores, cohort, OPERATING_POINTS, FAST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 1.4}, "probability 1.4"),
        ({"lvo": 2}, "lvo that is not 0 or 1"),
        ({"case_id": "dev000"}, "more than once"),
        ({"lvo": 1}, "not as in the cohort"),
    ],
)
def test_unusable_scores_are_refused(change: dict[str, object], message: str) -> None:
    study = make_study(20)
    with pytest.raises(TableError, match=message):
        evaluate_detection(study.scores.assign(**change), study.cohort, OPERATING_POINTS, FAST)


def test_operating_points_are_needed_and_options_are_strict() -> None:
    study = make_study(20)
    with pytest.raises(TableError, match="no operating point"):
        evaluate_detection(study.scores, study.cohort, {}, FAST)
    with pytest.raises(TableError, match="main operating point 'best'"):
        evaluate_detection(
            study.scores,
            study.cohort,
            OPERATING_POINTS,
            FAST.model_copy(update={"operating_point": "best"}),
        )
    with pytest.raises(ValidationError):
        EvaluationOptions(bootstrap=10)  # type: ignore[call-arg]

"""Detection tables: counts by hand, calibration with known answers, subgroups that stay."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import brier_score_loss

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation import (
    EvaluationOptions,
    Subgroup,
    evaluate_detection,
)
from lvo_kedro.evaluation.subgroups import TOO_FEW, UNKNOWN
from tests.synthetic_study import OPERATING_POINTS, by_hand, make_study, value

FAST = EvaluationOptions(resamples=200)


def test_a_perfect_score_has_no_interval_without_width() -> None:
    scores = by_hand().assign(probability=lambda t: 0.2 + 0.6 * t["lvo"])
    summary = evaluate_detection(
        scores, scores[["case_id", "patient_id", "lvo"]], {"half": 0.5}, FAST
    ).summary.set_index("metric")
    assert summary.loc["auc_bootstrap", "low"] < 0.8
    assert math.isnan(summary.loc["average_precision", "low"])


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
    assert few.set_index("metric").loc["auc", "method"].startswith("only one class")
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
    text = study.cohort["slice_thickness_mm"].astype(str)
    cohort = study.cohort.assign(slice_thickness_mm=text)
    read = evaluate_detection(study.scores, cohort, OPERATING_POINTS, FAST).subgroups
    pd.testing.assert_frame_equal(read, expected)
    cohort = study.cohort.assign(slice_thickness_mm=text + " mm")
    with pytest.raises(TableError, match=r"slice_thickness_mm .*'[\d.]+ mm'.*divided into bands"):
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

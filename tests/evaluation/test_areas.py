"""Sets of one class: what is absent says why, and the rest stands."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from lvo_kedro.evaluation import (
    EvaluationOptions,
    evaluate_detection,
    evaluate_localization,
    evaluate_robustness,
    evaluate_shuffles,
)
from lvo_kedro.evaluation.areas import ALONE, CURVES, ONE_CLASS
from tests.synthetic_study import OPERATING_POINTS, Study, make_study, value

OPTIONS = EvaluationOptions(resamples=100)
NO_CONTROLS = "only one class: no case without LVO"


def only(lvo: int, split: str = "external") -> Study:
    study = make_study(60, split=split)
    kept = study.cohort.loc[study.cohort["lvo"] == lvo, "case_id"]
    return Study(*(table[table["case_id"].isin(kept)] for table in vars(study).values()))


@pytest.mark.parametrize("split", ["external", "development"])
def test_a_set_of_occlusions_alone_is_evaluated(split: str) -> None:
    study = only(1, split)
    several = study.scores.assign(logit_seed_0=study.scores["logit"], logit_seed_1=0.5)
    result = evaluate_detection(several, study.cohort, OPERATING_POINTS, OPTIONS)
    for metric in ("auc", "auc_bootstrap", "average_precision"):
        row = result.summary.set_index("metric").loc[metric]
        assert math.isnan(row["value"])
        assert row["method"] == NO_CONTROLS
    for table in (result.methods, result.subgroups, result.seeds):
        areas = table[table["metric"].isin(["auc", "auc_difference"])]
        assert len(areas)
        assert areas["value"].isna().all()
    for name, columns in CURVES.items():
        assert result.tables()[name].empty
        assert list(result.tables()[name]) == list(columns)
    called = (study.scores["probability"] >= 0.5).mean()
    assert value(result.operating, "sensitivity", operating_point="youden") == called
    for metric in ("specificity", "ppv", "npv", "accuracy"):
        assert math.isnan(value(result.operating, metric, operating_point="youden"))
    assert value(result.hemispheres, "scans_compared") == 30
    assert 0.7 < result.metrics["occluded_side_higher"] <= 1
    assert not [name for name in result.metrics if name.startswith(("auc", "specificity"))]
    found = result.findings.set_index("check").loc[ONE_CLASS]
    assert found["severity"] == "warning"
    assert "occluded against the opposite side stand" in found["message"]
    assert "no_better_than_chance" not in result.findings["check"].tolist()


def test_its_sides_and_segments_are_those_of_the_same_cases_among_others() -> None:
    study, all_cases = only(1), make_study(60, split="external")
    alone = evaluate_localization(study.calls, study.scores, OPERATING_POINTS, OPTIONS)
    among = evaluate_localization(all_cases.calls, all_cases.scores, OPERATING_POINTS, OPTIONS)
    pd.testing.assert_frame_equal(alone.summary, among.summary)


def test_a_set_of_controls_alone_is_evaluated() -> None:
    study = only(0)
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    spared = (study.scores["probability"] < 0.5).mean()
    assert value(result.operating, "specificity", operating_point="youden") == spared
    assert result.summary.set_index("metric").loc["auc", "method"] == (
        "only one class: no case with LVO"
    )
    named = evaluate_localization(study.calls, study.scores, OPERATING_POINTS, OPTIONS)
    assert named.summary["value"].isna().all()
    assert named.metrics == {}
    assert "specificity stands" in result.findings.set_index("check").loc[ONE_CLASS, "message"]


@pytest.mark.parametrize("with_controls", [True, False])
def test_models_of_occlusions_alone_answer_nothing_that_controls_would_ask(
    with_controls: bool,
) -> None:
    study = make_study(60, split="external") if with_controls else only(1)
    points = {"known_occlusion": 0.0}
    result = evaluate_detection(study.scores, study.cohort, points, OPTIONS, controls=False)
    both = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    counts = {"cases", "cases_with_lvo", "prevalence", "n", "tp", "fp", "tn", "fn"}
    for name in ("summary", "operating", "calibration", "methods", "subgroups", "folds", "seeds"):
        table = result.tables()[name]
        assert list(table) == list(both.tables()[name])
        assert set(table.loc[table["value"].notna(), "metric"]) <= counts, name
    assert value(result.summary, "cases") == len(study.scores)
    assert result.summary.set_index("metric").loc["auc", "method"] == ALONE
    for name in (*CURVES, "reliability", "failures"):
        assert result.tables()[name].empty
    assert 0.7 < value(result.hemispheres, "occluded_side_higher") <= 1
    answered = ("auc", "sens", "spec", "brier", "slope", "ppv", "accuracy", "average")
    assert not [name for name in result.metrics if name.startswith(answered)]


def test_a_set_of_both_classes_is_not_told_so() -> None:
    study = make_study(60, split="external")
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    assert ONE_CLASS not in result.findings["check"].tolist()
    assert not any(result.tables()[name].empty for name in CURVES)


def test_changes_and_shuffles_of_such_a_set_have_no_area_and_go_on() -> None:
    study = only(1)
    ids = study.scores["case_id"]
    origin = pd.DataFrame({"case_id": ids + ".n", "original": ids, "change": "noise_10"})
    changed = study.scores.assign(case_id=ids + ".n"), study.calls.iloc[:0]
    unchanged = study.scores, study.calls
    table, _ = evaluate_robustness(origin, changed, unchanged, OPERATING_POINTS, OPTIONS)
    assert table["metric"].tolist() == ["auc_difference", "not_computed"]
    shuffles = evaluate_shuffles({"0": study.scores, "1": study.scores}, OPTIONS)
    assert shuffles["value"].isna().all()

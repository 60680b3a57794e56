"""Labels that equal the source: the trap first, then the finding, and cohorts without it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.evaluation import (
    LABEL_EQUALS_SOURCE,
    EvaluationOptions,
    auc_interval,
    check_label_source,
    evaluate_detection,
    gravest_first,
)
from lvo_kedro.evaluation.areas import CURVES
from tests.synthetic_study import OPERATING_POINTS, Study, make_study

OPTIONS = EvaluationOptions(resamples=100)
COLUMNS = OPTIONS.source_columns


def two_archives(n: int = 60) -> Study:
    """Occlusions of one archive, controls of another, and a score that knows the archive alone."""
    study = make_study(n, split="external", separation=0.0)
    source = np.where(study.cohort["lvo"] == 1, "isles24", "cq500")
    trace = (source == "isles24") + np.random.default_rng(1).normal(0, 0.4, n)
    scores = study.scores.assign(probability=1 / (1 + np.exp(-3 * (trace - 0.5))))
    return Study(study.cohort.assign(source=source), scores, *list(vars(study).values())[2:])


def test_an_archive_looks_like_a_detector_and_is_an_error() -> None:
    study = two_archives()
    labels, scores = study.scores["lvo"], study.scores["probability"]
    assert auc_interval(labels, scores).value > 0.9  # the trap: nothing of an occlusion was seen
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    found = result.findings.set_index("check").loc[LABEL_EQUALS_SOURCE]
    assert found["severity"] == "error"
    assert "source alone with a balanced accuracy of 1.00" in found["message"]
    assert "with LVO: isles24; without: cq500" in found["message"]
    assert "site" not in found["message"].replace("opposite", "")
    summary = result.summary.set_index("metric")
    assert summary.loc[["auc", "auc_bootstrap", "average_precision"], "value"].isna().all()
    assert summary.loc["auc", "method"] == "withheld: label equals source"
    for table in (result.methods, result.subgroups):
        areas = table[table["metric"].isin(["auc", "auc_difference"])]
        assert areas[["value", "low", "high"]].isna().all(axis=None)
    assert all(result.tables()[name].empty for name in CURVES)
    assert not [name for name in result.metrics if name.startswith("auc")]
    assert result.metrics[LABEL_EQUALS_SOURCE] == 1
    assert "occluded_side_higher" in result.metrics  # needs no control


def test_who_acknowledges_it_gets_the_areas_and_a_warning() -> None:
    study = two_archives()
    options = OPTIONS.model_copy(update={"acknowledged": (LABEL_EQUALS_SOURCE,)})
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, options)
    found = result.findings.set_index("check").loc[LABEL_EQUALS_SOURCE]
    assert found["severity"] == "warning"
    assert "measure the source, not the occlusion (acknowledged" in found["message"]
    assert result.metrics["auc"] > 0.9
    assert not any(result.tables()[name].empty for name in CURVES)
    assert result.metrics[LABEL_EQUALS_SOURCE] == 1


@pytest.mark.parametrize("split", ["development", "external"])
def test_a_study_of_balanced_sites_is_not_accused(split: str) -> None:
    study = make_study(80, split=split)  # development: two sites, either label in both
    cohort = study.cohort.assign(source="one archive", manufacturer=["A", "B"] * 40)
    result = evaluate_detection(study.scores, cohort, OPERATING_POINTS, OPTIONS)
    assert LABEL_EQUALS_SOURCE not in result.findings["check"].tolist()
    assert result.metrics[LABEL_EQUALS_SOURCE] == 0
    assert result.metrics["auc"] > 0.8


def cases(with_lvo: list[object], without: list[object], column: str = "site") -> pd.DataFrame:
    values = [*with_lvo, *without]
    ids = [f"p{n}" for n in range(len(values))]
    lvo = [1] * len(with_lvo) + [0] * len(without)
    return pd.DataFrame({"patient_id": ids, "lvo": lvo, column: values})


@pytest.mark.parametrize(
    ("with_lvo", "without", "accused"),
    [
        (["a"] * 20, ["b"] * 20, True),
        (["a"] * 20, ["a"] * 10 + ["b"] * 10, False),
        (["a"] * 10 + ["b"] * 10, ["a"] * 10 + ["b"] * 10, False),
        (["a"] * 39 + ["b"], ["b"] * 38 + ["a"] * 2, True),  # (39/40 + 38/40) / 2 = 0.9625
        (["a"] * 36 + ["b"] * 4, ["b"] * 38 + ["a"] * 2, False),  # 0.925
        (["a"] * 20, [f"s{n}" for n in range(20)], True),  # controls of many small sites
        ([f"s{n}" for n in range(20)], [f"t{n}" for n in range(20)], False),  # a site for each
        (["a"] * 20, [""] * 20, True),  # recorded for the occlusions alone
        ([None] * 20, [np.nan] * 20, False),
        (["a"] * 4, ["b"] * 40, False),  # four patients prove nothing
        (["1"] * 20, [1] * 20, False),
    ],
)
def test_what_counts_as_telling(with_lvo: list, without: list, accused: bool) -> None:
    table = cases(with_lvo, without)
    found = check_label_source(table, COLUMNS)
    assert [finding.check for finding in found] == ([LABEL_EQUALS_SOURCE] if accused else [])
    assert check_label_source(table, ("source", "manufacturer")) == []


def test_scans_of_one_patient_are_not_many() -> None:
    table = cases(["a"] * 20, ["b"] * 20).assign(patient_id=["p"] * 20 + ["q"] * 20)
    assert check_label_source(table, COLUMNS) == []


def test_all_columns_that_tell_are_named_and_the_accuracy_is_the_users() -> None:
    table = cases(["a"] * 20, ["b"] * 20).assign(manufacturer=["V"] * 18 + ["W"] * 22)
    (found,) = check_label_source(table, COLUMNS)
    assert "site alone with" in found.message
    assert "manufacturer alone with a balanced accuracy of 0.95" in found.message
    (found,) = check_label_source(table, COLUMNS, 0.99)
    assert "manufacturer" not in found.message
    assert "evaluation.acknowledged: [label_equals_source]" in found.remedy


def test_it_stands_before_the_other_findings_of_its_kind() -> None:
    table = pd.DataFrame(
        {
            "check": ["a", "b", "c", LABEL_EQUALS_SOURCE, "d", LABEL_EQUALS_SOURCE],
            "severity": ["note", "error", "warning", "error", "error", "warning"],
        }
    )
    assert gravest_first(table)["check"].tolist() == [
        LABEL_EQUALS_SOURCE, "b", "d", LABEL_EQUALS_SOURCE, "c", "a",
    ]  # fmt: skip

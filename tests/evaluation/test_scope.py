"""Cases unlike the training cases are counted and named, and left out of no metric."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.evaluation import (
    EvaluationOptions,
    count_flow,
    evaluate_detection,
    reasons_out_of_scope,
)
from tests.synthetic_study import OPERATING_POINTS, UNLIKE, Study, make_study, value

OPTIONS = EvaluationOptions(resamples=100)


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study(80)


def test_reasons_are_given_one_by_one_and_only_where_there_are_some() -> None:
    table = pd.DataFrame({"case_id": ["a", "b", "c"], "out_of_scope": [UNLIKE, "", np.nan]})
    assert reasons_out_of_scope(table) == {
        "a": [
            "noise is 12.0 HU, expected 3.1 to 7.9",
            "arteries is 2.0 of 6, expected 3.0 to 6.0",
        ]
    }
    assert reasons_out_of_scope(table[["case_id"]]) == {}


def test_metrics_keep_all_cases_and_a_row_says_what_they_are_without(study: Study) -> None:
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    inside = study.scores[study.scores["out_of_scope"] == ""]
    assert len(inside) == 76
    alone = evaluate_detection(inside, study.cohort, OPERATING_POINTS, OPTIONS)
    table = result.subgroups[result.subgroups["subgroup"] == "out_of_scope"]
    for metric in ("auc", "sensitivity", "specificity"):
        part = alone.subgroups[alone.subgroups["subgroup"] == "all"]
        assert value(table, metric, level="within scope") == value(part, metric)
    assert value(table, "n", level="out of scope") == 4
    assert value(result.summary, "cases") == 80
    unmarked = study.scores.assign(out_of_scope="")
    same = evaluate_detection(unmarked, study.cohort, OPERATING_POINTS, OPTIONS)
    pd.testing.assert_frame_equal(result.summary, same.summary)
    assert result.scores["out_of_scope"].tolist() == study.scores["out_of_scope"].tolist()


def test_a_note_names_the_cases(study: Study) -> None:
    result = evaluate_detection(study.scores, study.cohort, OPERATING_POINTS, OPTIONS)
    note = result.findings.set_index("check").loc["out_of_scope"]
    assert note["severity"] == "note"
    assert note["message"].startswith("4 of 80 cases are out of scope")
    assert note["cases"].split() == ["dev007", "dev027", "dev047", "dev067"]


@pytest.mark.parametrize("looked_at", [True, False])
def test_with_no_case_out_of_scope_there_is_neither_note_nor_subgroup(
    study: Study, looked_at: bool
) -> None:
    scores = study.scores.assign(out_of_scope="")
    scores = scores if looked_at else scores.drop(columns="out_of_scope")
    result = evaluate_detection(scores, study.cohort, OPERATING_POINTS, OPTIONS)
    assert "out_of_scope" not in set(result.subgroups["subgroup"])
    assert "out_of_scope" not in set(result.findings["check"])


def test_the_flow_counts_them_where_scans_were_looked_at(study: Study) -> None:
    flow = count_flow(study.cohort, study.scores)
    assert flow.iloc[-1].tolist() == ["out of scope", "", 4]
    assert flow.set_index("step")["count"]["evaluated"] == 80
    none = count_flow(study.cohort, study.scores.assign(out_of_scope=""))
    assert none.iloc[-1].tolist() == ["out of scope", "", 0]
    unasked = count_flow(study.cohort, study.scores.drop(columns="out_of_scope"))
    assert "out of scope" not in set(unasked["step"])

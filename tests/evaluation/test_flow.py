"""The cohort's flow, and which cases are looked at, by hand."""

from __future__ import annotations

import pandas as pd

from lvo_kedro.evaluation import choose_cases, count_flow, list_exclusions


def test_the_flow_accounts_for_every_case() -> None:
    cohort = pd.DataFrame({"case_id": list("abcdef")})
    scores = pd.DataFrame({"case_id": list("abc"), "lvo": [1, 0, 1]})
    exclusions = pd.DataFrame(
        {
            "case_id": ["d", "d", "e", "elsewhere"],
            "stage": ["scans", "priors", "scans", "scans"],
            "error": "found no head; expected one; look",
        }
    )
    flow = count_flow(cohort, scores, exclusions)
    assert flow.to_numpy().tolist() == [
        ["in the cohort", "", 6],
        ["excluded", "scans: no head", 2],
        ["without a score", "", 1],
        ["evaluated", "", 3],
        ["with LVO", "", 2],
    ]
    assert count_flow(cohort, scores)["count"].tolist() == [6, 3, 3, 2]


def test_occlusions_without_a_name_of_stage_3_are_counted_by_their_words() -> None:
    rows = [
        ("a", 1, "left", "M1"),
        ("b", 1, "left", "other"),
        ("c", 1, "unknown", "other"),
        ("d", 1, "both", "M1"),
        ("e", 1, "unknown", "unknown"),
        ("f", 0, "", ""),
        ("g", 1, "both", "other"),  # without a score
    ]
    cohort = pd.DataFrame(rows, columns=["case_id", "lvo", "side", "segment"])
    scores = cohort.loc[cohort["case_id"] != "g", ["case_id", "lvo"]]
    flow = count_flow(cohort, scores)
    assert flow.to_numpy().tolist()[2:] == [
        ["evaluated", "", 6],
        ["with LVO", "", 5],
        ["occlusions outside the five classes", "other", 2],
        ["occlusions outside the five classes", "unknown", 1],
        ["side unknown or both", "both", 1],
        ["side unknown or both", "unknown", 2],
        ["in detection alone", "", 4],
    ]
    named = count_flow(cohort, scores[scores["case_id"].isin(["a", "f"])])
    assert named["step"].tolist()[-1] == "with LVO"  # as before there were such words


def test_exclusions_are_those_of_the_cohort_in_the_order_of_the_steps() -> None:
    cohort = pd.DataFrame({"case_id": ["b", "a"], "split": ["external", "development"], "lvo": 0})
    columns = ["case_id", "stage", "error"]
    failures = [
        pd.DataFrame([("a", "scans", "found no head"), ("gone", "scans", "?")], columns=columns),
        pd.DataFrame([], columns=columns),
        pd.DataFrame([("a", "vessels", "x"), ("b", "vessels", "y")], columns=columns),
    ]
    assert list_exclusions(cohort, failures).to_numpy().tolist() == [
        ["b", "external", "vessels", "y"],
        ["a", "development", "scans", "found no head"],
        ["a", "development", "vessels", "x"],
    ]


def test_pictures_are_given_to_the_worst_of_both_kinds_first() -> None:
    failures = pd.DataFrame(
        {
            "case_id": ["n1", "n2", "n3", "p1"],
            "kind": ["false negative"] * 3 + ["false positive"],
            "rank": [1, 2, 3, 1],
        }
    )
    scores = pd.DataFrame(
        {
            "case_id": ["n1", "n2", "n3", "p1", "t1", "t2", "t3"],
            "lvo": [1, 1, 1, 0, 1, 1, 1],
            "probability": [0.1, 0.2, 0.3, 0.9, 0.9, 0.8, 0.7],
        }
    )
    assert choose_cases(failures, scores, 4)["case_id"].tolist() == ["n1", "p1", "t1", "t3"]
    assert choose_cases(failures, scores, 4)["kind"].iloc[1] == "false positive"
    assert len(choose_cases(failures, scores, 20)) == 7
    assert choose_cases(failures, scores, 0).empty
    assert choose_cases(failures.iloc[:0], scores, 2)["case_id"].tolist() == ["t1", "n1"]

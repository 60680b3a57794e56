"""The table of what is remarkable about the cases."""

from __future__ import annotations

from lvo_kedro.evaluation import list_quality_findings


def test_every_finding_of_every_stage_has_a_row_and_cases_without_have_none() -> None:
    found = {
        "scan": {"a": ["thick slices", "high noise"], "b": []},
        "priors": {"a": []},
        "vessels": {"b": ["left M1 not found"]},
    }
    table = list_quality_findings(found)
    assert table.to_numpy().tolist() == [
        ["a", "scan", "thick slices"],
        ["a", "scan", "high noise"],
        ["b", "vessels", "left M1 not found"],
    ]
    assert list(table) == ["case_id", "stage", "finding"]
    assert list(list_quality_findings({"scan": {}})) == list(table)

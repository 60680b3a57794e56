"""The page on which proposals are decided."""

import re

import pytest

from lvo_kedro.annotation import compare_with_table, names_by_clot
from lvo_kedro.errors import TableError
from lvo_kedro.reporting import render_annotation_page

MEASURES = {
    "skull_overlap": 0.94, "shift_mm": 3.0, "rotation_deg": 2.0, "cta_matrix": [[1.0]],
    "left_completed_mm": 12.0, "right_completed_mm": 0.0,
}  # fmt: skip
FOUND = {
    "proposed": True, "side": "left", "segment": "M1", "parts": ["M1"], "below_limits": False,
    **MEASURES,
}  # fmt: skip
SHORT = FOUND | {"below_limits": True}
NONE = {"proposed": False, **MEASURES}
OPEN = {"lvo": 0, "side": "", "segment": ""}


def row(lvo=1, side="left", segment="M1"):
    return {"lvo": lvo, "side": side, "segment": segment}


def test_a_proposal_is_compared_with_the_table():
    def agreement(record, told):
        return compare_with_table(record, told)["agreement"]

    assert agreement(FOUND, row()) == "agrees"
    assert agreement(FOUND, row(side="both")) == agreement(FOUND, row(segment="other")) == "agrees"
    assert agreement(FOUND, row(side="right")) == "other side than in the table"
    assert agreement(FOUND, row(segment="M2")) == "other segment than in the table"
    assert agreement(FOUND, OPEN) == "a gap is seen, the table names no occlusion"
    assert agreement(NONE, OPEN) == "agrees"
    assert "shorter than one must be" in agreement(SHORT, row())
    assert agreement(SHORT, row(side="right")) == "other side than in the table"
    assert agreement(NONE, row()) == "the table names an occlusion, no gap is seen"


@pytest.mark.parametrize(
    ("changes", "told", "fits"),
    [
        ({}, row(), True),
        ({"below_limits": True}, row(), True),
        ({}, row(side="unknown", segment="unknown"), True),
        ({}, row(side="both"), False),
        ({}, row(segment="other"), False),
        ({"segment": "other"}, row(segment="unknown"), False),
        ({}, row(segment="M2"), False),
        ({}, OPEN, False),
    ],
)
def test_a_clot_is_offered_where_it_may_be_taken(changes, told, fits):
    record = FOUND | changes
    assert (compare_with_table(record, told)["fits"] == "yes") == fits
    given = {name: str(value) for name, value in told.items()}
    if fits:
        names_by_clot(given, record, as_proposed=True)
    else:
        with pytest.raises(TableError):
            names_by_clot(given, record, as_proposed=True)


def test_what_disagrees_comes_first_and_nothing_is_fetched(tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG")
    told = {
        "a": (FOUND, row()), "b": (NONE, OPEN), "c": (FOUND, row(side="right")), "e": (SHORT, row())
    }  # fmt: skip
    rows = [{"case_id": case, **compare_with_table(*pair)} for case, pair in told.items()]
    html = render_annotation_page(
        rows, dict.fromkeys("abce", picture), {"d": "found <no> contrast"}, simulated=True
    )
    assert re.findall(r'data-case="(\w)"', html) == ["c", "e", "a", "b"]
    assert "Proposed: no occlusion. In the table: no occlusion." in html
    assert "Proposed: left M1. In the table: right M1." in html
    assert "found &lt;no&gt; contrast" in html
    assert "SIMULATED" in html.upper()
    assert not re.search(r"""(?:src|href)=["']https?:""", html)
    # only a clot that agrees with the table may be taken
    assert html.count("data-clot>") == 2

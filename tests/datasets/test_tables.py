"""Tables that may be missing, and tables that users write."""

from __future__ import annotations

import pandas as pd
import pytest
from kedro.io import DatasetError

from lvo_kedro.cohort import CohortError, validate_cohort
from lvo_kedro.datasets import ContinuedTable, TextTable

HEADER = "case_id,patient_id,ncct,split,lvo,side,segment"
GOOD = "a1,007,scan.nii.gz,development,0,,"


def read(tmp_path, content: bytes) -> pd.DataFrame:
    (tmp_path / "cases.csv").write_bytes(content)
    return TextTable(filepath=(tmp_path / "cases.csv").as_posix()).load()


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{GOOD}\n".encode(),
        f"{HEADER}\r\n{GOOD}\r\n\r\n".encode(),
        f"{HEADER}\n{GOOD}".encode("utf-8-sig"),
        f"{HEADER}\n{GOOD[:-1]}\n".encode(),
        f"{HEADER},\n{GOOD},\n".encode(),
    ],
    ids=["plain", "Windows, blank last line", "byte order mark", "short line", "trailing commas"],
)
def test_a_table_from_any_spreadsheet_is_read_as_text(tmp_path, content):
    (tmp_path / "scan.nii.gz").touch()
    cohort = validate_cohort(read(tmp_path, content), tmp_path)
    assert "" not in cohort
    assert cohort[["case_id", "patient_id", "lvo", "side"]].to_numpy().tolist() == [
        ["a1", "007", 0, ""]
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{HEADER}\nä1,{GOOD[3:]}\n".encode("cp1252"), "not UTF-8 text .byte 47.*CSV UTF-8"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "not UTF-8 text"),
        (f"{HEADER}\n{GOOD}\n{GOOD},x\n".encode(), "Expected 7 fields in line 3, saw 8"),
        (b"", "not CSV"),
    ],
    ids=["another encoding", "UTF-16", "a cell too many", "empty"],
)
def test_what_is_no_table_is_named_by_its_place(tmp_path, content, words):
    with pytest.raises(DatasetError, match=f"(?s){words}"):
        read(tmp_path, content)


def test_a_blank_line_moves_no_row_number(tmp_path):
    (tmp_path / "scan.nii.gz").touch()
    table = read(tmp_path, f"{HEADER}\n{GOOD}\n\n,,,,,,\na2{GOOD[2:]}\n".encode())
    with pytest.raises(CohortError) as caught:
        validate_cohort(table, tmp_path)
    assert [(p.row, p.column) for p in caught.value.problems] == [(5, "ncct")]


def test_a_table_goes_on_from_what_there_is(tmp_path):
    table = ContinuedTable(filepath=(tmp_path / "t.csv").as_posix(), numbers=["n"])
    assert table.load().empty
    for number in (1, 2):
        new = pd.DataFrame({"case_id": ["007"], "n": [number]})
        table.save(lambda before, new=new: pd.concat([before, new], ignore_index=True))
    assert table.load().to_dict("list") == {"case_id": ["007", "007"], "n": [1, 2]}

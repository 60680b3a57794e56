"""The search for names finds them wherever they may lie, before it is trusted to find none."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.studies.leaks import find_leaks, secrets_of

SECRET = "Quörlinda"  # noqa: S105 - of nobody


def plain(folder: Path) -> None:
    (folder / "run.log").write_text(f"reading {SECRET} now", encoding="utf-8")


def other_case(folder: Path) -> None:
    (folder / "run.log").write_bytes(b"\xff" + SECRET.replace("ö", "\xf6").upper().replace(
        "Ö", "ö").encode("latin-1"))  # fmt: skip


def wide(folder: Path) -> None:
    (folder / "run.log").write_bytes(b"x" + SECRET.encode("utf-16-be"))


def packed(folder: Path) -> None:
    (folder / "scan.nii.gz").write_bytes(gzip.compress(SECRET.encode()))


def twice_packed(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/b.gz", gzip.compress(SECRET.encode()))


def in_excel(folder: Path) -> None:
    pd.DataFrame({"a": [SECRET]}).to_excel(folder / "a.xlsx", index=False)


def in_a_name(folder: Path) -> None:
    (folder / f"{SECRET}_1").mkdir()


def in_a_database(folder: Path) -> None:
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("create table runs (note text)")
        database.execute("insert into runs values (?)", ("x" * 10_000 + SECRET,))


@pytest.mark.parametrize(
    "hide",
    [plain, other_case, wide, packed, twice_packed, in_excel, in_a_name, in_a_database],
)
def test_a_name_is_found(tmp_path: Path, hide) -> None:
    (tmp_path / "other.txt").write_text("nothing here")
    assert find_leaks(tmp_path, [SECRET]) == []
    hide(tmp_path)
    leaks = find_leaks(tmp_path, [SECRET, "Unmentioned"])
    assert leaks and all(leak.endswith(SECRET) for leak in leaks)


def test_secrets_are_what_identifies_a_patient() -> None:
    row = {
        "PatientName": "Vexbraun^Elswina", "PatientID": "0012345678", "lvo": 1,
        "PatientBirthDate": "19500203", "AccessionNumber": "RX123", "StudyInstanceUID": "1.2.98765",
        "StudyDate": "20240131",
    }  # fmt: skip
    expected = {"Vexbraun", "0012345678", "12345678", "19500203", "1950-02-03", "03.02.1950",
                "2024-01-31",
                "RX123", "1.2.98765", "98765"}  # fmt: skip
    assert expected <= set(secrets_of([row]))
    assert not {"1", "RX", "M1"} & set(secrets_of([row]))

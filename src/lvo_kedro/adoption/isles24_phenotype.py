"""Age, sex, NIHSS, centre and vendor of ISLES'24's subjects, from whichever table is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lvo_kedro.errors import TableError
from lvo_kedro.studies.label_tables import read_label_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd

COLUMNS: Final = {
    "age": ("age",),
    "sex": ("sex", "gender"),
    "nihss": ("nihssatadmission", "nihssadmission", "admissionnihss", "nihssbaseline", "nihss"),
    "center": ("center", "centre", "centernumber", "site"),
    "vendor": ("vendor", "ctvendor", "scannervendor", "manufacturer"),
}
"""By what is wanted, names of columns, letters and digits alone, the best first. Exact names only:
``nihss24h`` is another time."""
_IDS: Final = ("subject", "subjectid", "participantid", "id", "case", "caseid", "patientid")
_SEX: Final = {"m": "male", "male": "male", "f": "female", "w": "female", "female": "female"}
_RANGES: Final = {"age": (0.0, 120.0), "nihss": (0.0, 42.0)}
_SUBJECT: Final = re.compile(r"(?:sub-)?stroke(?:case)?(\d{4})")


def read_baseline(path: Path) -> dict[str, str]:
    """Read the table of one subject.

    Args:
        path: CSV or Excel, with column names and one row.

    Returns:
        What of :data:`COLUMNS` is there, in the words of the cohort table.

    Raises:
        TableError: The table cannot be read.
    """
    table = read_label_table(path)
    return {} if table.empty else _facts(dict(table.iloc[0]))


def read_workbook(path: Path) -> dict[str, dict[str, str]]:
    """Read the first sheet of a workbook, if it is a table of subjects.

    Args:
        path: Excel. The archive's own only describes the columns; then nothing is returned.

    Returns:
        By subject what :func:`read_baseline` returns for one.

    Raises:
        TableError: The file is damaged.
    """
    try:
        table = read_label_table(path)
    except TableError as error:
        if "rows" in error.found:  # an empty first sheet describes nobody
            return {}
        raise
    names = [name for name in table.columns if _plain(name) in _IDS]
    for name in names:
        rows = _by_subject(table, name)
        if rows:
            return rows
    return {}


def _by_subject(table: pd.DataFrame, name: str) -> dict[str, dict[str, str]]:
    rows = {}
    for row in table.to_dict("records"):
        match = _SUBJECT.fullmatch(str(row[name]).strip().lower())
        if match:
            rows[f"sub-stroke{match[1]}"] = _facts({str(k): str(v) for k, v in row.items()})
    return rows


def _facts(row: Mapping[str, str]) -> dict[str, str]:
    by_name = {_plain(name): str(value).strip() for name, value in row.items()}
    found = {}
    for wanted, names in COLUMNS.items():
        value = _first(by_name.get(name, "") for name in names)
        if wanted == "sex":
            value = _SEX.get(value.lower(), "")
        if wanted in _RANGES:
            value = _number(value, *_RANGES[wanted])
        if value:
            found[wanted] = value
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _first(values: Iterable[str]) -> str:
    return next((value for value in values if value and value.lower() not in ("nan", "na")), "")


def _number(text: str, low: float, high: float) -> str:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return ""
    return f"{value:g}" if low <= value <= high else ""

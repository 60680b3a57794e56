"""Tables from a spreadsheet, as text: nothing in them is computed, run or guessed at."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import TYPE_CHECKING, Final

import pandas as pd

from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 200 * 2**20
"""Largest table, unpacked; a spreadsheet is a zip archive, and a few bytes may unpack to many."""
_EXCEL: Final = (".xlsx", ".xlsm")
_TEXT: Final = (".csv", ".tsv", ".txt")


def read_label_table(path: Path) -> pd.DataFrame:
    """Read a table of labels: the first sheet of an Excel file, or text.

    Text is separated by commas, semicolons or tabs, in UTF-8, UTF-16 or Latin-1. Formulas and
    macros are not run: a cell has the value that was saved with it.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt``, ``.xlsx`` or ``.xlsm``, with a row of column names.

    Returns:
        Every cell as text, empty where it is empty. The index is the row in the file; the column
        names stand in row 1.

    Raises:
        TableError: Another format, a damaged file, one that is too large, or no row.
    """
    suffix = path.suffix.lower()
    if suffix not in _EXCEL + _TEXT:
        raise TableError(
            "a table of labels in another format",
            "a file that ends in " + ", ".join(_TEXT + _EXCEL),
            "save it as .xlsx or .csv",
        )
    if not path.is_file():
        raise TableError("no table of labels", "a file", "check the path")
    _check_size(path.stat().st_size)
    rows = _excel_rows(path) if suffix in _EXCEL else _text_rows(path)
    if len(rows) < 2:
        raise TableError(
            f"a table of labels with {len(rows)} rows",
            "column names in the first row and a study in each further one",
            "check that the table is on the first sheet and begins in the first row",
        )
    width = max(map(len, rows))
    cells = [[cell.strip() for cell in row] + [""] * (width - len(row)) for row in rows]
    table = pd.DataFrame(cells[1:], columns=cells[0], index=range(2, len(cells) + 1), dtype=str)
    return table[(table != "").any(axis=1)]


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise TableError(
            f"a table of labels of {size} bytes",
            f"at most {MAX_BYTES}",
            "keep the rows and columns that are needed, and save it again",
        )


def _text_rows(path: Path) -> list[list[str]]:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "latin-1"]
    text = next((t for t in (_decoded(data, name) for name in encodings) if t is not None), "\0")
    if "\0" in text:
        raise _damaged()
    names = text.partition("\n")[0]  # what separates the column names separates everything
    separator = max(",;\t", key=names.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise _damaged() from error


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _excel_rows(path: Path) -> list[list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(sum(item.file_size for item in archive.infolist()))
        sheet = pd.read_excel(
            path,
            header=None,
            dtype=object,
            keep_default_na=False,
            na_filter=False,
            engine="openpyxl",
        )
    except (TableError, MemoryError):
        raise
    except Exception as error:  # whatever zipfile, openpyxl and the XML parser raise
        raise _damaged() from error
    return [[_as_text(cell) for cell in row] for row in sheet.itertuples(index=False)]


def _as_text(cell: object) -> str:
    """Write a cell as it is seen: 7 and not 7.0, a date without a time as a date."""
    if cell is None or cell is pd.NaT:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).removesuffix(" 00:00:00")


def _damaged() -> TableError:
    return TableError(
        "a table of labels that cannot be read",
        "text, or an Excel file that is neither damaged nor locked with a password",
        "open it, and save it again as .xlsx or .csv",
    )

"""Tables that need more than a plain CSV dataset."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
from kedro.io import DatasetError
from kedro_datasets.pandas import CSVDataset
from pandas.errors import EmptyDataError, ParserError

from lvo_kedro.errors import TableError


class OptionalTable(CSVDataset):
    """A CSV table that may be missing: it is then empty, without columns.

    For what is computed on demand and shown where it is there.
    """

    def load(self) -> pd.DataFrame:
        """Return the table, or an empty one."""
        return super().load() if super()._exists() else pd.DataFrame()

    def _exists(self) -> bool:
        return True  # a pipeline that shows the table runs without it as well


class TextTable(CSVDataset):
    """A CSV table that a user wrote: every cell is text, and no line is skipped or shifted.

    Left to itself, pandas takes the first column for an index where every line has a cell too many,
    and drops blank lines, after which no row can be named by its line.
    """

    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {
        "header": None,
        "dtype": str,
        "keep_default_na": False,
        "skip_blank_lines": False,
        "encoding": "utf-8-sig",
    }

    def load(self) -> pd.DataFrame:
        """Return the table; a row's index is its place below the header.

        Raises:
            TableError: No UTF-8 text, no line at all, or a line with more cells than the header.
        """
        try:
            cells = super().load().fillna("")
        except DatasetError as error:
            raise _explain(error.__cause__) or error from error
        cells = cells.loc[:, (cells != "").any()]  # commas at the ends of all lines
        table = cells.iloc[1:].reset_index(drop=True)
        return table.set_axis(cells.iloc[0].str.strip().to_list(), axis=1)


def _explain(error: BaseException | None) -> TableError | None:
    if isinstance(error, UnicodeDecodeError):
        found = f"a table that is not UTF-8 text (byte {error.start})"
        return TableError(found, "CSV in UTF-8", "save it as 'CSV UTF-8'")
    if isinstance(error, EmptyDataError | ParserError):
        found = f"a table that is not CSV ({' '.join(str(error).split())})"
        return TableError(
            found, "a header, and no line with more cells than it has", "correct that line"
        )
    return None

"""Tables that need more than a plain CSV dataset."""

from __future__ import annotations

import csv
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from kedro.io import DatasetError, Version
from kedro_datasets.pandas import CSVDataset
from pandas.errors import EmptyDataError, ParserError

from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class RecordTable(CSVDataset):
    """A CSV table of this project: text comes back as it was written, numbers where they are named.

    Left to itself, pandas guesses from what stands in a column: a case ``1e5`` would come back as
    100000.0, a site ``007`` as 7, and a patient ``NA`` as missing. Nothing is text by its looks.

    Args:
        numbers: Columns of numbers, as names or patterns such as ``logit*``; an empty cell is NaN
            there, and ``True`` is 1. Those that a table lacks are ignored.
        filepath: As for any CSV dataset, and likewise all others.
    """

    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {"dtype": str, "keep_default_na": False}
    # in quotes, text may hold any line break, and other programs see what is text as well
    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {"index": False, "quoting": csv.QUOTE_NONNUMERIC}

    def __init__(
        self,
        *,
        filepath: str,
        numbers: Sequence[str] = (),
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        version: Version | None = None,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(  # spelled out: Kedro notes the arguments by their names
            filepath=filepath,
            load_args=load_args,
            save_args=save_args,
            version=version,
            credentials=credentials,
            fs_args=fs_args,
            metadata=metadata,
        )
        self._numbers = tuple(numbers)

    def load(self) -> pd.DataFrame:
        """Return the table.

        Raises:
            TableError: A column of numbers holds something else.
        """
        table = super().load()
        for column in table.columns:
            if any(fnmatchcase(column, pattern) for pattern in self._numbers):
                table[column] = _numbers(table[column])
        return table


class ContinuedTable(RecordTable):
    """A table that a node goes on with: what it returns is a function of the table that there is.

    So a step may keep what an earlier run decided. Without a file the table is empty.

    Args:
        filepath: As for any table, and likewise all others.
    """

    def load(self) -> pd.DataFrame:
        """Return the table."""
        return super().load() if self._exists() else pd.DataFrame()

    def save(self, data: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        """Write what the function makes of the table."""
        super().save(data(self.load()))


def _numbers(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column.replace({"True": "1", "False": "0"}))
    except ValueError as error:
        raise TableError(
            f"a column {column.name} with something else than numbers ({error})",
            "a number, or nothing, in each row",
            "run the pipeline that writes this table again",
        ) from error


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

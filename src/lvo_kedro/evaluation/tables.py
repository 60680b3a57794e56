"""Reading the tables that the evaluation is given: columns present, values in range, ids unique."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def require_columns(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Refuse a table that lacks columns.

    Args:
        table: Any table.
        columns: Columns it must have.
        name: What the table is, for the message.

    Raises:
        TableError: A column is missing.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise TableError(
            f"a {name} table without {missing}",
            f"the columns {list(columns)}",
            f"add them; the table has {list(table.columns)}",
        )


def check_labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[BoolArray, FloatArray]:
    """Labels as booleans and scores as floats, of one length, with both classes.

    Args:
        labels: 0 or 1 (or booleans), shape (n,).
        scores: Any finite numbers, larger for more suspicion, shape (n,).

    Returns:
        Labels and scores as arrays.

    Raises:
        TableError: Shapes differ, a label is neither 0 nor 1, a score is not finite, or a class
            has no case.
    """
    truth = np.asarray(labels, dtype=float)
    values = np.asarray(scores, dtype=float)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise TableError(
            f"labels of shape {truth.shape} and scores of shape {values.shape}",
            "one label and one score a case",
            "align the two by case id",
        )
    odd = truth[~np.isin(truth, (0, 1))]
    if odd.size:
        raise TableError(
            f"the label {odd[0]} ({odd.size} such)",
            "0 (no LVO) or 1 (LVO)",
            "correct the column lvo of the cohort table",
        )
    if not np.isfinite(values).all():
        raise TableError(
            f"{int((~np.isfinite(values)).sum())} scores that are not finite numbers",
            "a finite score for every case",
            "exclude the failed cases and count them as excluded",
        )
    positives = truth.astype(bool)
    if positives.all() or not positives.any():
        raise TableError(
            f"{int(positives.sum())} cases with LVO among {positives.size}",
            "at least one case with and one without LVO",
            "evaluate on a set that has both",
        )
    return positives, values


def prepare_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """A validated copy of a score table, with a fresh index.

    Args:
        scores: Columns case_id, patient_id, lvo, probability; further ones are kept. Without
            ``probability_raw`` the calibrated probability stands for it.

    Returns:
        The copy, sorted by case_id.

    Raises:
        TableError: A column is missing, a case stands twice, a label is not 0 or 1, or a
            probability is not between 0 and 1.
    """
    require_columns(scores, ("case_id", "patient_id", "lvo", "probability"), "score")
    table = scores.sort_values("case_id").reset_index(drop=True)
    if "probability_raw" not in table:
        table["probability_raw"] = table["probability"]
    if table.empty:
        raise TableError("a score table without rows", "one row a case", "score the cases first")
    twice = table.loc[table["case_id"].duplicated(), "case_id"]
    if not twice.empty:
        raise TableError(
            f"case {twice.iloc[0]!r} more than once in the score table ({len(twice)} repeats)",
            "one score a case",
            "average the scores of an ensemble before the evaluation",
        )
    labels = table["lvo"].astype(float).to_numpy()
    if not np.isin(labels, (0, 1)).all():
        bad = table["case_id"][~np.isin(labels, (0, 1))].iloc[0]
        raise TableError(f"case {bad!r} with an lvo that is not 0 or 1", "0 or 1", "correct it")
    for column in ("probability", "probability_raw"):
        table[column] = table[column].astype(float)  # a table may have been read as text
        check_probabilities(table[column].to_numpy(), column, table["case_id"])
    table["lvo"] = labels.astype(int)
    if "fold" in table:  # empty for an ensemble, whatever a CSV file made of that
        table["fold"] = pd.to_numeric(table["fold"], errors="coerce")
    return table


def check_probabilities(values: FloatArray, column: str, case_ids: pd.Series) -> None:
    """Refuse values outside 0 to 1.

    Args:
        values: Shape (n,).
        column: Their name, for the message.
        case_ids: The cases they belong to.

    Raises:
        TableError: A value is not between 0 and 1, or not finite.
    """
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise TableError(
            f"{column} {values[first]} in case {case_ids.iloc[first]!r} ({outside.sum()} such)",
            "a probability between 0 and 1",
            "pass the sigmoid of the logit, not the logit",
        )


def split_name(table: pd.DataFrame) -> str:
    """The split that the rows come from, or all of them joined with '+'."""
    if "split" not in table:
        return ""
    return "+".join(sorted(table["split"].dropna().astype(str).unique()))


def listing(values: Collection[str], limit: int = 5) -> str:
    """The first few values in words, such as ``a, b and 3 more``."""
    shown = [str(value) for value in sorted(values)][:limit]
    rest = len(values) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")

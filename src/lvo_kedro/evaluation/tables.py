"""Reading the tables that the evaluation is given: columns present, values in range, ids unique."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lvo_kedro.evaluation.statistics.arrays import FloatArray


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
        raise TableError("a score table without rows", "one row per case", "score the cases first")
    twice = table.loc[table["case_id"].duplicated(), "case_id"]
    if not twice.empty:
        raise TableError(
            f"case {twice.iloc[0]!r} more than once in the score table ({len(twice)} repeats)",
            "one score per case",
            "average the scores of an ensemble before the evaluation",
        )
    labels = table["lvo"].astype(float).to_numpy()
    if not np.isin(labels, (0, 1)).all():
        bad = table["case_id"][~np.isin(labels, (0, 1))].iloc[0]
        raise TableError(f"case {bad!r} with an lvo that is not 0 or 1", "0 or 1", "correct it")
    for column in ("probability", "probability_raw"):
        table[column] = table[column].astype(float)  # a table may have been read as text
        _check_probabilities(table[column].to_numpy(), column, table["case_id"])
    table["lvo"] = labels.astype(int)
    if "fold" in table:  # empty for an ensemble, whatever a CSV file made of that
        table["fold"] = pd.to_numeric(table["fold"], errors="coerce")
    return table


def _check_probabilities(values: FloatArray, column: str, case_ids: pd.Series) -> None:
    """Refuse values outside 0 to 1, or not finite."""
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise TableError(
            f"{column} {values[first]} in case {case_ids.iloc[first]!r} ({outside.sum()} such)",
            "a probability between 0 and 1",
            "pass the sigmoid of the logit, not the logit",
        )


def require_same_cases(scores_a: pd.DataFrame, scores_b: pd.DataFrame) -> None:
    """Refuse two runs that do not cover the same cases.

    Args:
        scores_a: Score table of run A: case_id.
        scores_b: Score table of run B.

    Raises:
        TableError: Cases that only one of the runs has; the message names them.
    """
    a, b = set(scores_a["case_id"].astype(str)), set(scores_b["case_id"].astype(str))
    alone = [
        f"{len(cases)} only in run {run} ({listing(cases, 20)})"
        for run, cases in (("A", a - b), ("B", b - a))
        if cases
    ]
    if alone:
        raise TableError(
            f"runs on different cases: {' and '.join(alone)}",
            "two runs on the same cases",
            "run both on one cohort, or ask for the common cases alone",
        )


def listing(values: Collection[str], limit: int = 5) -> str:
    """The first few values in words.

    Args:
        values: Any that can be sorted.
        limit: How many are named.

    Returns:
        Such as ``a, b and 3 more``.
    """
    shown = [str(value) for value in sorted(values)][:limit]
    rest = len(values) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")

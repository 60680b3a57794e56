"""Paired proportions: what is right in one way and wrong in another, case by case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.intervals import Interval, normal_quantile, not_estimable
from lvo_kedro.evaluation.tables import BoolArray, listing

if TYPE_CHECKING:
    import pandas as pd


def align_pairs(table_a: pd.DataFrame, table_b: pd.DataFrame) -> pd.DataFrame:
    """Two score tables of the same cases, side by side.

    Args:
        table_a: Columns case_id, lvo and more.
        table_b: The same.

    Returns:
        Inner join on case_id with suffixes ``_a`` and ``_b``.

    Raises:
        TableError: No case in common, or a case whose label differs.
    """
    both = table_a.merge(table_b, on="case_id", suffixes=("_a", "_b"), validate="one_to_one")
    if both.empty:
        raise TableError("two runs without a case in common", "the same cases", "compare others")
    differ = both.loc[both["lvo_a"] != both["lvo_b"], "case_id"]
    if not differ.empty:
        raise TableError(
            f"case {differ.iloc[0]!r} with two different labels ({len(differ)} such)",
            "the same reference standard in both runs",
            "run both on the same cohort table",
        )
    return both


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


def mcnemar_rows(
    positives: BoolArray,
    call_a: BoolArray,
    call_b: BoolArray,
    operating_point: str,
    confidence: float = 0.95,
) -> list[dict[str, object]]:
    """Differences of sensitivity, specificity and accuracy at one operating point.

    Args:
        positives: Shape (n,).
        call_a: Calls of run A, shape (n,).
        call_b: Calls of run B, shape (n,).
        operating_point: Name, for the rows.
        confidence: Coverage.

    Returns:
        Tidy rows of :func:`paired_row`.
    """
    groups = {"sensitivity": positives, "specificity": ~positives, "accuracy": positives | True}
    return [
        paired_row(
            metric,
            (call_a == positives)[among],
            (call_b == positives)[among],
            confidence,
            operating_point=operating_point,
        )
        for metric, among in groups.items()
    ]


def paired_row(
    metric: str, right_a: BoolArray, right_b: BoolArray, confidence: float = 0.95, **place: object
) -> dict[str, object]:
    """How much more often A is right than B on the same cases, with McNemar's exact test.

    Args:
        metric: Name, for the row.
        right_a: Where A is right, shape (n,).
        right_b: Where B is right, shape (n,).
        confidence: Coverage.
        **place: Further columns of the row.

    Returns:
        A tidy row; the value is A - B, its interval Newcombe's score interval for paired
        proportions.

    Source:
        McNemar, Psychometrika 1947;12:153-157 (exact binomial form); Newcombe, Stat Med
        1998;17:2635-2650 (method 10).
    """
    only_a, only_b = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    both, n = int((right_a & right_b).sum()), int(right_a.size)
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    figure = not_estimable("no case")
    if n:
        figure = paired_difference(both, only_a, only_b, n - both - only_a - only_b, confidence)
    counts = {"only_a_right": only_a, "only_b_right": only_b, "p_value": p_value}
    return {**figure.row(metric, **place), **counts}


def paired_difference(
    both: int, only_a: int, only_b: int, neither: int, confidence: float = 0.95
) -> Interval:
    """Difference of two paired proportions with Newcombe's score interval (method 10).

    Args:
        both: Pairs in which both succeed.
        only_a: Pairs in which only the first does.
        only_b: Pairs in which only the second does.
        neither: Pairs in which neither does.
        confidence: Coverage.

    Returns:
        First minus second proportion.

    Source:
        Newcombe, Stat Med 1998;17:2635-2650.
    """
    n = both + only_a + only_b + neither
    z = normal_quantile(confidence)
    share_a, share_b = (both + only_a) / n, (both + only_b) / n
    (low_a, high_a), (low_b, high_b) = _wilson_limits(share_a, n, z), _wilson_limits(share_b, n, z)
    marginals = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    product = both * neither - only_a * only_b
    corrected = max(product - n / 2, 0.0) if product > 0 else float(product)
    phi = corrected / math.sqrt(marginals) if marginals else 0.0
    difference = share_a - share_b
    below_a, above_a, below_b, above_b = (
        share_a - low_a,
        high_a - share_a,
        share_b - low_b,
        high_b - share_b,
    )
    down = below_a**2 - 2 * phi * below_a * above_b + above_b**2
    up = below_b**2 - 2 * phi * below_b * above_a + above_a**2
    low, high = difference - np.sqrt(max(down, 0)), difference + np.sqrt(max(up, 0))
    return Interval(difference, float(low), float(high), n, "Newcombe, paired; McNemar exact")


def _wilson_limits(share: float, n: int, z: float) -> tuple[float, float]:
    centre, spread = (
        share + z**2 / (2 * n),
        z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)),
    )
    return (centre - spread) / (1 + z**2 / n), (centre + spread) / (1 + z**2 / n)

"""Paired proportions: what is right in one way and wrong in another, case by case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.stats import binomtest

from lvo_kedro.evaluation.statistics.intervals import Interval, not_estimable, wilson_interval

if TYPE_CHECKING:
    from lvo_kedro.evaluation.statistics.arrays import BoolArray


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
    counts = {"only_a_correct": only_a, "only_b_correct": only_b, "p_value": p_value}
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
    a, b = (wilson_interval(both + only, n, confidence) for only in (only_a, only_b))
    marginals = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    product = both * neither - only_a * only_b
    corrected = max(product - n / 2, 0.0) if product > 0 else float(product)
    phi = corrected / math.sqrt(marginals) if marginals else 0.0
    difference = a.value - b.value
    down = _distance(a.value - a.low, b.high - b.value, phi)
    up = _distance(b.value - b.low, a.high - a.value, phi)
    method = "Newcombe, paired; McNemar exact"
    return Interval(difference, difference - down, difference + up, n, method)


def _distance(below: float, above: float, phi: float) -> float:
    """The limit's distance from the difference, from those of both proportions' limits."""
    return math.sqrt(max(below**2 - 2 * phi * below * above + above**2, 0.0))

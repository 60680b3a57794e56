"""An estimate with its interval, and the intervals of proportions and their ratios.

Every table of this package is long and tidy: one number per row, in the columns of :data:`COLUMNS`
(and whatever tells the rows apart). An interval is two-sided; ``n`` counts the cases the estimate
rests on, and ``method`` says how the interval was made. What cannot be estimated is ``nan``, with
the reason in ``method``, and is never left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import ndtri
from scipy.stats import binomtest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS: Final = ("metric", "value", "low", "high", "n", "method")
"""The columns that every table of estimates has."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
        value: The point estimate; nan where it cannot be estimated.
        low: Lower limit; nan where there is none.
        high: Upper limit; nan where there is none.
        n: How many cases the estimate rests on.
        method: How the interval was made, or why there is none.
    """

    value: float
    low: float
    high: float
    n: int
    method: str

    def __str__(self) -> str:
        """The usual form in a text, such as ``0.91 (0.85 to 0.97)``."""
        if math.isnan(self.value):
            return f"not estimable ({self.method})"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def row(self, metric: str, **columns: Any) -> dict[str, Any]:
        """One row of a tidy table.

        Args:
            metric: Name of the number.
            **columns: What tells this row from others, such as ``operating_point="youden"``.

        Returns:
            The row, with the keys of :data:`COLUMNS` after those of ``columns``.
        """
        return {
            **columns,
            "metric": metric,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "method": self.method,
        }


def finite_numbers(name: str, row: Mapping[Any, Any]) -> dict[str, float]:
    """Value and limits of a table's row under plain names, for an experiment tracker.

    Args:
        name: Of the value; the limits are ``<name>_low`` and ``<name>_high``.
        row: With value, low and high.

    Returns:
        Those of the three that are finite.
    """
    endings = {"": "value", "_low": "low", "_high": "high"}
    numbers = {f"{name}{ending}": float(row[column]) for ending, column in endings.items()}
    return {key: number for key, number in numbers.items() if math.isfinite(number)}


def not_estimable(reason: str, n: int = 0, value: float = math.nan) -> Interval:
    """An interval without limits.

    Args:
        reason: Why, for the ``method`` column.
        n: Cases there were.
        value: The estimate, where only its interval is missing.

    Returns:
        The interval with nan limits.
    """
    return Interval(value, math.nan, math.nan, n, reason)


def spread_interval(values: Iterable[float], n: int, over: str = "folds") -> Interval:
    """Mean of a metric over folds (or seeds), with the smallest and largest value as limits.

    Args:
        values: The metric in each fold; nan where it cannot be estimated.
        n: Cases of all folds.
        over: What the values differ in.

    Returns:
        No confidence interval: the folds share training cases. ``method`` has the standard
        deviation between folds.
    """
    known = np.array([value for value in values if not math.isnan(value)])
    if known.size == 0:
        return not_estimable(f"in none of the {over}", n)
    deviation = f"{known.std(ddof=1):.3f}" if known.size > 1 else "unknown"
    method = f"mean and range over {known.size} {over}; standard deviation {deviation}"
    return Interval(float(known.mean()), float(known.min()), float(known.max()), n, method)


def normal_quantile(confidence: float) -> float:
    """The standard normal quantile of a two-sided interval.

    Args:
        confidence: Coverage, for example 0.95.

    Returns:
        Such as 1.96 for 0.95.
    """
    return float(ndtri(0.5 + confidence / 2))


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion.

    Stays within 0 and 1, and has a sensible width at 0 of n and n of n.

    Args:
        successes: How often it happened.
        n: How often it could have happened.
        confidence: Coverage, for example 0.95.

    Returns:
        The proportion with its interval; not estimable for n = 0.

    Source:
        Wilson, J Am Stat Assoc 1927;22:209-212, without continuity correction.
    """
    if n <= 0:
        return not_estimable("no case")
    low, high = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Interval(successes / n, float(low), float(high), n, "Wilson")


def likelihood_ratio_interval(
    numerator: tuple[float, float], denominator: tuple[float, float], confidence: float = 0.95
) -> Interval:
    """The ratio of two independent proportions, with a log-normal interval.

    Args:
        numerator: Successes and n of the upper proportion, such as (TP, LVO).
        denominator: Successes and n of the lower one, such as (FP, no LVO).
        confidence: Coverage.

    Returns:
        The ratio. Where a count is 0, half a case is added to each cell for the interval, and
        ``method`` says so; the value is then 0 or infinite.

    Source:
        Simel, Samsa, Matchar, J Clin Epidemiol 1991;44:763-770.
    """
    (a, n), (b, m) = numerator, denominator
    if n <= 0 or m <= 0:
        return not_estimable("no case in one class", int(n + m))
    upper, lower = a / n, b / m
    if upper == 0 and lower == 0:
        return not_estimable("both proportions are 0", int(n + m))
    value = math.inf if lower == 0 else upper / lower
    method = "log-normal (Simel)"
    if a == 0 or b == 0:
        a, n, b, m = a + 0.5, n + 1, b + 0.5, m + 1
        method += ", half a case added to each cell"
    # the same as scipy's relative_risk, which takes whole cases only and has no limits at 0
    error = math.sqrt(max(0.0, 1 / a - 1 / n + 1 / b - 1 / m))
    spread = math.exp(normal_quantile(confidence) * error)
    ratio = (a / n) / (b / m)
    low = 0.0 if value == 0 else ratio / spread
    high = math.inf if math.isinf(value) else ratio * spread
    return Interval(value, low, high, int(numerator[1] + denominator[1]), method)

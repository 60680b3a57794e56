"""The patient-level bootstrap: patients are drawn, and all of a patient's cases come along.

A resample is kept as a count a case, so that every statistic that takes weights can be computed on
many resamples at once, without copying the cases. All of them at once would take memory that grows
with cases times resamples: :func:`on_resamples` takes as many as a fixed amount holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.statistics.arrays import BoolArray, CountArray, FloatArray
from lvo_kedro.evaluation.statistics.intervals import Interval, not_estimable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Number = TypeVar("Number", bound=np.generic)
NO_SPREAD: Final = "all resamples give the same value"
"""Why a bootstrap has no interval to give."""
Statistic = Callable[[FloatArray], FloatArray]
"""Takes case weights of shape (resamples, n), returns shape (resamples,) or (resamples, k)."""
CELLS: Final = 500_000
"""Weights that a statistic is given at once: 4 MB as float64, and some arrays of that size."""
ROWS: Final = 8
"""Resamples are taken in multiples of this, as products of matrices take rows: so a sum does not
differ in its last digit with the number of resamples beside it."""


def patient_weights(
    patients: ArrayLike, strata: ArrayLike, resamples: int, seed: int = 0
) -> CountArray:
    """Draw patients with replacement, within strata.

    Drawing within strata keeps the number of patients with and without LVO as it was, so that no
    resample lacks a class.

    Args:
        patients: Patient of each case, shape (n,).
        strata: Numeric stratum of each case (such as the label), shape (n,). A patient belongs to
            the largest stratum of its cases.
        resamples: How many resamples.
        seed: Seed of the generator.

    Returns:
        How often each case is in each resample, shape (resamples, n); small integers, of which
        :func:`on_resamples` makes weights.
    """
    codes, _ = pd.factorize(np.asarray(patients))
    stratum = pd.Series(np.asarray(strata, dtype=float)).groupby(codes).max().to_numpy()
    generator = np.random.default_rng(seed)
    drawn = np.zeros((resamples, stratum.size), dtype=np.uint16)
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        share = np.full(members.size, 1 / members.size)
        for rows in _batches(resamples, members.size):
            size = len(range(resamples)[rows])
            drawn[rows, members] = generator.multinomial(members.size, share, size=size)
    return drawn[:, codes]


def on_resamples(
    statistic: Callable[[FloatArray], NDArray[Number]], weights: CountArray
) -> NDArray[Number]:
    """Compute a weighted statistic on each resample, some resamples at a time.

    Args:
        statistic: Takes weights of shape (some, n), returns shape (some, ...).
        weights: Resamples of :func:`patient_weights`, shape (resamples, n).

    Returns:
        Shape (resamples, ...); the same as of all resamples at once.
    """
    batches = _batches(*weights.shape)
    return np.concatenate([statistic(weights[rows].astype(np.float64)) for rows in batches])


def weighted_sums(columns: FloatArray | BoolArray, weights: CountArray) -> FloatArray:
    """Sum columns over the original cases and over those of each resample.

    Args:
        columns: A number for each case, shape (n, k).
        weights: Resamples of :func:`patient_weights`, shape (resamples, n).

    Returns:
        Shape (1 + resamples, k); the first row is that of the original cases.
    """
    values = columns.astype(np.float64)
    return np.vstack([values.sum(axis=0), on_resamples(lambda drawn: drawn @ values, weights)])


def _batches(resamples: int, n: int) -> list[slice]:
    """Divide resamples of ``n`` cases into runs of about :data:`CELLS` weights."""
    rows = ROWS * max(1, CELLS // (ROWS * max(1, n)))
    return [slice(start, start + rows) for start in range(0, resamples, rows)]


def percentile_limits(values: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray]:
    """Percentile limits over the first axis, ignoring resamples without a value.

    Args:
        values: Shape (resamples, ...).
        confidence: Coverage.

    Returns:
        Lower and upper limits, shape (...); nan where no resample has a value.
    """
    values = np.asarray(values, dtype=float)
    empty = np.isnan(values).all(axis=0)
    filled = np.where(empty, 0.0, values)
    tail = (1 - confidence) / 2
    # the one that leaves out NaN goes through the columns one by one
    quantile = np.nanquantile if np.isnan(filled).any() else np.quantile
    low, high = quantile(filled, [tail, 1 - tail], axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def percentile_interval(
    value: float, resampled: FloatArray, n: int, confidence: float, method: str
) -> Interval:
    """An estimate with percentile limits, or with none where the resamples cannot tell any.

    Args:
        value: The estimate on the original cases.
        resampled: The same on each resample, shape (resamples,).
        n: Cases that it rests on.
        confidence: Coverage.
        method: How the interval was made.

    Returns:
        The interval. Where all resamples give the same value (every call is right, the classes are
        perfectly separated) an interval of no width would claim certainty: there is none then, and
        ``method`` says why.
    """
    low, high = (float(limit) for limit in percentile_limits(resampled, confidence))
    spread = resampled[np.isfinite(resampled)]
    if spread.size and np.ptp(spread) < 1e-12:
        return not_estimable(f"no interval: {NO_SPREAD}", n, value)
    return Interval(value, low, high, n, method)


def bootstrap_interval(
    statistic: Statistic, weights: CountArray, confidence: float = 0.95
) -> Interval:
    """Percentile interval of a weighted statistic.

    Args:
        statistic: Takes weights of shape (resamples, n), returns shape (resamples,).
        weights: Resamples of :func:`patient_weights`, shape (resamples, n).
        confidence: Coverage.

    Returns:
        The statistic on the original cases (weights of one), with limits as
        :func:`percentile_interval` gives them.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    resamples, n = weights.shape
    value = float(statistic(np.ones((1, n)))[0])
    if np.isnan(value):
        return not_estimable("not defined on these cases", n)
    method = f"patient bootstrap, percentile, {resamples} resamples"
    return percentile_interval(value, on_resamples(statistic, weights), n, confidence, method)


def weighted_quantile(values: FloatArray, weights: FloatArray, *, level: float) -> FloatArray:
    """Quantile of weighted values, the mean of the two neighbours where it falls between them.

    Args:
        values: Shape (n,).
        weights: Non-negative, shape (resamples, n).
        level: 0 to 1.

    Returns:
        Shape (resamples,); nan where all weights are 0.
    """
    order = np.argsort(values)
    cumulative = np.cumsum(weights[:, order], axis=1)
    target = level * cumulative[:, -1:]
    ordered = values[order]
    lower = ordered[np.clip((cumulative < target - 1e-9).sum(axis=1), 0, values.size - 1)]
    upper = ordered[np.clip((cumulative <= target + 1e-9).sum(axis=1), 0, values.size - 1)]
    return np.where(cumulative[:, -1] > 0, (lower + upper) / 2, np.nan)

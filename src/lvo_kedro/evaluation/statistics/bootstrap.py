"""The patient-level bootstrap: patients are drawn, and all of a patient's cases come along.

A resample is kept as a count a case, so that every statistic that takes weights can be computed on
all resamples at once, without copying the cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.statistics.arrays import FloatArray
from lvo_kedro.evaluation.statistics.intervals import Interval, not_estimable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

NO_SPREAD: Final = "all resamples give the same value"
"""Why a bootstrap has no interval to give."""
Statistic = Callable[[FloatArray], FloatArray]
"""Takes case weights of shape (resamples, n), returns shape (resamples,) or (resamples, k)."""


def patient_weights(
    patients: ArrayLike, strata: ArrayLike, resamples: int, seed: int = 0
) -> FloatArray:
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
        How often each case is in each resample, shape (resamples, n), float64.
    """
    codes, _ = pd.factorize(np.asarray(patients))
    stratum = pd.Series(np.asarray(strata, dtype=float)).groupby(codes).max().to_numpy()
    generator = np.random.default_rng(seed)
    drawn = np.zeros((resamples, stratum.size))
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        share = np.full(members.size, 1 / members.size)
        drawn[:, members] = generator.multinomial(members.size, share, size=resamples)
    return drawn[:, codes]


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
    low, high = np.nanquantile(filled, [tail, 1 - tail], axis=0)
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
    statistic: Statistic, weights: FloatArray, confidence: float = 0.95
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
    return percentile_interval(value, statistic(weights), n, confidence, method)


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

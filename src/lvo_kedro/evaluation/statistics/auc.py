"""The area under the ROC curve, its intervals and tests.

The area is the share of (LVO, no LVO) pairs of cases that the score orders rightly, ties counting
one half. Its variance is DeLong's, computed from midranks in O(n log n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from lvo_kedro.evaluation.statistics.arrays import (
    BoolArray,
    CountArray,
    FloatArray,
    check_labels_and_scores,
    why_one_class,
)
from lvo_kedro.evaluation.statistics.bootstrap import NO_SPREAD, bootstrap_interval
from lvo_kedro.evaluation.statistics.curves import weighted_auc
from lvo_kedro.evaluation.statistics.intervals import Interval, normal_quantile, not_estimable

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

AucMethod = Literal["delong", "logit", "score"]


@dataclass(frozen=True)
class PairedTest:
    """Two areas on the same cases.

    Attributes:
        auc_a: Area of the first score.
        auc_b: Area of the second.
        difference: ``auc_a - auc_b`` with its interval.
        z: The test statistic; 0 where the two scores order all cases alike.
        p_value: Two-sided.
    """

    auc_a: float
    auc_b: float
    difference: Interval
    z: float
    p_value: float


def auc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    confidence: float = 0.95,
    method: AucMethod = "delong",
) -> Interval:
    """Area under the ROC curve with its confidence interval.

    Args:
        labels: 0 (no LVO) or 1 (LVO), shape (n,).
        scores: Larger for more suspicion, shape (n,).
        confidence: Coverage, for example 0.95.
        method: ``delong``: value plus and minus z standard errors, cut to 0-1, as R's pROC does;
            ``logit``: the same on the logit scale, always inside 0-1; ``score``: Newcombe's
            interval, which needs no variance estimate. Where DeLong's variance is 0 (an area of
            exactly 0 or 1, or a constant score) the first two have no width and would claim
            certainty: the score interval is then given, and the ``method`` of the result says so.

    Returns:
        The area with its interval; n counts the cases.

    Raises:
        TableError: A class has no case, a label is not 0 or 1, or a score is not finite.

    Source:
        DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837-845; Sun and Xu, IEEE Signal Process
        Lett 2014;21:1389-1393; Newcombe, Stat Med 2006;25:559-573 (method 5).

    Examples:
        >>> print(auc_interval([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]))
        0.750 (0.057 to 1.000)
    """
    positives, values = check_labels_and_scores(labels, scores)
    area, variance = _area_and_covariance(positives, values[None])
    value, error = float(area[0]), math.sqrt(max(0.0, float(variance[0, 0])))
    z, n = normal_quantile(confidence), int(values.size)
    if error < 1e-12 or method == "score":
        low, high = newcombe_limits(value, int(positives.sum()), int((~positives).sum()), z)
        name = "Newcombe score" if method == "score" else "Newcombe score (DeLong variance is 0)"
        return Interval(value, low, high, n, name)
    if method == "logit":
        half = z * error / (value * (1 - value))
        low, high = expit(logit(value) + np.array([-half, half]))
        return Interval(value, float(low), float(high), n, "DeLong, logit scale")
    return Interval(value, max(0.0, value - z * error), min(1.0, value + z * error), n, "DeLong")


def auc_or_reason(
    labels: ArrayLike,
    scores: ArrayLike,
    confidence: float = 0.95,
    method: AucMethod = "delong",
) -> Interval:
    """The area of :func:`auc_interval`, or why there is none in a set of one class.

    Args:
        labels: 0 or 1, shape (n,).
        scores: Shape (n,).
        confidence: Coverage.
        method: Of the interval.

    Returns:
        The area; not estimable where a class has no case.

    Raises:
        TableError: A label is not 0 or 1, or a score is not finite.
    """
    positives = np.asarray(labels, dtype=float) == 1
    reason = why_one_class(positives)
    if reason:
        return not_estimable(reason, int(positives.size))
    return auc_interval(labels, scores, confidence, method)


def patient_auc_interval(
    scores: pd.DataFrame, weights: CountArray, confidence: float = 0.95
) -> Interval:
    """Area under the ROC curve with an interval for which a patient's cases stay together.

    Args:
        scores: patient_id, lvo, probability.
        weights: Resamples of :func:`patient_weights`, shape (resamples, n).
        confidence: Coverage.

    Returns:
        The area with the patient bootstrap's percentile limits. Where all resamples give the same
        area (perfect separation), with Newcombe's score limits for as many patients as there are,
        which are no more than the cases; ``method`` says so.
    """
    positives = scores["lvo"].to_numpy() == 1
    probability = scores["probability"].to_numpy(dtype=float)
    figure = bootstrap_interval(
        lambda drawn: weighted_auc(positives, probability, drawn), weights, confidence
    )
    with_lvo = scores.groupby("patient_id")["lvo"].max() == 1
    sizes = int(with_lvo.sum()), int((~with_lvo).sum())
    if math.isnan(figure.value) or not math.isnan(figure.low) or not all(sizes):
        return figure
    low, high = newcombe_limits(figure.value, *sizes, normal_quantile(confidence))
    method = f"Newcombe score, patients counted ({NO_SPREAD})"
    return Interval(figure.value, low, high, figure.n, method)


def paired_delong(
    labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, confidence: float = 0.95
) -> PairedTest:
    """Test whether two scores of the same cases have the same area.

    Args:
        labels: 0 or 1, shape (n,).
        scores_a: First score, shape (n,).
        scores_b: Second score of the same cases in the same order, shape (n,).
        confidence: Coverage of the interval of the difference.

    Returns:
        Areas, difference with interval, z and two-sided p-value. Where an area is exactly 0, 1/2 or
        1, DeLong's variance takes it for certain; interval and p then come from the score intervals
        of both areas, and the ``method`` of the difference says so.

    Raises:
        TableError: As :func:`auc_interval`.

    Source:
        DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837-845; Zou and Donner, Stat Med
        2008;27:1693-1702.
    """
    positives, first = check_labels_and_scores(labels, scores_a)
    _, second = check_labels_and_scores(labels, scores_b)
    areas, covariance = _area_and_covariance(positives, np.stack([first, second]))
    difference = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = math.sqrt(max(0.0, float(variance)))
    n = int(first.size)
    if np.diag(covariance).min() < 1e-24:
        return _without_variance(positives, areas, confidence)
    if error < 1e-12:
        same = Interval(0.0, 0.0, 0.0, n, "paired DeLong (all cases ordered alike)")
        return PairedTest(float(areas[0]), float(areas[1]), same, 0.0, 1.0)
    half = normal_quantile(confidence) * error
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    interval = Interval(difference, low, high, n, "paired DeLong")
    z_value = difference / error
    p_value = float(2 * norm.sf(abs(z_value)))
    return PairedTest(float(areas[0]), float(areas[1]), interval, z_value, p_value)


def _without_variance(positives: BoolArray, areas: FloatArray, confidence: float) -> PairedTest:
    """The paired test where one of the areas, or both, has no variance of its own.

    That is so for areas of exactly 0, 1/2 (a constant score) or 1. To take such an area for certain
    would be wrong, so the difference gets the limits that follow from each one's score interval,
    taken as independent (Zou and Donner, Stat Med 2008;27:1693-1702).
    """
    a, b, n = float(areas[0]), float(areas[1]), int(positives.size)
    z = normal_quantile(confidence)
    sizes = int(positives.sum()), int((~positives).sum())
    (low_a, high_a), (low_b, high_b) = (newcombe_limits(area, *sizes, z) for area in (a, b))
    low = a - b - math.hypot(a - low_a, high_b - b)
    high = a - b + math.hypot(high_a - a, b - low_b)
    method = "from Newcombe score limits (DeLong variance of an area is 0)"
    difference = Interval(a - b, max(-1.0, low), min(1.0, high), n, method)
    toward_zero = (a - b - low) if a > b else (high - (a - b))
    z_value = 0.0 if a == b else (a - b) / (toward_zero / z)
    return PairedTest(a, b, difference, z_value, float(2 * norm.sf(abs(z_value))))


def _area_and_covariance(positives: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Areas of k scores, shape (k,), and DeLong's covariance of them, shape (k, k).

    Args:
        positives: Shape (n,).
        scores: Shape (k, n).
    """
    with_lvo, without = scores[:, positives], scores[:, ~positives]
    m, n = with_lvo.shape[1], without.shape[1]
    everyone = rankdata(np.concatenate([with_lvo, without], axis=1), axis=1)
    placement_lvo = (everyone[:, :m] - rankdata(with_lvo, axis=1)) / n
    placement_without = 1 - (everyone[:, m:] - rankdata(without, axis=1)) / m
    areas = placement_lvo.mean(axis=1)
    covariance = _covariance(placement_lvo) / m + _covariance(placement_without) / n
    return areas, covariance


def _covariance(values: FloatArray) -> FloatArray:
    """Sample covariance of rows; zero for a single column, which carries no spread."""
    if values.shape[1] < 2:
        return np.zeros((values.shape[0], values.shape[0]))
    return np.atleast_2d(np.cov(values))


def newcombe_limits(area: float, positives: int, negatives: int, z: float) -> tuple[float, float]:
    """Score-type limits of an area, from its value and the class sizes alone.

    The limits are the areas from which the estimate lies z standard errors away, with the standard
    error that exponentially distributed scores would have at that area.

    Args:
        area: The estimate, 0 to 1.
        positives: Number of cases with LVO.
        negatives: Number without.
        z: Standard normal quantile.

    Returns:
        Lower and upper limit, inside 0 to 1.

    Source:
        Newcombe, Stat Med 2006;25:559-573, method 5.
    """
    half_size = (positives + negatives) / 2 - 1

    def distance(theta: float) -> float:
        spread = 1 + half_size * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / (positives * negatives)
        return (area - theta) ** 2 - z**2 * variance

    # At an estimate of 0 or 1 the distance is 0 there too: the root wanted is the other one.
    tiny = 1e-9
    low = 0.0 if area <= tiny else float(brentq(distance, tiny**2, min(area, 1 - tiny)))
    high = 1.0 if area >= 1 - tiny else float(brentq(distance, max(area, tiny), 1 - tiny**1.5))
    return low, high

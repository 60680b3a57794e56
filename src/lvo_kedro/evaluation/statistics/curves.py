"""ROC, precision-recall and decision curves, and areas for resampled (weighted) cases."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from lvo_kedro.evaluation.statistics.arrays import (
    BoolArray,
    CountArray,
    FloatArray,
    check_labels_and_scores,
)
from lvo_kedro.evaluation.statistics.bootstrap import (
    on_resamples,
    percentile_interval,
    percentile_limits,
    weighted_sums,
)
from lvo_kedro.evaluation.statistics.intervals import COLUMNS, Interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

POINTS: Final = 200
"""Points of a curve whose limits are looked up at once; of all at once memory would be large."""


def weighted_auc(positives: BoolArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve of weighted cases, for many weightings at once.

    The same as scikit-learn's, which takes one weighting at a time and some 500 times as long.

    Args:
        positives: Shape (n,).
        scores: Shape (n,).
        weights: Shape (resamples, n).

    Returns:
        Areas, shape (resamples,); nan where a class has no weight.
    """
    hits, alarms = _cumulative(positives, scores, weights)
    pairs = hits[:, -1] * alarms[:, -1]
    step, tied = np.diff(hits, axis=1, prepend=0), np.diff(alarms, axis=1, prepend=0)
    below = alarms[:, -1:] - alarms
    right = (step * (below + tied / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, right / pairs, np.nan)


def weighted_average_precision(
    positives: BoolArray, scores: FloatArray, weights: FloatArray
) -> FloatArray:
    """Average precision of weighted cases: the precision-recall area without interpolation.

    Args:
        positives: Shape (n,).
        scores: Shape (n,).
        weights: Shape (resamples, n).

    Returns:
        Areas, shape (resamples,); nan where no case with LVO has weight.
    """
    hits, alarms = _cumulative(positives, scores, weights)
    called = hits + alarms
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    steps = np.diff(hits, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (precision * steps).sum(axis=1) / np.where(hits[:, -1] > 0, hits[:, -1], np.nan)


def _cumulative(
    positives: BoolArray, scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weight of true and false positives at each distinct score, from the highest downward."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    hits = np.cumsum(weights[:, order] * positives[order], axis=1)[:, last]
    alarms = np.cumsum(weights[:, order] * ~positives[order], axis=1)[:, last]
    return hits, alarms


def roc_table(
    labels: ArrayLike, scores: ArrayLike, weights: CountArray, confidence: float = 0.95
) -> pd.DataFrame:
    """The ROC curve with a band for the sensitivity at each false-positive rate.

    Args:
        labels: 0 or 1, shape (n,).
        scores: Shape (n,).
        weights: Patient resamples, shape (resamples, n).
        confidence: Coverage of the pointwise band.

    Returns:
        Columns threshold (a case is called at or above it), fpr, tpr, low, high, from (0, 0) to
        (1, 1); the band is the percentile interval of the resampled curves at that fpr.

    Raises:
        TableError: A class has no case, a label is not 0 or 1, or a score is not finite.
    """
    positives, values = check_labels_and_scores(labels, scores)
    fpr, tpr, threshold = roc_curve(positives, values, drop_intermediate=False)
    grid, place = np.unique(fpr, return_inverse=True)  # cases with LVO share the rate beside them
    hits = on_resamples(partial(_hits_at, grid, positives, values), weights)
    every = on_resamples(lambda drawn: drawn @ positives, weights)[:, None]
    starts = range(0, grid.size, POINTS)
    limits = [percentile_limits(hits[:, k : k + POINTS] / every, confidence) for k in starts]
    low, high = np.concatenate(limits, axis=1)[:, place]
    low[-1] = high[-1] = 1.0
    return pd.DataFrame({"threshold": threshold, "fpr": fpr, "tpr": tpr, "low": low, "high": high})


def _hits_at(
    grid: FloatArray, positives: BoolArray, scores: FloatArray, weights: FloatArray
) -> NDArray[np.uint32]:
    """The most true positives that each resample reaches at or below each rate of the grid."""
    hits, alarms = _cumulative(positives, scores, weights)
    start = np.zeros((weights.shape[0], 1))
    hits = np.concatenate([start, hits], axis=1).astype(np.uint32)
    fpr = np.concatenate([start, alarms / alarms[:, -1:]], axis=1)
    index = [np.searchsorted(rates, grid + 1e-12, side="right") - 1 for rates in fpr]
    return np.take_along_axis(hits, np.clip(index, 0, hits.shape[1] - 1), axis=1)


def precision_recall_table(labels: ArrayLike, scores: ArrayLike) -> pd.DataFrame:
    """The precision-recall curve.

    Args:
        labels: 0 or 1, shape (n,).
        scores: Shape (n,).

    Returns:
        Columns threshold, recall, precision, from the highest threshold downward.

    Raises:
        TableError: A class has no case, a label is not 0 or 1, or a score is not finite.
    """
    positives, values = check_labels_and_scores(labels, scores)
    precision, recall, threshold = precision_recall_curve(positives, values)
    # the last point, at recall 0, belongs to no threshold
    upward = {"threshold": threshold, "recall": recall[:-1], "precision": precision[:-1]}
    return pd.DataFrame(upward).iloc[::-1].reset_index(drop=True)


def decision_curve(
    scores: pd.DataFrame,
    thresholds: tuple[float, ...],
    weights: CountArray,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Net benefit of acting on the model, on everyone and on no one.

    Args:
        scores: Columns lvo and probability (calibrated).
        thresholds: Threshold probabilities, above 0 and below 1: the risk of LVO from which one
            would act.
        weights: Patient resamples, shape (resamples, n).
        confidence: Coverage.

    Returns:
        Tidy table with strategy (model, all, none) and threshold; net benefit in true positives a
        case: TP/n - FP/n x threshold / (1 - threshold). Resamples keep the share of patients with
        LVO, so intervals hold for that share; where all give the same value there is none.

    Source:
        Vickers and Elkin, Med Decis Making 2006;26:565-574.
    """
    positives = scores["lvo"].to_numpy() == 1
    probability = scores["probability"].to_numpy(dtype=float)
    # the last column is everyone, of the strategy "all"
    called = probability[:, None] >= np.array([*thresholds, -np.inf])
    hits = weighted_sums(positives[:, None] & called, weights)
    alarms = weighted_sums(~positives[:, None] & called, weights)
    total = hits[:, -1] + alarms[:, -1]
    rows = []
    for column, threshold in enumerate(thresholds):
        harm = threshold / (1 - threshold)
        for strategy, place in {"model": column, "all": -1}.items():
            benefit = (hits[:, place] - harm * alarms[:, place]) / total
            figure = percentile_interval(
                float(benefit[0]), benefit[1:], len(scores), confidence, "patient bootstrap"
            )
            rows.append(figure.row("net_benefit", strategy=strategy, threshold=threshold))
        nothing = Interval(0.0, 0.0, 0.0, len(scores), "by definition")
        rows.append(nothing.row("net_benefit", strategy="none", threshold=threshold))
    return pd.DataFrame(rows, columns=["strategy", "threshold", *COLUMNS])

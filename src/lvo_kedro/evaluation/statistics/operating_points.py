"""Metrics at fixed operating points, and predictive values.

An operating point is a threshold on the calibrated probability: a case is called positive at or
above it. Thresholds come from outside and are never chosen here. In cross-validation the threshold
of a case must come from folds that do not hold it; an operating point is then a mapping from fold
to threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.statistics.arrays import why_one_class
from lvo_kedro.evaluation.statistics.bootstrap import (
    NO_SPREAD,
    percentile_interval,
    weighted_sums,
)
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    likelihood_ratio_interval,
    not_estimable,
    wilson_interval,
)

if TYPE_CHECKING:
    from lvo_kedro.evaluation.statistics.arrays import BoolArray, CountArray, FloatArray

Threshold: TypeAlias = "float | Mapping[int, float] | Mapping[str, float]"
"""A probability, or one for each fold."""
OperatingPoints: TypeAlias = "Mapping[str, Threshold]"
"""Name of the operating point to its threshold."""


def fixed_points(
    calibration: Mapping[str, Any], split: str
) -> tuple[dict[str, Threshold], list[str] | dict[int, list[str]]]:
    """The operating points that hold for a split, and the cases that they were fitted on.

    Args:
        calibration: ``all`` and ``folds`` (fold to the same), each with ``operating_points`` (name
            to threshold) and ``fitted_on`` (case ids).
        split: ``development`` gets one threshold per fold, fitted on the cases of the other folds;
            any other split those fitted on all development cases.

    Returns:
        Name to threshold or to threshold by fold; case ids, by fold for ``development``.
    """
    if split != "development":
        return dict(calibration["all"]["operating_points"]), list(calibration["all"]["fitted_on"])
    folds = {int(fold): fit for fold, fit in calibration["folds"].items()}
    points: dict[str, Threshold] = {
        name: {fold: float(fit["operating_points"][name]) for fold, fit in folds.items()}
        for name in calibration["all"]["operating_points"]
    }
    return points, {fold: list(fit["fitted_on"]) for fold, fit in folds.items()}


def thresholds_of(scores: pd.DataFrame, threshold: Threshold, name: str = "") -> FloatArray:
    """The threshold that applies to each case.

    Args:
        scores: Score table; a column fold where ``threshold`` is a mapping from fold.
        threshold: One probability for all, or one per fold.
        name: Name of the operating point, for messages.

    Returns:
        Shape (n,).

    Raises:
        TableError: A threshold is not finite, or a fold has none, or is not known.
    """
    if isinstance(threshold, Mapping):
        by_fold = {int(fold): float(value) for fold, value in threshold.items()}
        folds = scores["fold"] if "fold" in scores else pd.Series(np.nan, index=scores.index)
        values = pd.to_numeric(folds).map(by_fold).to_numpy(dtype=np.float64)
    else:
        values = np.full(len(scores), float(threshold), dtype=np.float64)
    if not np.isfinite(values).all():
        raise TableError(
            f"the operating point {name!r} without a finite threshold for every case",
            "a probability, or one for each fold",
            "fix the operating point on development scores first",
        )
    return values


def calls_of(scores: pd.DataFrame, threshold: Threshold, name: str = "") -> BoolArray:
    """Which cases are called positive.

    Args:
        scores: Score table: probability; fold where thresholds differ by fold.
        threshold: One probability for all, or one per fold.
        name: Name of the operating point, for messages.

    Returns:
        Where the probability is at or above the threshold, shape (n,).

    Raises:
        TableError: As :func:`thresholds_of`.
    """
    return scores["probability"].to_numpy(dtype=float) >= thresholds_of(scores, threshold, name)


def counts(positives: BoolArray, called: BoolArray) -> dict[str, int]:
    """The four cells of the table of truth against call.

    Args:
        positives: Cases with LVO, shape (n,).
        called: Cases called positive, shape (n,).

    Returns:
        Counts under ``tp``, ``fp``, ``fn`` and ``tn``.
    """
    return {
        "tp": int((positives & called).sum()),
        "fp": int((~positives & called).sum()),
        "fn": int((positives & ~called).sum()),
        "tn": int((~positives & ~called).sum()),
    }


def fixed_point_metrics(
    positives: BoolArray, called: BoolArray, confidence: float = 0.95
) -> dict[str, Interval]:
    """Sensitivity, specificity and their relatives at one operating point.

    Args:
        positives: Cases with LVO, shape (n,).
        called: Cases called positive, shape (n,).
        confidence: Coverage.

    Returns:
        sensitivity, specificity, ppv, npv, accuracy (Wilson), likelihood_ratio_positive and
        likelihood_ratio_negative (log-normal), each with the n it rests on. Of cases of one class
        what needs both is not estimable: a PPV among occlusions alone would be 1 whatever is
        called.
    """
    cell = counts(positives, called)
    with_lvo, without = cell["tp"] + cell["fn"], cell["fp"] + cell["tn"]
    reason = why_one_class(positives)

    def share(successes: int, n: int) -> Interval:
        return wilson_interval(successes, n, confidence)

    def of_both(successes: int, n: int) -> Interval:
        return not_estimable(reason, n) if reason else share(successes, n)

    def ratio(upper: int, lower: int) -> Interval:
        return likelihood_ratio_interval((upper, with_lvo), (lower, without), confidence)

    return {
        "sensitivity": share(cell["tp"], with_lvo),
        "specificity": share(cell["tn"], without),
        "ppv": of_both(cell["tp"], cell["tp"] + cell["fp"]),
        "npv": of_both(cell["tn"], cell["tn"] + cell["fn"]),
        "accuracy": of_both(cell["tp"] + cell["tn"], with_lvo + without),
        "likelihood_ratio_positive": ratio(cell["tp"], cell["fp"]),
        "likelihood_ratio_negative": ratio(cell["fn"], cell["tn"]),
    }


def operating_table(
    scores: pd.DataFrame, points: OperatingPoints, confidence: float = 0.95
) -> pd.DataFrame:
    """All metrics and the four counts at each operating point.

    Args:
        scores: Columns lvo, probability, and fold where thresholds differ by fold.
        points: Name to threshold.
        confidence: Coverage.

    Returns:
        Tidy table with operating_point in front; the threshold and the counts are rows without
        interval. A threshold that differs by fold is given as mean and range over the cases.
    """
    positives = scores["lvo"].to_numpy() == 1
    rows = []
    for name, threshold in points.items():
        values = thresholds_of(scores, threshold, name)
        called = calls_of(scores, threshold, name)
        same = bool(np.ptp(values) == 0)
        middle = float(values[0] if same else values.mean())
        method = "fixed" if same else "mean and range over folds"
        used = Interval(middle, float(values.min()), float(values.max()), len(scores), method)
        rows.append(used.row("threshold", operating_point=name))
        for metric, number in counts(positives, called).items():
            cell = Interval(number, np.nan, np.nan, len(scores), "count")
            rows.append(cell.row(metric, operating_point=name))
        for metric, figure in fixed_point_metrics(positives, called, confidence).items():
            rows.append(figure.row(metric, operating_point=name))
    return pd.DataFrame(rows, columns=["operating_point", *COLUMNS])


def predictive_values(
    scores: pd.DataFrame,
    points: OperatingPoints,
    prevalences: tuple[float, ...],
    weights: CountArray,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """PPV and NPV that the same sensitivity and specificity give at other prevalences.

    Args:
        scores: Columns lvo and probability.
        points: Name to threshold.
        prevalences: Shares of LVO, 0 to 1.
        weights: Patient resamples, shape (resamples, n).
        confidence: Coverage.

    Returns:
        Tidy table with operating_point and prevalence; intervals from the patient bootstrap. Where
        all resamples give the same value (no false positive, or no false negative) the limits are
        those of the likelihood ratio, which determines a predictive value at a given prevalence.

    Source:
        Bayes' theorem; Altman and Bland, BMJ 1994;309:102; Simel, Samsa, Matchar, J Clin Epidemiol
        1991;44:763-770.
    """
    positives = scores["lvo"].to_numpy() == 1
    rows = []
    for name, threshold in points.items():
        called = calls_of(scores, threshold, name)
        fixed = fixed_point_metrics(positives, called, confidence)
        kinds = (positives & called, positives, ~positives & ~called, ~positives)
        hits, with_lvo, spared, without = weighted_sums(np.column_stack(kinds), weights).T
        sensitivity, specificity = hits / with_lvo, spared / without
        for prevalence in prevalences:
            true_positive, false_negative = sensitivity * prevalence, (1 - sensitivity) * prevalence
            true_negative = specificity * (1 - prevalence)
            false_positive = (1 - specificity) * (1 - prevalence)
            for metric, right, wrong in (
                ("ppv", true_positive, false_positive),
                ("npv", true_negative, false_negative),
            ):
                with np.errstate(invalid="ignore"):
                    value = right / (right + wrong)
                method = "Bayes' theorem, patient bootstrap"
                figure = percentile_interval(
                    float(value[0]), value[1:], len(scores), confidence, method
                )
                if np.isnan(figure.low):
                    figure = _from_likelihood_ratio(figure, metric, fixed, prevalence)
                rows.append(figure.row(metric, operating_point=name, prevalence=prevalence))
    return pd.DataFrame(rows, columns=["operating_point", "prevalence", *COLUMNS])


def _from_likelihood_ratio(
    figure: Interval, metric: str, fixed: Mapping[str, Interval], prevalence: float
) -> Interval:
    """A predictive value with the limits that those of its likelihood ratio mean."""
    sign = "positive" if metric == "ppv" else "negative"
    ratio = fixed[f"likelihood_ratio_{sign}"]
    odds = np.array([ratio.low, ratio.high]) * prevalence / (1 - prevalence)
    # odds / (1 + odds) that also takes the infinite ratio of a perfect specificity
    with_lvo = 1 - 1 / (1 + odds)
    low, high = with_lvo if metric == "ppv" else (1 - with_lvo)[::-1]
    method = f"Bayes' theorem, from the likelihood ratio ({NO_SPREAD})"
    return Interval(figure.value, float(low), float(high), figure.n, method)

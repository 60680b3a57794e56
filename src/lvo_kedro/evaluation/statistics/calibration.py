"""How well probabilities agree with frequencies, before and after calibration."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from lvo_kedro.evaluation.statistics.arrays import why_one_class
from lvo_kedro.evaluation.statistics.bootstrap import bootstrap_interval
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    normal_quantile,
    not_estimable,
    wilson_interval,
)

if TYPE_CHECKING:
    from lvo_kedro.evaluation.statistics.arrays import BoolArray, CountArray, FloatArray

STAGES = {"before": "probability_raw", "after": "probability"}
"""Calibration stage to the column of the score table that it is read from."""


def calibration_table(
    scores: pd.DataFrame, weights: CountArray, confidence: float = 0.95
) -> pd.DataFrame:
    """Slope, intercept, calibration in the large, Brier score and skill, before and after.

    Args:
        scores: Columns lvo, probability_raw, probability.
        weights: Patient resamples, shape (resamples, n).
        confidence: Coverage.

    Returns:
        Tidy table with stage (before, after). ``slope`` (ideal 1) and ``intercept`` (ideal 0) are
        those of a logistic regression of LVO on the logit of the probability;
        ``calibration_in_the_large`` (ideal 0) is the intercept with the slope held at 1;
        ``brier`` is the mean squared error; ``brier_skill`` is 1 minus Brier over that of the
        prevalence.

    Source:
        Cox, Biometrika 1958;45:562-565; Van Calster et al., BMC Med 2019;17:230; Brier, Mon
        Weather Rev 1950;78:1-3.
    """
    positives = scores["lvo"].to_numpy() == 1
    rows = []
    for stage, column in STAGES.items():
        probability = scores[column].to_numpy(dtype=float)
        figures = recalibration(positives, probability, confidence)
        figures["brier"] = bootstrap_interval(
            partial(_brier, positives, probability), weights, confidence
        )
        figures["brier_skill"] = bootstrap_interval(
            partial(_brier_skill, positives, probability), weights, confidence
        )
        rows += [figure.row(metric, stage=stage) for metric, figure in figures.items()]
    return pd.DataFrame(rows, columns=["stage", *COLUMNS])


def recalibration(
    positives: BoolArray, probability: FloatArray, confidence: float = 0.95
) -> dict[str, Interval]:
    """Calibration slope, intercept and calibration in the large, with Wald intervals.

    Args:
        positives: Shape (n,).
        probability: Shape (n,); drawn in to 1e-6 and 1 - 1e-6, so that 0 and 1 have a logit.
        confidence: Coverage.

    Returns:
        slope, intercept, calibration_in_the_large; not estimable where the classes are perfectly
        separated, the probability is constant, or a class has no case.
    """
    n = positives.size
    names = ("intercept", "slope")
    reason = why_one_class(positives)
    if reason:
        empty = not_estimable(reason, n)
        return dict.fromkeys((*names, "calibration_in_the_large"), empty)
    x = logit(np.clip(probability, 1e-6, 1 - 1e-6))
    z = normal_quantile(confidence)
    figures: dict[str, Interval] = {}
    if np.ptp(x) < 1e-9:
        figures = dict.fromkeys(names, not_estimable("constant probability", n))
    elif _separated(positives, x):
        figures = dict.fromkeys(names, not_estimable("classes perfectly separated", n))
    else:
        # Fitted on the standardized logit, where Newton's steps are well scaled, then scaled back.
        centre, scale = x.mean(), x.std()
        design = np.column_stack([np.ones(n), (x - centre) / scale])
        back = np.array([[1, -centre / scale], [0, 1 / scale]])
        fit = _fit_logistic(design, positives, np.zeros(n))
        coefficients = back @ fit[0]
        errors = np.sqrt(np.diag(back @ fit[1] @ back.T))
        for name, value, error in zip(names, coefficients, errors, strict=True):
            figures[name] = _wald(value, error, z, n)
    value, variance = _fit_logistic(np.ones((n, 1)), positives, x)
    error = float(np.sqrt(variance[0, 0]))
    return {**figures, "calibration_in_the_large": _wald(value[0], error, z, n)}


def _wald(value: float, error: float, z: float, n: int) -> Interval:
    low, high = float(value - z * error), float(value + z * error)
    return Interval(float(value), low, high, n, "logistic regression, Wald")


def _separated(positives: BoolArray, x: FloatArray) -> bool:
    """Whether a cut puts all of one class on one side, so that no finite slope fits best."""
    with_lvo, without = x[positives], x[~positives]
    return bool(with_lvo.min() >= without.max() or with_lvo.max() <= without.min())


def _fit_logistic(
    design: FloatArray, positives: BoolArray, offset: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Maximum likelihood by Newton's method with halved steps; coefficients and covariance."""
    beta = np.zeros(design.shape[1])

    def loss(candidate: FloatArray) -> float:
        linear = design @ candidate + offset
        return float(np.logaddexp(0, np.where(positives, -linear, linear)).sum())

    for _ in range(200):
        fitted = expit(design @ beta + offset)
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.pinv(information) @ (design.T @ (positives - fitted))
        size = 1.0
        while size > 1e-6 and loss(beta + size * step) > loss(beta) + 1e-12:
            size /= 2
        beta = beta + size * step
        if np.abs(step).max() < 1e-9:
            break
    fitted = expit(design @ beta + offset)
    information = (design * (fitted * (1 - fitted))[:, None]).T @ design
    return beta, np.linalg.pinv(information)


def _brier(positives: BoolArray, probability: FloatArray, weights: FloatArray) -> FloatArray:
    return (weights @ (probability - positives) ** 2) / weights.sum(axis=1)


def _brier_skill(positives: BoolArray, probability: FloatArray, weights: FloatArray) -> FloatArray:
    prevalence = (weights @ positives) / weights.sum(axis=1)
    reference = prevalence * (1 - prevalence)
    brier = _brier(positives, probability, weights)
    return 1 - brier / np.where(reference > 0, reference, np.nan)


def reliability_table(
    scores: pd.DataFrame, bins: int = 10, minimum: int = 5, confidence: float = 0.95
) -> pd.DataFrame:
    """Observed against predicted frequency in bins of equal counts, before and after.

    Args:
        scores: Columns lvo, probability_raw, probability.
        bins: Bins wanted.
        minimum: Fewest cases in a bin; there are fewer bins where cases are few.
        confidence: Coverage.

    Returns:
        Tidy table with stage, bin, predicted (mean probability of the bin); the value is the
        observed share of LVO with Wilson's interval.
    """
    rows = []
    for stage, column in STAGES.items():
        count = max(1, min(bins, len(scores) // minimum))
        # Ties stay in one bin: a calibrated score may take few distinct values.
        labels = pd.qcut(scores[column], count, labels=False, duplicates="drop")
        for number, (_, part) in enumerate(scores.groupby(labels, dropna=False)):
            figure = wilson_interval(int(part["lvo"].sum()), len(part), confidence)
            place = {"stage": stage, "bin": number, "predicted": float(part[column].mean())}
            rows.append(figure.row("observed", **place))
    return pd.DataFrame(rows, columns=["stage", "bin", "predicted", *COLUMNS])

"""From logits to probabilities, and the thresholds at which they become a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, ndtr
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_curve

from lvo_kedro.errors import TableError
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CalibrationMethod = Literal["temperature", "isotonic", "none"]


class Calibration(Options):
    """A non-decreasing map from logits to probabilities; all of it is plain numbers.

    Attributes:
        method: How it was fitted.
        temperature: Logits are divided by it (``temperature``).
        logits: Supporting points in ascending order (``isotonic``).
        probabilities: Their probabilities, joined by straight lines.
    """

    method: CalibrationMethod = "none"
    temperature: float = Field(1.0, gt=0)
    logits: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities of ``logits``, in their shape."""
        values = np.asarray(logits, dtype=float)
        if self.method == "isotonic":
            return np.interp(values, self.logits, self.probabilities)
        return np.asarray(expit(values / self.temperature), dtype=float)


def calibrate(
    labels: ArrayLike, logits: ArrayLike, method: CalibrationMethod = "temperature"
) -> Calibration:
    """Fit a calibration on scores of cases that the networks had not seen.

    Args:
        labels: 1 with, 0 without occlusion; both must occur.
        logits: One per case, finite.
        method: ``temperature`` (Guo et al., "On Calibration of Modern Neural Networks", ICML
            2017) keeps the order of all cases, and no probability is surer than the number of
            cases allows (targets as in Platt, "Probabilistic Outputs for Support Vector
            Machines", 1999: with 20 cases of a class 21/22, not 1); ``isotonic`` fits more freely,
            makes ties, and wants some hundred cases; ``none`` is the sigmoid.

    Returns:
        The map from logits to probabilities.

    Raises:
        TableError: One class alone, or scores that are not finite.
    """
    truth, scores = _checked(labels, logits)
    if method == "temperature":
        fitted = minimize_scalar(
            lambda exponent: _cautious_loss(truth, scores / np.exp(exponent)),
            bounds=(np.log(0.05), np.log(20.0)),
            method="bounded",
        )
        return Calibration(method="temperature", temperature=float(np.exp(fitted.x)))
    if method == "isotonic":
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)
        return Calibration(
            method="isotonic",
            logits=tuple(map(float, isotonic.X_thresholds_)),
            probabilities=tuple(map(float, isotonic.y_thresholds_)),
        )
    return Calibration()


def _cautious_loss(truth: NDArray[np.int64], logits: NDArray[np.float64]) -> float:
    """Return the cross-entropy with Platt's targets; with 0 and 1, separable scores have no end."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    target = np.where(truth == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    loss = target * np.logaddexp(0, -logits) + (1 - target) * np.logaddexp(0, logits)
    return float(loss.mean())


def choose_operating_points(
    labels: ArrayLike, probabilities: ArrayLike, sensitivity: float = 0.90
) -> dict[str, float]:
    """Choose thresholds; a case is called positive where its probability is not below one.

    Args:
        labels: 1 with, 0 without occlusion.
        probabilities: One per case.
        sensitivity: That the second operating point must reach.

    Returns:
        ``youden``: the threshold of the largest sensitivity + specificity - 1 of the smoothed
        scores; the largest of the scores as they are is a matter of single cases, and does not
        last. ``sensitivity_90`` (named after the argument): the most specific threshold whose
        sensitivity is at least ``sensitivity``, and of equally specific ones the most sensitive;
        in the middle between the scores it separates.

    Raises:
        TableError: One class alone, or scores that are not finite.
    """
    truth, scores = _checked(labels, probabilities)
    false_positive, true_positive, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    enough = true_positive >= sensitivity - 1e-9
    # of the points with the fewest false positives the last one: more occlusions at no cost
    sensitive = int(np.flatnonzero(false_positive == false_positive[enough].min())[-1])
    return {
        "youden": _smooth_youden(truth, scores),
        f"sensitivity_{round(100 * sensitivity)}": _between(scores, float(thresholds[sensitive])),
    }


def _smooth_youden(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the threshold that parts the classes best when each score is a Gaussian of log odds.

    Fluss, Faraggi and Reiser, "Estimation of the Youden Index and its associated cutoff point",
    2005, with Silverman's bandwidth of each class. Where no score of one class lies among the
    other's, the middle between them.
    """
    highest, lowest = probabilities[truth == 0].max(), probabilities[truth == 1].min()
    if highest < lowest:
        return float((highest + lowest) / 2)
    scores = logit(np.clip(probabilities, 1e-6, 1 - 1e-6))
    # from the lowest score to the highest: a point must call something, even of chance scores
    grid = np.linspace(scores.min(), scores.max(), 1001)
    below = {
        label: ndtr((grid[:, None] - own) / _bandwidth(own)).mean(axis=1)
        for label, own in ((label, scores[truth == label]) for label in (0, 1))
    }
    return float(expit(grid[int(np.argmax(below[0] - below[1]))]))


def _bandwidth(values: NDArray[np.float64]) -> float:
    """Return Silverman's rule of thumb."""
    low, high = np.percentile(values, [25, 75])
    spread = min(float(values.std()), float(high - low) / 1.34) or float(values.std())
    return max(0.9 * spread * len(values) ** -0.2, 1e-3)


def _between(scores: NDArray[np.float64], threshold: float) -> float:
    """Return the middle between ``threshold`` and the next lower score."""
    lower = scores[scores < threshold]
    return float((threshold + lower.max()) / 2) if len(lower) else threshold


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth, values = np.asarray(labels).astype(int), np.asarray(scores, dtype=float)
    if set(truth.tolist()) != {0, 1} or truth.shape != values.shape:
        raise TableError(
            f"labels {sorted(set(truth.tolist()))} for {values.size} scores",
            "one label per case, some 0 and some 1",
            "add cases of the missing class",
        )
    if not np.isfinite(values).all():
        raise TableError("scores that are not finite", "numbers", "leave out the cases that failed")
    return truth, values

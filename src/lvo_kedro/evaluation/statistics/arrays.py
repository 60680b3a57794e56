"""The arrays that statistics are given, and what is asked of labels and scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lvo_kedro.errors import TableError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
CountArray = NDArray[np.uint16]


def why_one_class(positives: BoolArray) -> str:
    """Say why there is nothing to tell apart; empty where both classes have a case.

    Args:
        positives: Cases with LVO, shape (n,).
    """
    if positives.all():
        return "only one class: no case without LVO"
    return "" if positives.any() else "only one class: no case with LVO"


def check_labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[BoolArray, FloatArray]:
    """Labels as booleans and scores as floats, of one length, with both classes.

    Args:
        labels: 0 or 1 (or booleans), shape (n,).
        scores: Any finite numbers, larger for more suspicion, shape (n,).

    Returns:
        Labels and scores as arrays.

    Raises:
        TableError: Shapes differ, a label is neither 0 nor 1, a score is not finite, or a class
            has no case.
    """
    truth = np.asarray(labels, dtype=float)
    values = np.asarray(scores, dtype=float)
    if truth.ndim != 1 or truth.shape != values.shape:
        raise TableError(
            f"labels of shape {truth.shape} and scores of shape {values.shape}",
            "one label and one score per case",
            "align the two by case id",
        )
    odd = truth[~np.isin(truth, (0, 1))]
    if odd.size:
        raise TableError(
            f"the label {odd[0]} ({odd.size} such)",
            "0 (no LVO) or 1 (LVO)",
            "correct the column lvo of the cohort table",
        )
    if not np.isfinite(values).all():
        raise TableError(
            f"{int((~np.isfinite(values)).sum())} scores that are not finite numbers",
            "a finite score for every case",
            "exclude the failed cases and count them as excluded",
        )
    positives = truth.astype(bool)
    if positives.all() or not positives.any():
        raise TableError(
            f"{int(positives.sum())} cases with LVO among {positives.size}",
            "at least one case with and one without LVO",
            "evaluate on a set that has both",
        )
    return positives, values

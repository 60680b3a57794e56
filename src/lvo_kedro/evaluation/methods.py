"""The detectors side by side on the same cases, whichever of them counts.

Areas are of log odds before calibration, because only the chosen method is calibrated. Where every
fold has a calibration of its own, the area of the pooled probabilities is another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.options import Subgroup
from lvo_kedro.evaluation.statistics.arrays import why_one_class
from lvo_kedro.evaluation.statistics.auc import paired_delong
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    not_estimable,
    wilson_interval,
)
from lvo_kedro.evaluation.subgroups import (
    UNKNOWN,
    area_among,
    levels_of,
    why_missing,
)
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.evaluation.options import EvaluationOptions
    from lvo_kedro.evaluation.statistics.arrays import FloatArray

METHODS: Final = ("network", "sides", "ensemble", "ensemble_clinical")
"""Detectors, in the order in which they are shown; the others are compared with the first."""
CHOSEN: Final = "yes"
"""Marks the method whose score is the score of the case."""
SEGMENT: Final = Subgroup(column="segment")


def method_table(scores: pd.DataFrame, options: EvaluationOptions) -> pd.DataFrame:
    """Area of each method, its difference to the network's, and how often the side is right.

    Args:
        scores: Score table joined with the cohort: lvo, ``logit_<method>`` of each method there is,
            ``logit`` of the chosen one; ``likely_side``, side and segment where known. A table
            without ``logit_<method>`` is of the network, which was once the only method.
        options: Confidence, method of the interval, fewest cases.

    Returns:
        Tidy table with ``by`` (the method), ``chosen`` (:data:`CHOSEN` or empty), ``segment``
        (``all``, or the occlusions of that class, or of another or an unknown segment, against
        all cases without one), p_value (paired
        DeLong, two-sided) and remark (too few cases). Metrics: ``auc``; ``auc_difference``, this
        method's minus the network's; ``likely_side_accuracy`` of the chosen method, the share of
        all occlusions of a known side whose likelier side is the true one.

    Raises:
        TableError: ``logit`` is that of none of the methods.
    """
    logits = _logits_by_method(scores)
    chosen = _chosen_of(scores, logits)
    labels = scores["lvo"].to_numpy()
    rows: list[dict[str, Any]] = []
    for name, values in logits.items():
        place = {"by": name, "chosen": CHOSEN if name == chosen else ""}
        rows += _area_rows(scores, values, place, options)
        if name != METHODS[0] and METHODS[0] in logits:
            rows.append(_difference_row(labels, values, logits[METHODS[0]], place, options))
        if name == chosen:
            rows.append(_side_row(scores, place, options.confidence))
    table = pd.DataFrame(rows, columns=["by", "chosen", "segment", *COLUMNS, "p_value", "remark"])
    return table.fillna({"remark": ""})


def _difference_row(
    labels: np.ndarray,
    values: FloatArray,
    network: FloatArray,
    place: Mapping[str, str],
    options: EvaluationOptions,
) -> dict[str, Any]:
    """The paired difference of a method's area to the network's."""
    reason = why_one_class(labels == 1)
    if reason:
        return not_estimable(reason, labels.size).row("auc_difference", **place, segment="all")
    test = paired_delong(labels, values, network, options.confidence)
    row = test.difference.row("auc_difference", **place, segment="all")
    return row | {"p_value": test.p_value}


def _logits_by_method(scores: pd.DataFrame) -> dict[str, FloatArray]:
    there = {name: f"logit_{name}" for name in METHODS if f"logit_{name}" in scores}
    alone = "logit" if "logit" in scores else "probability"
    columns = there or {METHODS[0]: alone}
    return {name: scores[column].to_numpy(dtype=float) for name, column in columns.items()}


def _chosen_of(scores: pd.DataFrame, logits: Mapping[str, FloatArray]) -> str:
    """Return the method whose log odds are the case's, to the last bit."""
    if len(logits) == 1:
        return next(iter(logits))
    counted = scores["logit"].to_numpy(dtype=float)
    for name, values in logits.items():
        if np.array_equal(values, counted):
            return name
    raise TableError(
        "a column logit that is that of none of the methods",
        f"the values of one of {', '.join(f'logit_{name}' for name in logits)}",
        "score the cases again, which writes all of them together",
    )


def _area_rows(
    scores: pd.DataFrame, values: FloatArray, place: Mapping[str, str], options: EvaluationOptions
) -> list[dict[str, Any]]:
    levels = {"all": np.ones(len(scores), dtype=bool)}
    reason = why_missing(scores, SEGMENT.column)
    if not reason:
        levels |= levels_of(scores, SEGMENT)
    rows = []
    for level, members in levels.items():
        figure, remark = area_among(scores["lvo"].to_numpy() == 1, values, members, options)
        rows.append(figure.row("auc", **place, segment=level, remark=remark))
    if reason:
        rows.append(not_estimable(reason).row("auc", **place, segment=UNKNOWN, remark=reason))
    return rows


def _side_row(
    scores: pd.DataFrame, place: Mapping[str, str], confidence: float
) -> dict[str, object]:
    """How often the likelier side is the occluded one, of the occlusions whose side is known."""
    figure = not_estimable("the method tells no sides")
    if {"likely_side", "side"} <= set(scores):
        known = scores[(scores["lvo"] == 1) & scores["side"].isin(SIDES)]
        told = known[known["likely_side"].isin(SIDES)]
        if len(told):
            right = int((told["likely_side"] == told["side"]).sum())
            figure = wilson_interval(right, len(told), confidence)
    return figure.row("likely_side_accuracy", **place, segment="all")

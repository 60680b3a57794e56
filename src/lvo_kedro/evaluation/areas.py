"""Areas and curves over both classes, and what stands in their place where they mean nothing.

They need cases with and without LVO, and labels that cannot be told from where a case comes from.
Where either is missing, areas are not estimable with the reason, and the curves have no points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.leakage.findings import Finding
from lvo_kedro.evaluation.leakage.sources import LABEL_EQUALS_SOURCE
from lvo_kedro.evaluation.statistics.arrays import why_one_class
from lvo_kedro.evaluation.statistics.curves import (
    decision_curve,
    precision_recall_table,
    roc_table,
)
from lvo_kedro.evaluation.statistics.intervals import COLUMNS
from lvo_kedro.evaluation.statistics.operating_points import OperatingPoints, predictive_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvo_kedro.evaluation.options import EvaluationOptions
    from lvo_kedro.evaluation.statistics.arrays import CountArray

ALONE: Final = "trained on occlusions alone"
"""Why nothing that asks whether there is an occlusion is estimable."""
ONE_CLASS: Final = "one_class"
"""Name of the check."""
AREAS: Final = ("auc", "auc_bootstrap", "auc_difference", "average_precision")
CURVES: Final = {
    "roc": ("threshold", "fpr", "tpr", "low", "high"),
    "precision_recall": ("threshold", "recall", "precision"),
    "predictive_values": ("operating_point", "prevalence", *COLUMNS),
    "decision_curve": ("strategy", "threshold", *COLUMNS),
}
"""Tables over both classes, and their columns."""


def check_both_classes(scores: pd.DataFrame) -> list[Finding]:
    """A set of occlusions alone, or of controls alone.

    Args:
        scores: lvo.

    Returns:
        A warning that says what is absent and what stands.
    """
    reason = why_one_class(scores["lvo"].to_numpy() == 1)
    if not reason:
        return []
    stands = (
        "sensitivity, side, segment and the occluded against the opposite side stand"
        if (scores["lvo"] == 1).all()
        else "specificity stands"
    )
    message = (
        f"{reason} among {len(scores)}: there is nothing to tell them from, so that areas, curves "
        f"and predictive values are absent; {stands}"
    )
    return [Finding(ONE_CLASS, "warning", message)]


def why_no_areas(scores: pd.DataFrame, findings: Sequence[Finding]) -> str:
    """Say why areas of this set mean nothing; empty where they stand.

    Args:
        scores: lvo.
        findings: Those of :func:`~lvo_kedro.evaluation.leakage.check_label_source` among others; an
            acknowledged one is no error and withholds nothing.
    """
    if any(f.check == LABEL_EQUALS_SOURCE and f.severity == "error" for f in findings):
        return "withheld: label equals source"
    return why_one_class(scores["lvo"].to_numpy() == 1)


def withhold_areas(table: pd.DataFrame, reason: str) -> pd.DataFrame:
    """Take the areas out of a tidy table, with the reason in their place.

    Args:
        table: Tidy table.
        reason: Of :func:`why_no_areas`; the table stays as it is where it is empty.
    """
    if not reason:
        return table
    return _withheld(table, table["metric"].isin(AREAS), reason)


def withhold_answers(table: pd.DataFrame, reason: str) -> pd.DataFrame:
    """Take everything but counts out of a tidy table, with the reason in its place.

    Args:
        table: Tidy table of what is answered to whether there is an occlusion.
        reason: :data:`ALONE`; the table stays as it is where it is empty.
    """
    counted = (table["method"] == "count") | table["metric"].isin(["prevalence", "n"])
    return _withheld(table, ~counted, reason) if reason else table


def _withheld(table: pd.DataFrame, rows: pd.Series, reason: str) -> pd.DataFrame:
    numbers = [name for name in ("value", "low", "high", "p_value") if name in table]
    kept = table.copy()
    kept[numbers] = kept[numbers].astype(float)
    kept.loc[rows, numbers] = np.nan
    kept.loc[rows, "method"] = reason
    return kept


def curve_tables(
    scores: pd.DataFrame,
    weights: CountArray,
    points: OperatingPoints,
    options: EvaluationOptions,
    reason: str = "",
) -> dict[str, pd.DataFrame]:
    """The curves over both classes.

    Args:
        scores: lvo, probability; fold where operating points differ by fold.
        weights: Patient resamples, shape (resamples, n).
        points: Name to threshold.
        options: Confidence, prevalences, thresholds of the decision curve.
        reason: Why there are none.

    Returns:
        The tables of :data:`CURVES`, without rows where there is a reason.
    """
    if reason:
        return {name: pd.DataFrame(columns=list(columns)) for name, columns in CURVES.items()}
    labels, probability = scores["lvo"].to_numpy(), scores["probability"].to_numpy(dtype=float)
    confidence = options.confidence
    return {
        "roc": roc_table(labels, probability, weights, confidence),
        "precision_recall": precision_recall_table(labels, probability),
        "predictive_values": predictive_values(
            scores, points, options.prevalences, weights, confidence
        ),
        "decision_curve": decision_curve(scores, options.decision_thresholds, weights, confidence),
    }

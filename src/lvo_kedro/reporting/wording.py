"""How names, numbers and estimates of the tables are worded for readers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES: Final[dict[str, str]] = {
    "auc": "AUC",
    "auc_bootstrap": "AUC (patient bootstrap)",
    "average_precision": "Precision-recall AUC",
    "prevalence": "Prevalence",
    "cases": "Cases",
    "cases_with_lvo": "Cases with LVO",
    "n": "Cases",
    "threshold": "Threshold (probability)",
    "tp": "True positives",
    "fp": "False positives",
    "fn": "False negatives",
    "tn": "True negatives",
    "ppv": "PPV",
    "npv": "NPV",
    "likelihood_ratio_positive": "Likelihood ratio +",
    "likelihood_ratio_negative": "Likelihood ratio −",
    "calibration_in_the_large": "Calibration in the large",
    "brier": "Brier score",
    "brier_skill": "Brier skill",
    "dice": "Dice",
    "cldice": "clDice",
    "hd95_mm": "95th percentile surface distance (mm)",
    "msd_mm": "Mean surface distance (mm)",
    "missing": "Label not found",
    "volume_error": "Relative volume error",
    "sd": "SD",
    "point_given": "Point given",
    "median_mm": "Median distance (mm)",
    "median_if_correct_mm": "Median distance where side and segment are right (mm)",
    "lower_quartile_mm": "Lower quartile (mm)",
    "upper_quartile_mm": "Upper quartile (mm)",
    "side_and_segment_accuracy": "Side and segment correct",
    "segment_accuracy": "Segment correct",
    "side_accuracy": "Side correct",
    "adjoining_segment_accuracy": "At least one segment in common",
    "balanced_accuracy": "Balanced accuracy of segments",
    "end_to_end": "End to end",
    "given_detection": "Given detection",
    "all_lvo": "Localization alone",
    "explained_by_occluded_side": "More mass on the occluded side",
    "occluded_side_higher": "Occluded side scores higher than the opposite one",
    "hemisphere_auc": "AUC of occluded against opposite sides, all patients pooled",
    "scans_compared": "Scans compared",
    "side_not_compared": "Occlusions of both or an unknown side, not compared",
    "youden": "Youden",
    "known_occlusion": "occlusion known",
    "net_benefit": "Net benefit",
    "lvo": "LVO",
    "case_id": "Case",
    "patient_id": "Patient",
    "validation_auc": "Validation AUC",
    "p_value": "p",
    "probability_a": "Probability, A",
    "probability_b": "Probability, B",
    "call_a": "Call, A",
    "call_b": "Call, B",
    "called_a": "Named by A",
    "called_b": "Named by B",
    "auc_difference": "AUC difference",
    "auc_changed": "AUC, changed",
    "not_computed": "Not computed",
    "without_ncct": "Without NCCT",
}
DETECTORS: Final[dict[str, str]] = {
    "network": "McResNet",
    "sides": "Side model",
    "ensemble": "Ensemble",
    "ensemble_clinical": "Ensemble with clinical values",
}
"""The methods of detection."""
CHANGES: Final[dict[str, str]] = {
    "noise": "Noise, {} HU",
    "slices": "Slices of {} mm",
    "tilt": "Tilt of {}°",
    "roll": "Roll of {}°",
    "offset": "Offset of {} HU",
    "without": "Without {}",
}
"""Controlled changes of a scan, by the first part of their name."""
RATIOS: Final = ("likelihood_ratio_positive", "likelihood_ratio_negative")


def words(name: object) -> str:
    """A metric, scope or column in words.

    Args:
        name: Such as ``likelihood_ratio_positive``, ``within_10_mm``, ``sensitivity_90``.

    Returns:
        Its name for readers; an unknown one with blanks for underscores.
    """
    text = str(name)
    if text in NAMES:
        return NAMES[text]
    head, _, tail = text.partition("_")
    if head == "within":
        return f"Within {tail.replace('_', ' ')}"
    if head == "sensitivity" and tail.isdigit():
        return f"Sensitivity ≥ {tail} %"
    if head in CHANGES and tail:
        return CHANGES[head].format(tail.replace("_", " ").replace("-", "−"))
    plain = text.replace("_", " ")
    return plain[:1].upper() + plain[1:]


def number(value: Any, digits: int = 3) -> str:
    """A number in a table; an en dash where there is none.

    Args:
        value: Anything that may stand in a cell.
        digits: Digits after the point; whole numbers have none.

    Returns:
        Text.
    """
    if (
        value is None
        or value == ""
        or (isinstance(value, float) and math.isnan(value))
        or value is pd.NA
    ):
        return "–"
    if isinstance(value, str):
        return value
    real = float(value)
    if math.isinf(real):
        return "∞" if real > 0 else "−∞"
    if real == int(real) and not isinstance(value, float):
        return f"{int(real)}"
    if 0 < abs(real) < 10**-digits:
        return f"{real:.1e}"
    return f"{real:.{digits}f}".replace("-", "−")


def with_interval(row: Mapping[str, Any]) -> str:
    """A tidy row as ``value (low to high)``, a count without decimals.

    Args:
        row: Keys metric, value, low, high, method.

    Returns:
        Text; the reason where the value cannot be estimated.
    """
    value, low, high = (float(row[key]) for key in ("value", "low", "high"))
    if row.get("method") == "count":
        return f"{int(value)}"
    if math.isnan(value):
        return f"not estimable: {row.get('method', '')}"
    digits = 2 if str(row.get("metric", "")).endswith("_mm") else 3
    if str(row.get("metric")) in RATIOS:
        digits = 2
    if math.isnan(low):
        return number(value, digits)
    return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"


def estimate(row: Mapping[str, Any]) -> tuple[str, str]:
    """A tidy row as two texts: the value, and its interval with n.

    Args:
        row: Keys metric, value, low, high, n, method.

    Returns:
        Such as ``("0.80", "0.65 to 0.90, n = 40")``, with the reason in place of an interval that
        there is none of; the second is empty for a count.
    """
    value = float(row["value"])
    n = "" if pd.isna(row["n"]) else f"n = {int(row['n'])}"
    if row.get("method") == "count":
        return f"{int(value)}", ""
    if math.isnan(value):
        return "–", str(row.get("method", ""))
    text, _, interval = with_interval(row).partition(" (")
    if interval and str(row.get("method", "")).startswith("mean and range"):
        interval = f"range {interval}"  # of folds or seeds, no confidence interval
    reason = str(row.get("method", "")) if math.isnan(float(row["low"])) else ""
    return text, ", ".join(part for part in (interval.rstrip(")"), reason, n) if part)


def p_value(value: float) -> str:
    """A p-value as journals print it: ``p = 0.031``, or ``p < 0.001``."""
    return "p < 0.001" if value < 0.001 else f"p = {number(value)}"


def pick(table: pd.DataFrame, metric: str, **where: Any) -> dict[str, Any] | None:
    """The one row of a tidy table, or None where it is not there.

    Args:
        table: Tidy table.
        metric: Wanted metric.
        **where: Further columns and their values.

    Returns:
        The row.
    """
    mask = table["metric"] == metric
    for column, value in where.items():
        mask &= table[column].fillna("").astype(str) == str(value)
    rows = table.loc[mask].head(1).to_dict("records")
    return {str(key): value for key, value in rows[0].items()} if rows else None

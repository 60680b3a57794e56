"""The main metrics of one evaluated set, in one short table."""

from __future__ import annotations

import pandas as pd

from lvo_kedro.evaluation.hemispheres import RATE


def summarize_evaluation(
    overall: pd.DataFrame,
    operating: pd.DataFrame,
    hemispheres: pd.DataFrame,
    places: pd.DataFrame,
    operating_point: str = "",
) -> pd.DataFrame:
    """Pick AUC, sensitivity and specificity, occluded against opposite side, side and segment.

    Args:
        overall: ``summary`` of :func:`lvo_kedro.evaluation.evaluate_detection`.
        operating: ``operating`` of the same: a row per metric and operating point.
        hemispheres: ``hemispheres`` of the same.
        places: ``summary`` of :func:`lvo_kedro.evaluation.evaluate_localization`.
        operating_point: At which side and segment count; the first where empty.

    Returns:
        Columns title (in words), value, low, high, n, method.
    """
    rows = [overall[overall["metric"] == "auc"].assign(title="AUC")]
    for metric in ("sensitivity", "specificity"):
        for name, part in operating[operating["metric"] == metric].groupby("operating_point"):
            rows.append(part.assign(title=f"{metric} at {name}"))
    within = hemispheres[hemispheres["metric"] == RATE]
    rows.append(within.assign(title="occluded side higher within the patient"))
    main = operating_point or operating["operating_point"].iloc[0]
    for scope in ("end_to_end", "given_detection"):
        part = places[(places["scope"] == scope) & (places["operating_point"] == main)]
        for metric in ("segment_accuracy", "side_accuracy"):
            chosen = part[(part["metric"] == metric) & (part["segment"] == "all")]
            words = f"{metric} {scope}".replace("_", " ")
            rows.append(chosen.assign(title=words))
    table = pd.concat(rows, ignore_index=True)
    return table[["title", "value", "low", "high", "n", "method"]]

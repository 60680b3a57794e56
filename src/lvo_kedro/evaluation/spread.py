"""How metrics of detection differ between folds and between seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro.evaluation.statistics.auc import auc_or_reason
from lvo_kedro.evaluation.statistics.intervals import COLUMNS, spread_interval
from lvo_kedro.evaluation.subgroups import subgroup_table

if TYPE_CHECKING:
    from lvo_kedro.evaluation.options import EvaluationOptions
    from lvo_kedro.evaluation.statistics.operating_points import Threshold


def fold_table(
    scores: pd.DataFrame, threshold: Threshold, options: EvaluationOptions
) -> pd.DataFrame:
    """AUC, sensitivity and specificity of each fold, and the spread between folds.

    Args:
        scores: Columns lvo, probability and fold.
        threshold: The main operating point.
        options: Confidence.

    Returns:
        Tidy table with fold; the fold ``spread`` has the mean over folds with their smallest and
        largest value. Empty where the scores come from fewer than two folds.
    """
    columns = ["fold", *COLUMNS]
    folds = sorted(scores["fold"].dropna().unique()) if "fold" in scores else []
    if len(folds) < 2:
        return pd.DataFrame(columns=columns)
    single = options.model_copy(update={"subgroups": ()})
    wanted = ("n", "auc", "sensitivity", "specificity")
    parts = []
    for fold in folds:
        part = scores.loc[scores["fold"] == fold]
        table = subgroup_table(part, threshold, single)
        parts.append(table.loc[table["metric"].isin(wanted)].assign(fold=str(int(fold))))
    together = pd.concat(parts, ignore_index=True)[columns]
    rows = []
    for metric, part in together.loc[together["metric"] != "n"].groupby("metric", sort=False):
        spread = spread_interval(part["value"], int(part["n"].sum()))
        rows.append(spread.row(str(metric), fold="spread"))
    return pd.concat([together, pd.DataFrame(rows, columns=columns)], ignore_index=True)


def seed_table(scores: pd.DataFrame, options: EvaluationOptions) -> pd.DataFrame:
    """AUC of each seed's logits, of their mean over seeds, and the spread between seeds.

    Args:
        scores: Columns lvo, logit and logit_seed_<seed>.
        options: Confidence and method of the interval.

    Returns:
        Tidy table with seed; ``mean`` is the AUC of the averaged logits, ``spread`` the mean AUC
        with the smallest and largest value. Empty with fewer than two seeds. All by logit: metrics
        by calibrated probability differ where folds are calibrated one by one.
    """
    columns = ["seed", *COLUMNS]
    names = [str(name) for name in scores if str(name).startswith("logit_seed_")]
    if len(names) < 2:
        return pd.DataFrame(columns=columns)
    labels = scores["lvo"].to_numpy()
    areas = {
        name.removeprefix("logit_seed_"): auc_or_reason(
            labels, scores[name].to_numpy(dtype=float), options.confidence, options.auc_method
        )
        for name in names
    }
    together = scores["logit"].to_numpy(dtype=float)
    spread = spread_interval([area.value for area in areas.values()], len(scores), "seeds")
    areas["mean"] = auc_or_reason(labels, together, options.confidence, options.auc_method)
    rows = [area.row("auc", seed=seed) for seed, area in {**areas, "spread": spread}.items()]
    return pd.DataFrame(rows, columns=columns)

"""Nodes of the permutation_test pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import pandas as pd

from lvo_kedro.evaluation import EvaluationOptions, evaluate_shuffles
from lvo_kedro.settings import EVALUATED_SPLITS, SHUFFLES

logger = logging.getLogger(__name__)

StoredTables = Mapping[str, Callable[[], pd.DataFrame]]


def summarize_shuffles(
    options: EvaluationOptions, **detection: StoredTables
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Tabulate the AUC of each shuffle and of all together, for each split."""
    parts = []
    for split in EVALUATED_SPLITS:
        scores = {name: detection[f"{name}.{split}.detection"]["scores"]() for name in SHUFFLES}
        parts.append(evaluate_shuffles(scores, options).assign(split=split))
    table = pd.concat(parts, ignore_index=True)
    for row in table[table["shuffle"] == "mean"].itertuples():
        text = "AUC with shuffled labels, %s: %.2f (%.2f to %.2f)"
        logger.info(text, row.split, row.value, row.low, row.high)
    named = table.set_index(table["split"] + "." + table["shuffle"] + "_auc")["value"]
    return table, named.to_dict()

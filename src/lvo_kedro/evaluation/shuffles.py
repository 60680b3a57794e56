"""What detection gives when it learns labels that mean nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.errors import TableError
from lvo_kedro.evaluation.options import EvaluationOptions
from lvo_kedro.evaluation.statistics.auc import auc_or_reason
from lvo_kedro.evaluation.statistics.bootstrap import bootstrap_interval, patient_weights
from lvo_kedro.evaluation.statistics.curves import weighted_auc
from lvo_kedro.evaluation.statistics.intervals import COLUMNS
from lvo_kedro.evaluation.tables import prepare_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.evaluation.statistics.arrays import FloatArray


def evaluate_shuffles(
    scores: Mapping[str, pd.DataFrame], options: EvaluationOptions | None = None
) -> pd.DataFrame:
    """AUC of each shuffle of the labels, and the mean over shuffles.

    One shuffle has a 95 % interval without 0.5 in one of twenty cohorts by chance; their mean is
    the sharper test of whether something but the labels leads to a score.

    Args:
        scores: Name of the shuffle to its score table (case_id, patient_id, lvo, probability) of
            one split. The cases are the same in all, the labels are not.
        options: Intervals; the defaults where None.

    Returns:
        Tidy table, column ``shuffle``, the last one ``mean``. The interval of the mean is the
        bootstrap's over patients: a patient is drawn with its scores and labels of all shuffles.

    Raises:
        TableError: The shuffles cover different cases, or a table is not valid.
    """
    options = options or EvaluationOptions()
    tables = {name: prepare_scores(table) for name, table in scores.items()}
    first = next(iter(tables.values()))
    for name, table in tables.items():
        if table["case_id"].tolist() != first["case_id"].tolist():
            raise TableError(
                f"{len(table)} cases in shuffle {name!r}, {len(first)} in the first",
                "the same cases in all shuffles",
                "run the permutation test again for all of them",
            )
    pairs = [(t["lvo"].to_numpy(), t["probability"].to_numpy(dtype=float)) for t in tables.values()]

    def mean_auc(weights: FloatArray) -> FloatArray:
        areas = [weighted_auc(labels == 1, values, weights) for labels, values in pairs]
        return np.mean(areas, axis=0)

    areas = {
        name: auc_or_reason(*pair, options.confidence, options.auc_method)
        for name, pair in zip(tables, pairs, strict=True)
    }
    patients = first["patient_id"]
    weights = patient_weights(patients, np.zeros(len(first)), options.resamples, options.seed)
    areas["mean"] = bootstrap_interval(mean_auc, weights, options.confidence)
    rows = [area.row("auc", shuffle=name) for name, area in areas.items()]
    return pd.DataFrame(rows, columns=["shuffle", *COLUMNS])

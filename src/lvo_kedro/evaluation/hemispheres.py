"""The occluded side of a head against its own opposite side: each patient is its own control.

Both sides were scanned by the same scanner, with the same noise, at the same age, so that none of
these can tell them apart. It needs no case without an occlusion, and says nothing about one: it
measures whether the side is found, not whether an occlusion is detected among all comers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.statistics.auc import newcombe_limits
from lvo_kedro.evaluation.statistics.bootstrap import (
    NO_SPREAD,
    bootstrap_interval,
    patient_weights,
)
from lvo_kedro.evaluation.statistics.curves import weighted_auc
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    normal_quantile,
    not_estimable,
    wilson_interval,
)
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from lvo_kedro.evaluation.options import EvaluationOptions
    from lvo_kedro.evaluation.statistics.arrays import FloatArray

RATE, AREA = "occluded_side_higher", "hemisphere_auc"
"""The two metrics: of each patient's pair, and of all hemispheres pooled."""
UTILITIES: Final = tuple(f"utility_{side}" for side in SIDES)
"""Columns of the score table: what the detector gives each side of a head."""


def hemisphere_table(scores: pd.DataFrame, options: EvaluationOptions) -> pd.DataFrame:
    """Compare the occluded side's score with that of the same head's opposite side.

    Args:
        scores: Score table joined with the cohort: patient_id, lvo; side (``left`` or ``right``,
            the patient's; any other word means that no one side is known) and
            ``utility_left``, ``utility_right`` of the chosen method, where there are any.
        options: Confidence, resamples, seed.

    Returns:
        Tidy table; ``n`` counts patients. ``occluded_side_higher`` is how often the occluded side
        scores higher, a tie counting one half: the mean over patients of the mean over a patient's
        scans. Its interval is Wilson's where each patient is right or wrong as a whole, the patient
        bootstrap's otherwise. ``hemisphere_auc`` is the area for which the occluded sides of all
        patients are told from all opposite ones, each patient with a weight of one; patient
        bootstrap, and where all resamples agree Newcombe's score interval for as many patients.
        ``scans_compared`` and ``side_not_compared`` (occlusions of both or an unknown side) are
        counts. Without sides to compare the two are not estimable, and ``method`` says why.
    """
    occluded = scores[scores["lvo"] == 1]
    compared = _compared(occluded)
    reason = _why_not(occluded, compared)
    if reason:
        rate = area = not_estimable(reason)
    else:
        rate, area = _rate(compared, options), _area(compared, options)
    scans, left_out = len(compared), len(occluded) - len(compared)
    figures = {
        RATE: rate,
        AREA: area,
        "scans_compared": Interval(scans, np.nan, np.nan, scans, "count"),
        "side_not_compared": Interval(left_out, np.nan, np.nan, len(occluded), "count"),
    }
    rows = [figure.row(metric) for metric, figure in figures.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _compared(occluded: pd.DataFrame) -> pd.DataFrame:
    """Patient, own and opposite score of each occlusion that has one side and both scores."""
    columns = ["patient_id", "own", "opposite"]
    if not {"side", *UTILITIES} <= set(occluded):
        return pd.DataFrame(columns=columns)
    known = occluded[occluded["side"].isin(SIDES)]
    pairs = known[list(UTILITIES)].to_numpy(dtype=float)
    is_left = (known["side"] == SIDES[0]).to_numpy()
    table = pd.DataFrame(
        {
            "patient_id": known["patient_id"].to_numpy(),
            "own": np.where(is_left, pairs[:, 0], pairs[:, 1]),
            "opposite": np.where(is_left, pairs[:, 1], pairs[:, 0]),
        }
    )
    return table.dropna(ignore_index=True)


def _why_not(occluded: pd.DataFrame, compared: pd.DataFrame) -> str:
    if len(compared):
        return ""
    if occluded.empty:
        return "no case with LVO"
    if not set(UTILITIES) <= set(occluded) or occluded[list(UTILITIES)].isna().all(axis=None):
        return "the method scores whole cases, not sides"
    return "no occlusion whose side is left or right"


def _rate(compared: pd.DataFrame, options: EvaluationOptions) -> Interval:
    wins = (np.sign(compared["own"] - compared["opposite"]) + 1) / 2
    by_patient = wins.groupby(compared["patient_id"]).mean()
    values = by_patient.to_numpy(dtype=float)
    if np.isin(values, (0, 1)).all():
        return wilson_interval(int(values.sum()), values.size, options.confidence)
    strata = np.zeros(values.size)
    weights = patient_weights(by_patient.index, strata, options.resamples, options.seed)

    def mean(drawn: FloatArray) -> FloatArray:
        return np.asarray(drawn @ values / drawn.sum(axis=1))

    return bootstrap_interval(mean, weights, options.confidence)


def _area(compared: pd.DataFrame, options: EvaluationOptions) -> Interval:
    patients = compared["patient_id"]
    share = 1 / patients.groupby(patients).transform("size").to_numpy()
    positives = np.repeat([True, False], len(compared))
    values = np.concatenate([compared["own"], compared["opposite"]])
    strata = np.zeros(len(compared))
    weights = patient_weights(patients, strata, options.resamples, options.seed)

    def area(drawn: FloatArray) -> FloatArray:
        return weighted_auc(positives, values, np.tile(drawn * share, (1, 2)))

    found = bootstrap_interval(area, weights, options.confidence)
    n = patients.nunique()
    if not np.isnan(found.low):
        return Interval(found.value, found.low, found.high, n, found.method)
    low, high = newcombe_limits(found.value, n, n, normal_quantile(options.confidence))
    method = f"Newcombe score, patients counted ({NO_SPREAD})"
    return Interval(found.value, low, high, n, method)

"""How well the vessels are segmented, from the metrics of single cases."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lvo_kedro.evaluation.options import EvaluationOptions
from lvo_kedro.evaluation.statistics.bootstrap import bootstrap_interval, patient_weights
from lvo_kedro.evaluation.statistics.intervals import (
    COLUMNS,
    Interval,
    not_estimable,
    wilson_interval,
)
from lvo_kedro.evaluation.tables import require_columns
from lvo_kedro.vocabulary import OCCLUSION_LABELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvo_kedro.evaluation.statistics.arrays import CountArray, FloatArray

METRICS = ("dice", "cldice", "hd95_mm", "msd_mm", "volume_error")
DISTANCES = ("hd95_mm", "msd_mm")
SPREAD = ("sd", "median", "lower_quartile", "upper_quartile")
LARGE_VESSELS = "C7, M1, M2"
"""Label of the rows on the mean of the three large-vessel segments in each case."""


def evaluate_vessels(
    vessel_metrics: pd.DataFrame, options: EvaluationOptions | None = None
) -> pd.DataFrame:
    """Mean and spread of each metric over cases, by split and label.

    Args:
        vessel_metrics: case_id, split, label, any of :data:`METRICS`, and ``missing`` (the label
            is there in truth and was not found); patient_id where patients have several cases.
        options: Confidence, resamples, seed; the defaults where None.

    Returns:
        Tidy table with split and label; the value is the mean over cases with a patient-bootstrap
        interval. Columns sd (of the sample), median, lower_quartile, upper_quartile beside it.
        ``missing`` is the share of cases (Wilson). The label :data:`LARGE_VESSELS` is the mean of
        C7, M1 and M2 in a case. Cases without a finite value (a distance to nothing, of a label or
        of one of the three) are left out of that metric's n.

    Raises:
        TableError: A column is missing.
    """
    options = options or EvaluationOptions()
    require_columns(vessel_metrics, ("case_id", "split", "label"), "vessel metrics")
    table = vessel_metrics.assign(label=vessel_metrics["label"].astype(str))
    if "patient_id" not in table:
        table["patient_id"] = table["case_id"]
    present = [metric for metric in METRICS if metric in table]
    large = table.loc[table["label"].isin(OCCLUSION_LABELS)]
    together = (
        _with_infinite_distances(large)
        .groupby(["case_id", "patient_id", "split"], as_index=False)[present]
        .mean()
        .assign(label=LARGE_VESSELS)
    )

    @lru_cache(maxsize=2)  # labels and metrics with a value for the same patients share a drawing
    def draw(patients: tuple[str, ...]) -> CountArray:
        return patient_weights(patients, np.zeros(len(patients)), options.resamples, options.seed)

    rows = []
    parts = [together, table] if large["label"].nunique() > 1 else [table]
    for part in parts:
        for (split, label), cases in part.groupby(["split", "label"], sort=False):
            place = {"split": split, "label": label}
            rows += [{**place, **_mean_row(cases, metric, draw, options)} for metric in present]
            if "missing" in cases:
                lost = cases["missing"].dropna().astype(float)
                figure = wilson_interval(int(lost.sum()), len(lost), options.confidence)
                rows.append({**place, **figure.row("missing")})
    return pd.DataFrame(rows, columns=["split", "label", *COLUMNS, *SPREAD])


def _with_infinite_distances(large: pd.DataFrame) -> pd.DataFrame:
    """A label that only one of truth and prediction has is infinitely far, not left out."""
    if "dice" not in large:
        return large
    found = {
        name: large[name].mask(large[name].isna() & large["dice"].notna(), np.inf)
        for name in DISTANCES
        if name in large
    }
    return large.assign(**found)


def _mean_row(
    cases: pd.DataFrame,
    metric: str,
    draw: Callable[[tuple[str, ...]], CountArray],
    options: EvaluationOptions,
) -> dict[str, object]:
    finite = cases.loc[np.isfinite(cases[metric].astype(float))]
    if finite.empty:
        return not_estimable("no case with a value").row(metric)
    values = finite[metric].to_numpy(dtype=float)
    drawn = draw(tuple(finite["patient_id"]))
    figure = bootstrap_interval(_mean_of(values), drawn, options.confidence)
    if values.size == 1:
        figure = Interval(figure.value, np.nan, np.nan, 1, "one case")
    lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
    deviation = float(values.std(ddof=1)) if values.size > 1 else np.nan
    extra = dict(zip(SPREAD, (deviation, middle, lower, upper), strict=True))
    return {**figure.row(metric), **extra}


def _mean_of(values: FloatArray) -> Callable[[FloatArray], FloatArray]:
    return lambda weights: (weights @ values) / weights.sum(axis=1)

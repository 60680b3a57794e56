"""Whether the hemispheric difference shows early infarcts: measured where a core was drawn.

The difference of a voxel is its density minus that of its counterpart on the other side: negative
where tissue has lost density. Nothing here was chosen by looking at cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from lvo_kedro.errors import ScanError
from lvo_kedro.evaluation.statistics import bootstrap_interval, patient_weights, wilson_interval
from lvo_kedro.evaluation.statistics.intervals import COLUMNS, Interval, not_estimable
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import HEMISPHERES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MEANS: Final = ("core_hu", "outside_hu", "core_minus_outside_hu", "auc")
"""Columns of :func:`measure_infarct` that are averaged over cases."""
SHARES: Final = ("sign_right", "side_right")
"""Columns that are 1 or 0."""


class InfarctOptions(Options):
    """How the difference is looked at."""

    territory: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which a voxel lies in the territory of the middle cerebral artery."""
    smooth_mm: float = Field(default=4.0, ge=0, le=20)
    """Standard deviation of the Gaussian by which the difference is smoothed first."""
    other_side: float = Field(default=0.1, ge=0, lt=0.5)
    """Part of a core on the lesser side from which it counts as one on both sides."""
    least_ml: float = Field(default=0.5, ge=0)
    """Core within the territory below which a case is not measured."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of the intervals."""
    resamples: int = Field(default=2000, ge=100)
    """Of the bootstrap."""


def measure_infarct(
    difference: ArrayLike,
    hemispheres: ArrayLike,
    territory: ArrayLike,
    core: ArrayLike,
    spacing: tuple[float, float, float],
    *,
    options: InfarctOptions = InfarctOptions(),
) -> dict[str, float | str]:
    """Measure the hemispheric difference of one case where its core was drawn.

    Args:
        difference: This side minus the opposite, HU, (X, Y, Z); 0 outside the brain.
        hemispheres: 1 the patient's left, 2 the right, 0 outside, (X, Y, Z).
        territory: Probability of the territory of the middle cerebral artery, (X, Y, Z).
        core: Above 0 in the core, (X, Y, Z).
        spacing: Voxel edges, mm.
        options: Smoothing and thresholds.

    Returns:
        ``side`` of the core (``left``, ``right`` or ``both``), ``core_ml`` and ``territory_ml``
        (core within the territory). Then, within the territory, or nan: ``core_hu``, mean signed
        difference in the core; ``outside_hu``, the same beside it on its side (both sides where the
        core is on both); ``core_minus_outside_hu``; ``auc`` with which the absolute difference
        tells core from all else of both sides (its mirror image is as different, which limits
        it); ``sign_right``, whether ``core_hu`` is negative; ``side_found`` and ``side_right``:
        the side whose territory is less dense as a whole, and whether it is the core's.

    Raises:
        ScanError: The maps have different shapes, or no core lies in the brain.
    """
    signed, sides = np.asarray(difference, np.float32), np.asarray(hemispheres)
    inside = (np.asarray(territory) > options.territory) & (sides > 0)
    drawn = np.asarray(core) > 0
    if not signed.shape == sides.shape == inside.shape == drawn.shape:
        raise ScanError("maps of different shapes", "one grid", "bring them onto the scan's grid")
    volumes = {s: float((drawn & (sides == v)).sum()) for s, v in HEMISPHERES.items()}
    total = sum(volumes.values())
    if not total:
        raise ScanError("no core in the brain", "a core in the brain", "look at scan and mask")
    ml = float(np.prod(spacing)) / 1000
    lesser = min(volumes.values()) / total
    larger = max(volumes, key=lambda s: volumes[s])
    side = "both" if lesser > options.other_side else larger
    marked = drawn & inside
    result: dict[str, float | str] = {
        "side": side,
        "core_ml": total * ml,
        "territory_ml": float(marked.sum()) * ml,
    }
    result |= dict.fromkeys((*MEANS, *SHARES), float("nan")) | {"side_found": ""}
    if float(marked.sum()) * ml < max(options.least_ml, ml):
        return result
    if options.smooth_mm:
        signed = gaussian_filter(signed, options.smooth_mm / np.asarray(spacing))
    means = {s: float(signed[inside & (sides == v)].mean()) for s, v in HEMISPHERES.items()}
    result["side_found"] = min(means, key=lambda s: means[s])
    beside = inside & ~drawn
    if side != "both":
        beside &= sides == HEMISPHERES[larger]
        result["side_right"] = float(result["side_found"] == side)
    here = float(signed[marked].mean())
    result |= {"core_hu": here, "sign_right": float(here < 0)}
    if beside.any():
        result["outside_hu"] = float(signed[beside].mean())
        result["core_minus_outside_hu"] = here - float(signed[beside].mean())
    result["auc"] = _auc(np.abs(signed[inside]), drawn[inside])
    return result


def _auc(values: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve of voxels, ties counted half."""
    positive = int(truth.sum())
    negative = truth.size - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(values)[truth].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def summarize_infarcts(
    cases: pd.DataFrame, options: InfarctOptions = InfarctOptions(), seed: int = 0
) -> pd.DataFrame:
    """Average over cases, with intervals over cases: voxels of one brain are no sample.

    Args:
        cases: A row per case with the columns of :func:`measure_infarct`, and ``patient_id``.
        options: Confidence and resamples.
        seed: Of the bootstrap.

    Returns:
        Tidy table: ``metric`` with value, low, high, n and method. A mean is that of the cases
        which have the number; a share has Wilson's interval, which takes cases as independent.
    """
    rows = []
    for name in MEANS:
        known = cases[cases[name].astype(float).notna()]
        values = known[name].to_numpy(dtype=float)
        rows.append(_mean(values, known["patient_id"], options, seed).row(f"mean_{name}"))
    for name in SHARES:
        known = cases[name].astype(float).dropna()
        share = wilson_interval(int(known.sum()), len(known), options.confidence)
        rows.append(share.row(name))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean(
    values: NDArray[np.float64], patients: pd.Series[str], options: InfarctOptions, seed: int
) -> Interval:
    if len(values) == 0:
        return not_estimable("no case has it", 0)
    weights = patient_weights(patients, np.zeros(len(values)), options.resamples, seed)
    return bootstrap_interval(
        lambda drawn: drawn @ values / drawn.sum(axis=1), weights, options.confidence
    )

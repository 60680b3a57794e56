"""Where a side model's call comes from: what each artery and block adds, drawn on the scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from lvo_kedro.features import (
    block_box,
)
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SEGMENTS, SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import nibabel as nib

    from lvo_kedro.detection.side_model import Contribution, SideModel
    from lvo_kedro.features import SideFeatures


def average_contributions(models: Sequence[SideModel], case: SideFeatures) -> list[Contribution]:
    """Take one case apart by several models, whose contributions are averaged.

    Args:
        models: Those that judge the case.
        case: Its features.

    Returns:
        One entry per side for each segment, the territory and each block that any of them weighs.
    """
    found: dict[tuple[object, ...], tuple[Contribution, float]] = {}
    for model in models:
        for part in model.contributions(case):
            key = part[:3]
            before = found[key][1] if key in found else 0.0
            found[key] = part, before + part.utility / len(models)
    return [part._replace(utility=utility) for part, utility in found.values()]


def draw_contributions(
    parts: Sequence[Contribution],
    case: SideFeatures,
    vessel_labels: nib.Nifti1Image,
    halves: nib.Nifti1Image,
) -> nib.Nifti1Image:
    """Put each contribution where it comes from.

    Args:
        parts: Of :func:`average_contributions`.
        case: The case's features.
        vessel_labels: Vessel labels on the scan's grid.
        halves: The brain on that grid: 1 in the patient's left, 2 in the right half.

    Returns:
        float32 on the scan's grid: what the block of tissue, or the artery on it, adds to its
        side's log odds; above 0 speaks for an occlusion there. The territory as a whole has no
        place and is not drawn.
    """
    drawn = np.zeros(case.tissue.grid.shape, dtype=np.float32)
    for part in parts:
        if part.block is not None:
            drawn[block_box(case.tissue, part.side, part.block)] = part.utility
    tissue = resample(make_image(drawn, case.tissue.grid.affine), grid_of(halves), order=0)
    shown = np.asarray(tissue.dataobj, dtype=np.float32).copy()
    labels = np.asarray(vessel_labels.dataobj)
    shown[np.asarray(halves.dataobj) == 0] = 0
    midplane = case.tissue.midplane
    for part in parts:
        if part.source in OCCLUSION_LABELS:
            at = np.argwhere(labels == OCCLUSION_LABELS[part.source])
            right = midplane.distance(apply_affine(tissue.affine, at)) > 0
            shown[tuple(at[right == (part.side == "right")].T)] = part.utility
    return make_image(shown, tissue.affine)


def tabulate_contributions(parts: Sequence[Contribution]) -> pd.DataFrame:
    """Return what each source adds on either side, the blocks of tissue together.

    Args:
        parts: Of :func:`average_contributions`.

    Returns:
        Columns ``source`` (C7, M1, M2, territory, blocks), ``left`` and ``right`` (log odds; the
        patient's sides).
    """
    rows = []
    for source in (*SEGMENTS, "territory", "block"):
        row: dict[str, Any] = {"source": "blocks" if source == "block" else source}
        for side in SIDES:
            row[side] = sum(p.utility for p in parts if p.side == side and p.source == source)
        rows.append(row)
    return pd.DataFrame(rows)

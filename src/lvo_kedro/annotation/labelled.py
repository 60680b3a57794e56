"""Artery labels that a model drew on the angiography, as branches on the plain scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from lvo_kedro.annotation.courses import to_mni
from lvo_kedro.annotation.tracing import Branch, Label
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import isotropic_grid, make_image, to_ras
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.vocabulary import SIDES, VESSEL_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.annotation.registration import CtaAlignment
    from lvo_kedro.priors.engine import Mapping as AtlasMapping
    from lvo_kedro.vocabulary import Side

_SPACING_MM = 0.7
_BESIDE_MM = 4.0
"""A completed stretch nearer to a model's label than this is the model's own."""


def name_labels(drawn: nib.Nifti1Image, names: Mapping[int, str]) -> nib.Nifti1Image:
    """Give a model's labels the values of this project's.

    Args:
        drawn: The model's label values, any grid.
        names: What each value is; others become background.

    Returns:
        uint8 on the same grid: 1 C7, 2 M1, 3 M2, 4 other.

    Raises:
        ScanError: None of the named values was drawn.
    """
    data = np.asarray(drawn.dataobj)
    named = np.zeros(data.shape, np.uint8)
    for value, name in names.items():
        named[data == value] = VESSEL_LABELS[name]
    if not named.any():
        found = ", ".join(f"{v:g}" for v in np.unique(data)[:8])
        raise ScanError(
            f"an angiography on which the model drew the values {found}",
            f"any of {sorted(names)} (cta_labeller.labels)",
            "look whether the mapping is that of the model, and what the model makes of the scan",
        )
    return make_image(named, drawn.affine)


def labelled_branches(
    labels: nib.Nifti1Image, alignment: CtaAlignment, mapping: AtlasMapping
) -> dict[Side, tuple[Branch, ...]]:
    """Return the centre-lines of labels on the angiography, in the plain scan's world.

    Args:
        labels: Of :func:`name_labels`, on the angiography's grid.
        alignment: World of the plain scan to world of the angiography.
        mapping: World of the plain scan to MNI, which tells the sides.

    Returns:
        A branch for each side and label; its points are in no order.
    """
    moved = make_image(np.asarray(labels.dataobj), np.linalg.inv(alignment.matrix) @ labels.affine)
    moved = to_ras(moved)
    found: dict[Side, list[Branch]] = {side: [] for side in SIDES}
    for name, value in VESSEL_LABELS.items():
        here = make_image((np.asarray(moved.dataobj) == value).astype(np.uint8), moved.affine)
        if not np.asarray(here.dataobj).any():
            continue
        fine = isotropic_grid(here, _SPACING_MM, mask=here, margin=2 * _SPACING_MM)
        mask = np.asarray(resample(here, fine, order=0).dataobj) > 0
        points = apply_affine(fine.affine, np.argwhere(skeletonize(mask)))
        right = to_mni(mapping, points)[:, 0] > 0
        for side in SIDES:
            own = points[right == (side == "right")]
            if len(own):
                label = cast("Label", name)
                found[side].append(Branch(label, own, np.zeros(len(own), bool)))
    return {side: tuple(branches) for side, branches in found.items()}


def add_completed(labelled: tuple[Branch, ...], traced: tuple[Branch, ...]) -> tuple[Branch, ...]:
    """Add the stretches without contrast that were completed and that the model did not draw.

    Args:
        labelled: The model's.
        traced: One side's arteries, completed.
    """
    drawn = np.concatenate([np.empty((0, 3)), *(branch.points for branch in labelled)])
    added = []
    for branch in traced:
        kept = branch.completed & _away(branch.points, drawn)
        if kept.any():
            added.append(Branch(branch.segment, branch.points[kept], branch.completed[kept]))
    return (*labelled, *added)


def _away(points: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.bool_]:
    if len(drawn) == 0:
        return np.ones(len(points), bool)
    return np.asarray(cKDTree(drawn).query(points)[0] > _BESIDE_MM)

"""The priors as published: two registrations on the scan's own grid, a one-sided difference map.

Kept to be compared with and to be repeated; the fast way replaces it. What the publication got
wrong about sides is not repeated: they come from world coordinates here as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import median_filter

from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.priors import engine
from lvo_kedro.priors.asymmetry import apply_rules
from lvo_kedro.priors.registration import Alignment, WorkingScan, judge, prepare_atlas
from lvo_kedro.vocabulary import HEMISPHERES

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.priors.atlas import Atlas
    from lvo_kedro.priors.options import PriorOptions

_MEDIAN_VOXELS = 3


def align_published(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, atlas: Atlas, options: PriorOptions
) -> tuple[WorkingScan, Alignment]:
    """Register the atlas' own template to the skull-stripped scan on the scan's grid."""
    grid = grid_of(ncct)
    brain = np.asarray(brain_mask.dataobj) > 0
    tissue = np.where(brain, np.asarray(ncct.dataobj, dtype=np.float32), 0.0)
    mapping = engine.register(
        tissue,
        np.asarray(atlas.template.dataobj, dtype=np.float32),
        grid,
        grid_of(atlas.template),
        seed=options.seed,
    )
    scan = WorkingScan(grid, tissue, brain.astype(np.float32), np.ones(brain.shape, dtype=bool))
    return scan, judge(scan, prepare_atlas(atlas, options.spacing_mm), mapping, "first")


def warp_atlas(
    scan: WorkingScan, alignment: Alignment, atlas: Atlas
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Warp the territory (linear) and the hemisphere labels (nearest neighbour) into the brain."""
    source = grid_of(atlas.template)
    territory = engine.sample(
        np.asarray(atlas.territory_probability.dataobj), source, alignment.points
    )
    labels = np.asarray(atlas.hemispheres.dataobj)
    index = engine.transform(np.linalg.inv(source.affine), alignment.points)
    nearest = np.rint(index).astype(int)
    inside = np.all(
        [(n >= 0) & (n < s) for n, s in zip(nearest, labels.shape, strict=True)], axis=0
    )
    sides = np.zeros(inside.shape, dtype=np.uint8)
    sides[inside] = labels[tuple(nearest[:, inside])]
    brain = scan.brain > 0
    return np.where(brain, territory, 0.0), np.where(brain, sides, 0).astype(np.uint8)


def one_sided_difference(
    scan: WorkingScan, hemispheres: NDArray[np.uint8], options: PriorOptions
) -> NDArray[np.float32]:
    """Mirror one hemisphere along the left-right axis, register it to the other, and subtract.

    Returns:
        HU(this side) - HU(other side) on ``options.published_side``, 0 elsewhere.
    """
    own_label = HEMISPHERES[options.published_side]
    this = np.where(hemispheres == own_label, scan.tissue, 0.0).astype(np.float32)
    mirrored = np.where((hemispheres > 0) & (hemispheres != own_label), scan.tissue, 0.0)
    other = np.ascontiguousarray(mirrored[::-1], dtype=np.float32)
    mapping = engine.register(this, other, scan.grid, scan.grid, seed=options.seed)
    warped = engine.sample(other, scan.grid, mapping.to_moving(engine.grid_points(scan.grid)))
    here = np.asarray(median_filter(this, size=_MEDIAN_VOXELS))
    there = np.asarray(median_filter(warped, size=_MEDIAN_VOXELS))
    difference = apply_rules(here, there, options.difference)
    return np.where(hemispheres == own_label, difference, 0.0).astype(np.float32)


def compute_published(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, atlas: Atlas, options: PriorOptions
) -> tuple[dict[str, NDArray], WorkingScan, Alignment, dict[str, float]]:
    """Run the published way on a RAS+ scan; maps are on its own grid."""
    began = time.perf_counter()
    scan, alignment = align_published(ncct, brain_mask, atlas, options)
    registered = time.perf_counter()
    territory, sides = warp_atlas(scan, alignment, atlas)
    difference = one_sided_difference(scan, sides, options)
    seconds = {"register": registered - began, "difference": time.perf_counter() - registered}
    maps: dict[str, NDArray] = {"territory": territory, "hemispheres": sides, "signed": difference}
    return maps, scan, alignment, seconds

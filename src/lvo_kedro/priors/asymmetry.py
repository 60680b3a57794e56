"""The hemispheric difference: every voxel against its counterpart on the other side.

The right half of the brain, mirrored at the atlas' midline by the affine part of its registration,
is registered to the left half. The map leads from left to right, and its inverse from right to
left.

Mirroring through the atlas' deformation as well, and refining that on the whole brain, was tried:
the map then agreed with the published way's by a correlation of 0.90 instead of 0.95 to 0.96 and
took three times as long (docs/priors.md has all that was measured).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import median_filter

from lvo_kedro.errors import RegistrationError
from lvo_kedro.imaging.boxes import bounding_box, box_between
from lvo_kedro.imaging.geometry import Grid, grid_of
from lvo_kedro.imaging.resampling import block_grid, block_mean, change_grid
from lvo_kedro.priors import engine

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.priors.options import DifferenceOptions, PriorOptions
    from lvo_kedro.priors.registration import Alignment, WorkingAtlas, WorkingScan


def find_counterparts(
    scan: WorkingScan,
    side: NDArray[np.float32],
    atlas: WorkingAtlas,
    alignment: Alignment,
    options: PriorOptions,
) -> NDArray[np.float32]:
    """Return where the counterpart of each working voxel lies.

    Args:
        scan: The brain on its working grid.
        side: Distance from the midline in mm on that grid, negative on the left; (X, Y, Z).
        atlas: Whose midline the brain is mirrored at.
        alignment: Of scan and atlas.
        options: Iterations and seed.

    Returns:
        World coordinates in mm, (3, X, Y, Z) on the working scan's grid.

    Raises:
        RegistrationError: The brain lies on one side of the midline only.
    """
    reflection = _reflection(alignment.mapping.affine, atlas.midline_x)
    points = engine.grid_points(scan.grid)
    reflected = engine.transform(reflection, points)
    left = np.where(side < 0, scan.tissue, 0.0).astype(np.float32)
    right = np.where(side < 0, 0.0, scan.tissue).astype(np.float32)
    if not (left.any() and right.any()):
        raise RegistrationError(
            "a brain on one side of the midline only",
            "two sides to compare",
            "look at the scan and its brain mask: is it a head, whole, and stripped rightly?",
        )
    mirrored = engine.sample(right, scan.grid, reflected)
    # where only one side was scanned, nothing may be stretched to make up for the other
    seen = scan.seen & (engine.sample(scan.seen.astype(np.float32), scan.grid, reflected) > 0.5)
    box = bounding_box((left > 0) | (mirrored > 0), margin=3)
    half = scan.grid.part(box)
    mapping = engine.register(
        left[box],
        mirrored[box],
        half,
        half,
        iterations=options.mirror_iterations,
        total_sigma=options.mirror_sigma,
        start=np.eye(4),  # the mirror has brought both halves together already
        mask=None if seen[box].all() else seen[box],
        sampling=options.sampling,
        seed=options.seed,
    )
    # the map lives among left halves. On the left: through the map, then the mirror over to the
    # right; on the right: through the mirror first, then the map backwards
    from_left = engine.transform(reflection, mapping.to_moving(points))
    return np.where(side < 0, from_left, mapping.to_fixed(reflected))


def _reflection(to_atlas: NDArray[np.float64], midline_x: float) -> NDArray[np.float64]:
    """Return the 4 x 4 matrix that mirrors scan world at the atlas' midline; its own inverse."""
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror[0, 3] = 2.0 * midline_x
    return np.asarray(np.linalg.inv(to_atlas) @ mirror @ to_atlas)


def signed_difference(
    ncct: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    counterpart: NDArray[np.float32],
    working: Grid,
    options: DifferenceOptions,
) -> tuple[NDArray[np.float32], Grid]:
    """Subtract the other side from this one on whole blocks of the scan's voxels.

    Args:
        ncct: RAS+, HU.
        brain_mask: On the same grid.
        counterpart: Of each voxel of ``working``, from :func:`find_counterparts`.
        working: The grid of ``counterpart``.
        options: Size of the blocks, median and the rules for fluid and calcification.

    Returns:
        HU(here) - HU(there), 0 by the rules and outside the brain, and its grid.
    """
    hounsfield, inside, grid = average_blocks(ncct, brain_mask, options.spacing_mm)
    there = np.stack([change_grid(part, working, grid) for part in counterpart])
    opposite = engine.sample(hounsfield, grid, there)
    # both after the warp: a median takes away the brain's outermost voxels, and one side's alone if
    # it comes before. That left rims of a voxel, and maps that agreed by 0.96 instead of 0.999
    here, there = (median_in_mm(side, grid, options.median_mm) for side in (hounsfield, opposite))
    return np.where(inside, apply_rules(here, there, options), 0.0), grid


def average_blocks(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, edge_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_], Grid]:
    """Average the brain over blocks of voxels with edges of about ``edge_mm``, at least a voxel.

    No voxel is interpolated: slices that are thick stay what they are.

    Returns:
        HU, 0 outside the brain; which blocks are mostly brain; their grid.
    """
    source = grid_of(ncct)
    brain = np.asarray(brain_mask.dataobj) > 0
    box = bounding_box(brain)
    shape = np.array(brain[box].shape)
    factor = np.maximum(1, np.rint(edge_mm / np.asarray(source.spacing)).astype(int))
    count = -(-shape // factor) + 2  # rounded up, and a block of nothing on every side
    around = np.stack([factor, (count - 1) * factor - shape], axis=1)
    tissue = np.where(brain[box], np.asarray(ncct.dataobj[box], dtype=np.float32), 0.0)
    share, total = (block_mean(np.pad(values, around), factor) for values in (brain[box], tissue))
    inside = share > 0.5
    # the mean of the brain's voxels in the block: the zeros around them do not thin out its rim
    hounsfield = np.where(inside, total / np.maximum(share, 1e-3), 0.0).astype(np.float32)
    start = np.array([part.start for part in box]) - factor
    wider = source.part(box_between(start, start + count * factor))
    return hounsfield, inside, block_grid(wider, factor)


def median_in_mm(values: NDArray[np.float32], grid: Grid, edge_mm: float) -> NDArray[np.float32]:
    """Median over a box whose edges are the odd numbers of voxels closest to ``edge_mm``.

    At least 3 voxels along every axis, so that it stays a 3D median where slices are thick; 0 mm
    leaves the values as they are.
    """
    if edge_mm == 0:
        return values
    size = [max(3, 2 * round((edge_mm / step - 1.0) / 2.0) + 1) for step in grid.spacing]
    return np.asarray(median_filter(values, size=size))


def apply_rules(
    here: NDArray[np.float32], there: NDArray[np.float32], options: DifferenceOptions
) -> NDArray[np.float32]:
    """Return ``here - there`` (HU), 0 beside fluid on either side and at calcifications."""
    difference = here - there
    fluid = (here < options.fluid_hu) | (there < options.fluid_hu)
    dense = np.abs(difference) > options.limit_hu
    return np.where(fluid | dense, 0.0, difference).astype(np.float32)

"""The hemispheric difference: every voxel against its counterpart on the other side.

The counterpart is found through the template: scan -> atlas -> mirrored at the atlas' midline ->
scan. The brain seen through that mirror is then registered to the brain itself, which takes up
what template and scan do not share (their own normal asymmetry included).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import median_filter

from lvo_kedro.imaging.geometry import grid_of, isotropic_grid, make_image
from lvo_kedro.priors import engine
from lvo_kedro.priors.grids import change_grid, crop_to, sub_grid

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.priors.options import DifferenceOptions, PriorOptions
    from lvo_kedro.priors.registration import Alignment, WorkingAtlas, WorkingScan


def mirror_points(
    scan: WorkingScan, atlas: WorkingAtlas, alignment: Alignment, options: PriorOptions
) -> NDArray[np.float32]:
    """Return where the counterpart of each working voxel lies.

    Returns:
        World coordinates in mm, (3, X, Y, Z) on the working scan's grid.
    """

    def mirror(points: NDArray[np.float32]) -> NDArray[np.float32]:
        beyond = alignment.mapping.to_moving(points)
        beyond[0] = 2.0 * atlas.midline_x - beyond[0]
        return alignment.mapping.to_fixed(beyond)

    own = engine.grid_points(scan.grid)
    counterpart = mirror(own)
    if not options.difference.refine:
        return counterpart
    mirrored = engine.sample(scan.tissue, scan.grid, counterpart)
    seen = engine.sample(scan.seen.astype(np.float32), scan.grid, counterpart) > 0.5
    both_seen = seen & scan.seen
    refined = engine.register(
        scan.tissue,
        mirrored,
        scan.grid,
        scan.grid,
        kind="SyNOnly",
        iterations=options.refine_iterations,
        start=np.eye(4),
        mask=None if both_seen.all() else both_seen,
        seed=options.seed,
    )
    return mirror(refined.to_moving(own))


def signed_difference(
    ncct: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    counterpart: NDArray[np.float32],
    working: Grid,
    options: DifferenceOptions,
) -> tuple[NDArray[np.float32], Grid]:
    """Subtract the other side from this one on cubic voxels.

    Args:
        ncct: RAS+, HU.
        brain_mask: On the same grid.
        counterpart: Of each voxel of ``working``, from :func:`mirror_points`.
        working: The grid of ``counterpart``.
        options: Voxel size, median and the rules for fluid and calcification.

    Returns:
        HU(here) - HU(there), 0 by the rules and outside the brain, and its grid.
    """
    source = grid_of(ncct)
    brain = np.asarray(brain_mask.dataobj) > 0
    box = crop_to(source, brain)
    cropped, cropped_grid = brain[box], sub_grid(source, box)
    image = make_image(cropped.astype(np.uint8), cropped_grid.affine)
    grid = isotropic_grid(image, options.spacing, margin=2.0 * options.spacing)
    share = change_grid(cropped.astype(np.float32), cropped_grid, grid)
    values = np.where(cropped, np.asarray(ncct.dataobj[box], dtype=np.float32), 0.0)
    total = change_grid(values, cropped_grid, grid)
    inside = share > 0.5
    hounsfield = np.where(inside, total / np.maximum(share, 1e-3), 0.0).astype(np.float32)
    hounsfield = median_in_mm(hounsfield, options.spacing, options.median_mm)
    there = np.stack([change_grid(part, working, grid) for part in counterpart])
    opposite = np.zeros_like(hounsfield)
    opposite[inside] = engine.sample(hounsfield, grid, there[:, inside])
    return np.where(inside, apply_rules(hounsfield, opposite, options), 0.0), grid


def median_in_mm(
    values: NDArray[np.float32], spacing: float, edge_mm: float
) -> NDArray[np.float32]:
    """Median over a cube whose edge is the odd number of voxels closest to ``edge_mm``."""
    size = max(1, 2 * round((edge_mm / spacing - 1.0) / 2.0) + 1)
    return values if size == 1 else np.asarray(median_filter(values, size=size))


def apply_rules(
    here: NDArray[np.float32], there: NDArray[np.float32], options: DifferenceOptions
) -> NDArray[np.float32]:
    """Return ``here - there`` (HU), 0 beside fluid on either side and at calcifications."""
    difference = here - there
    fluid = (here < options.fluid_hu) | (there < options.fluid_hu)
    dense = np.abs(difference) > options.limit_hu
    return np.where(fluid | dense, 0.0, difference).astype(np.float32)

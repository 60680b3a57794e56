"""What in a brain is as dense as fresh blood, and thicker than the structures that always are.

Blood that has clotted outside a vessel has 50 to 90 HU; grey matter has less than 45, calcium and
bone have more. As dense as it, where nobody bleeds, are: arteries with a clot, which are the sign
that this project looks for, veins, falx and tentorium, all of them thin; the venous sinuses and
mixtures of brain and bone, at the brain's surface; and mixtures of brain and calcium, around what
is denser than blood. So a bleeding begins where a ball fits into what is dense, away from surface
and calcium, and reaches as far as it is connected to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.imaging.resampling import block_grid, block_mean

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Spacing = NDArray[np.float64]

LOWEST_HU: Final = 50.0
"""Clotted blood is denser, unless its patient is anaemic or it is some days old."""
OVER_BRAIN_HU: Final = 16.0
"""By how much it is denser than the brain's median, where that is high (beam hardening, offset)."""
CALCIUM_HU: Final = 100.0
"""Denser than blood."""
BONE_HU: Final = 150.0
"""Averaged with brain it is as dense as blood."""
VOXEL_MM: Final = 1.6
"""Finer voxels are averaged."""
SMOOTH_MM: Final = 1.3
"""Standard deviation of the Gaussian; with voxels of 1.6 mm a noise of 10 HU becomes 2."""
BALL_MM: Final = 2.8
"""Radius of the ball that fits into a bleeding and into no artery, and no vein of the surface."""
DEPTH_MM: Final = 6.0
"""The ball's centre is further away from the brain's surface: sinuses and mixtures are not."""
AROUND_CALCIUM_MM: Final = 4.0
"""What is nearer to calcium is its mixture with brain."""
FILL_MM: Final = 6.0
"""Gaps of the brain mask up to twice as wide (calcium, clips) are no surface."""
MIDLINE_MM: Final = 8.0
"""A centre that is nearer to the midplane is at the midline."""


class Hyperdensity(NamedTuple):
    """What may be blood in a brain."""

    regions: nib.Nifti1Image
    """uint8 on blocks of the scan's voxels: 1 the largest region, 2 the next, ..."""
    volumes_ml: tuple[float, ...]
    """Volume of each region, the largest first."""
    centre_mm: tuple[float, float, float] | None
    """Centre of the largest region, world mm."""
    side: str
    """Where that is: left or right, the patient's, or midline; empty where there is none."""


def find_hyperdensity(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, right: NDArray[np.float64]
) -> Hyperdensity:
    """Find what is as dense as fresh blood and too thick for a vessel.

    Args:
        ncct: Head CT in HU, axes RAS+.
        brain_mask: Non-zero inside the brain, on the same grid.
        right: Direction across the head towards the patient's right, a unit vector in world
            coordinates.

    Returns:
        All regions, however small.
    """
    brain = np.asarray(brain_mask.dataobj) > 0
    grid = grid_of(ncct)
    box = bounding_box(brain, margin=np.ceil(2 * FILL_MM / np.array(grid.spacing)))
    part = grid.part(box)
    factor = np.maximum(1, np.round(VOXEL_MM / np.array(grid.spacing))).astype(int)
    coarse = block_grid(part, factor)
    spacing = np.array(coarse.spacing)
    hu = block_mean(np.clip(ncct.dataobj[box], -100, 600, dtype=np.float32), factor)
    inside = block_mean(brain[box], factor) > 0.5
    depth = _depth(inside, spacing)
    dense = _dense(hu, inside, depth, spacing)
    core = _opened(dense, spacing) & (depth > DEPTH_MM)
    regions, volumes = _regions(dense, core, spacing)
    centre, side = _place(regions == 1, inside, coarse.affine, right)
    image = make_image(np.minimum(regions, 255).astype(np.uint8), coarse.affine)
    return Hyperdensity(image, volumes, centre, side)


def _depth(inside: Mask, spacing: Spacing) -> NDArray[np.float32]:
    """Return the distance (mm) from the brain's surface; where the scan ends is no surface.

    Thick slices count as thinner ones, of which two are not deep: each is mixed with the next.
    """
    pad, size = 4, np.minimum(spacing, DEPTH_MM / 3)
    padded = np.pad(inside, pad, mode="edge")
    wide = ndimage.distance_transform_edt(~padded, sampling=size) <= FILL_MM
    depth = ndimage.distance_transform_edt(wide, sampling=size) - FILL_MM
    inner = tuple(slice(pad, -pad) for _ in range(3))
    return np.asarray(depth[inner], dtype=np.float32)


def _dense(
    hu: NDArray[np.float32], inside: Mask, depth: NDArray[np.float32], spacing: Spacing
) -> Mask:
    """Return what is as dense as blood, once smoothed within the brain, and not beside calcium."""
    sigma = np.where(spacing < 2 * VOXEL_MM, SMOOTH_MM / spacing, 0.0)
    within = inside & (hu < CALCIUM_HU)
    weight = ndimage.gaussian_filter(within.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(within, hu, 0), sigma) / np.maximum(weight, 1e-3)
    limit = max(LOWEST_HU, float(np.median(hu[inside])) + OVER_BRAIN_HU)
    calcium = ndimage.gaussian_filter(hu, 0.5 * sigma) > CALCIUM_HU
    away = ndimage.distance_transform_edt(~calcium, sampling=spacing) > AROUND_CALCIUM_MM
    return np.asarray((smooth > limit) & (smooth < CALCIUM_HU) & inside & (depth > 0) & away)


def _opened(mask: Mask, spacing: Spacing) -> Mask:
    """Return the centres of the balls that fit into a mask."""
    padded = np.pad(mask, 1, mode="edge")
    inner = ndimage.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1]
    return np.asarray(inner > BALL_MM)


def _regions(
    dense: Mask, core: Mask, spacing: Spacing
) -> tuple[NDArray[np.int64], tuple[float, ...]]:
    """Number what is dense and holds a ball's centre, the largest first; what is thin ends it."""
    reach = ndimage.distance_transform_edt(~core, sampling=spacing) <= 2 * BALL_MM
    pieces, count = ndimage.label(dense & reach)
    held = np.unique(pieces[core])
    held = held[held > 0]
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[held] * spacing.prod() / 1000
    order = np.argsort(-sizes, kind="stable")
    number = np.zeros(count + 1, dtype=np.int64)
    number[held[order]] = np.arange(1, len(held) + 1)
    return number[pieces], tuple(round(float(v), 2) for v in sizes[order])


def _place(
    region: Mask, inside: Mask, affine: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[tuple[float, float, float] | None, str]:
    """Return the region's centre (world mm) and its side."""
    if not region.any():
        return None, ""
    centre, middle = (
        apply_affine(affine, np.argwhere(mask).mean(axis=0)) for mask in (region, inside)
    )
    away = float((centre - middle) @ right)
    side = "midline" if abs(away) < MIDLINE_MM else ("right" if away > 0 else "left")
    x, y, z = (round(float(v), 1) for v in centre)
    return (x, y, z), side

"""Whether contrast medium fills the arteries beside the Sylvian fissures.

What else is as bright as contrast medium lies elsewhere or has another shape: calcium of the
pineal gland and falx at the midline, that of the carotid siphon at the skull base, mixtures with
bone at the skull; plexus, basal ganglia, clips and coils are thicker than arteries. Between
midline and skull the branches of the middle cerebral artery run for 20 cm and more, and without
contrast medium they are no denser than blood. What is counted there is the length of bright
structures as slim as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.imaging.resampling import block_mean

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

BRIGHT_HU = 100.0
"""Denser than clots and bleeding, which stay below 90; contrast medium is thinned out by slices."""
MAX_HU = 600.0
"""Clipping value: metal does not outshine its surroundings."""
PIXEL_MM = 1.3
"""Finer voxels are averaged: thin, noisy slices need it, and arteries survive it."""
DEPTH_MM = 10.0
"""Distance from the brain's surface, beyond skull base and calvaria."""
LATERAL = (0.42, 0.82)
"""Distance from the midplane as a part of the brain's half width."""
FILL_MM = 6.0
"""Gaps of the brain mask up to twice as wide are filled: bright arteries are left out of it."""
MIN_LENGTH_MM = 12.0
"""Shorter pieces are specks."""
CUBE_MM = 9.0
"""Edge of the cube in which a structure is seen to be thick."""
MAX_FILLED = 0.4
"""Part of such a cube that arteries fill at most, side by side as well; balls of 9 mm fill half."""


def bright_vessels(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, right: NDArray[np.float64]
) -> dict[str, float]:
    """Measure what is as bright and slim as arteries with contrast medium.

    Args:
        ncct: Head CT in HU, axes RAS+.
        brain_mask: Non-zero inside the brain, on the same grid.
        right: Direction across the head, a unit vector in world coordinates.

    Returns:
        ``bright_vessels_mm``, their length on both sides together, and ``bright_ml``, their volume.
    """
    brain = np.asarray(brain_mask.dataobj) > 0
    box = bounding_box(brain)
    spacing = np.array(grid_of(ncct).spacing)
    factor = np.maximum(1, np.round(PIXEL_MM / spacing)).astype(int)
    inside = block_mean(brain[box], factor) > 0.5
    hu = block_mean(np.clip(ncct.dataobj[box], 0, MAX_HU, dtype=np.float32), factor)
    voxel = spacing * factor
    # slices as thick as that have been averaged by the scanner
    smooth = ndimage.gaussian_filter(hu, np.where(voxel < 2 * PIXEL_MM, 0.8 / voxel, 0.0))
    bright = (smooth > BRIGHT_HU) & _deep(inside, voxel)
    slim = bright & ~_thick(bright, voxel)
    slim &= _lateral(inside, (ncct.affine[:3, :3] * factor).T @ right)
    length, volume = _long(slim, voxel)
    return {"bright_vessels_mm": length, "bright_ml": volume / 1000}


def _deep(inside: NDArray[np.bool_], voxel: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return what lies deep in the brain, its gaps filled; where the scan ends is no surface."""
    factor = np.maximum(1, np.round(2.5 / voxel)).astype(int)
    coarse = np.pad(inside[tuple(slice(None, None, n) for n in factor)], 4, mode="edge")
    size = voxel * factor
    wide = ndimage.distance_transform_edt(~coarse, sampling=size) <= FILL_MM
    deep = ndimage.distance_transform_edt(wide, sampling=size) > FILL_MM + DEPTH_MM
    deep = deep[4:-4, 4:-4, 4:-4]
    for axis, n in enumerate(factor):
        deep = deep.repeat(n, axis)
    return deep[tuple(slice(n) for n in inside.shape)]


def _lateral(inside: NDArray[np.bool_], across: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return what lies between midline and skull; ``across`` is mm to the right per index."""
    i, j, k = np.ogrid[tuple(slice(n) for n in inside.shape)]
    away = i * across[0] + j * across[1] + k * across[2]
    brain = away[inside]
    away = np.abs(away - brain.mean())
    half = float(np.percentile(np.abs(brain[::10] - brain.mean()), 99))
    return (away > LATERAL[0] * half) & (away < LATERAL[1] * half)


def _thick(bright: NDArray[np.bool_], voxel: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return what is too thick for an artery, with all that lies next to it."""
    size = np.maximum(1, np.round(CUBE_MM / voxel)).astype(int)
    filled = ndimage.uniform_filter(bright.astype(np.float32), size, mode="nearest")
    return np.asarray(ndimage.maximum_filter(filled > MAX_FILLED, size, mode="nearest"))


def _long(bright: NDArray[np.bool_], voxel: NDArray[np.float64]) -> tuple[float, float]:
    """Return length (mm) and volume (mm3) of the pieces that are no specks."""
    pieces, _ = ndimage.label(bright, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel()) * voxel.prod()
    length, volume = 0.0, 0.0
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        extent = [(part.stop - part.start - 1) * mm for part, mm in zip(box, voxel, strict=True)]
        across = float(np.linalg.norm(extent))
        if across >= MIN_LENGTH_MM:
            length, volume = length + across, volume + float(sizes[number])
    return length, volume

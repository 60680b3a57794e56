"""What a scan looks like, in numbers and in words, for the quality table."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.contrast import BRIGHT_HU, bright_vessels
from lvo_kedro.imaging.findings import find_remarkable
from lvo_kedro.imaging.geometry import grid_of, to_ras
from lvo_kedro.imaging.hyperdensity import find_hyperdensity
from lvo_kedro.imaging.metal import METAL_HU, metal_volume
from lvo_kedro.imaging.pose import find_pose
from lvo_kedro.imaging.quality_limits import QualityLimits

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.hyperdensity import Hyperdensity


def describe_scan(
    ncct: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    limits: QualityLimits = QualityLimits(),
    contrast_named: bool = False,
) -> dict[str, Any]:
    """Measure a scan and its brain mask, and say in words what is remarkable.

    Args:
        ncct: Head CT in HU.
        brain_mask: Non-zero inside the brain, on the same grid.
        limits: Beyond these a property becomes a finding.
        contrast_named: Whether the scan's headers name a contrast agent.

    Returns:
        The numbers of :func:`measure_scan`, and ``findings``, a list of sentences.

    Examples:
        >>> from lvo_kedro.imaging import extract_brain
        >>> from lvo_kedro.simulation import SimulationOptions, simulate_case
        >>> case = simulate_case(7, SimulationOptions(spacing_mm=2.0, slice_thickness_mm=(5.0,)))
        >>> description = describe_scan(case.ncct, extract_brain(case.ncct))
        >>> description["slice_thickness_mm"]
        5.0
        >>> description["findings"][0]
        'thick slices: 5.0 mm (limit 3.0)'
    """
    numbers = measure_scan(ncct, brain_mask, contrast_named)
    return {**numbers, "findings": find_remarkable(numbers, limits)}


def measure_scan(
    ncct: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    contrast_named: bool = False,
    child: bool | None = None,
) -> dict[str, Any]:
    """Measure a scan and its brain mask.

    Args:
        ncct: Head CT in HU.
        brain_mask: Non-zero inside the brain, on the same grid.
        contrast_named: Whether the scan's headers name a contrast agent.
        child: Whether they say that the patient is under 18; None where they say no age.

    Returns:
        ``shape``, ``spacing_mm`` and ``field_of_view_mm`` (left-right, back-front, foot-head),
        ``slice_thickness_mm`` (distance of slices, the coarsest spacing), ``coverage_mm`` (foot to
        head), ``brain_volume_ml``, ``brain_height_mm``, ``brain_extent_mm`` and ``brain_cut``
        (along the three axes), ``brain_median_hu``, ``noise_hu`` (median local standard
        deviation), ``vertex_cut_cm2``, ``base_cut_cm2``, ``side_cut_cm2``, ``rotation_deg`` (about
        the vertical, within 45 degrees; positive turns the nose to the patient's left),
        ``off_centre_mm``, ``turned_deg``, ``front_towards`` and ``vertex_towards`` (how the head
        lies in its axes; ``turned_deg`` is None where it does not tell), ``bright_vessels_mm`` and
        ``bright_ml`` (what looks like arteries with contrast medium), ``bright_hu`` and
        ``contrast_named``, ``hyperdense_ml``, ``hyperdense_largest_ml``, ``hyperdense_mm`` (centre
        of the largest region, world mm) and ``hyperdense_side`` (what looks like fresh blood),
        ``metal_ml``, ``metal_hu``, ``child``.
    """
    ncct, brain_mask = to_ras(ncct), to_ras(brain_mask)
    grid = grid_of(ncct)
    data, brain = np.asanyarray(ncct.dataobj), np.asarray(brain_mask.dataobj) > 0
    box = bounding_box(brain)
    pose = find_pose(ncct, brain_mask)
    return {
        "shape": grid.shape,
        "spacing_mm": tuple(round(v, 4) for v in grid.spacing),
        "field_of_view_mm": tuple(
            round(n * v, 1) for n, v in zip(grid.shape, grid.spacing, strict=True)
        ),
        "slice_thickness_mm": round(max(grid.spacing), 4),
        "coverage_mm": round(grid.shape[2] * grid.spacing[2], 1),
        "brain_volume_ml": float(brain.sum()) * grid.voxel_volume_ml,
        "brain_height_mm": (box[2].stop - box[2].start) * grid.spacing[2],
        "brain_extent_mm": tuple(
            round((part.stop - part.start) * v, 1)
            for part, v in zip(box, grid.spacing, strict=True)
        ),
        "brain_cut": tuple(
            bool(part.start == 0 or part.stop == n) for part, n in zip(box, grid.shape, strict=True)
        ),
        **_densities(data[box], brain[box], grid.spacing),
        **_cuts(brain, grid.spacing),
        **_turn_and_shift(brain, grid.affine),
        "turned_deg": None if pose.turned_deg is None else round(pose.turned_deg, 1),
        "front_towards": pose.front_towards,
        "vertex_towards": pose.vertex_towards,
        **bright_vessels(ncct, brain_mask, pose.right),
        "bright_hu": BRIGHT_HU,
        "contrast_named": contrast_named,
        **_hyperdensity(find_hyperdensity(ncct, brain_mask, pose.right)),
        "metal_ml": metal_volume(ncct, brain_mask),
        "metal_hu": METAL_HU,
        "child": child,
    }


def _hyperdensity(found: Hyperdensity) -> dict[str, Any]:
    return {
        "hyperdense_ml": round(sum(found.volumes_ml), 2),
        "hyperdense_largest_ml": max(found.volumes_ml, default=0.0),
        "hyperdense_mm": found.centre_mm,
        "hyperdense_side": found.side,
    }


def _densities(
    data: NDArray[np.float32], brain: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> dict[str, float]:
    """Median of the brain, and noise of every few slices."""
    every = max(1, round(6.0 / spacing[2]))
    size = [max(3, 2 * round(3.0 / v) + 1) for v in spacing[:2]]
    local = []
    for k in range(every // 2, data.shape[2], every):
        plane = data[..., k].astype(np.float32)
        mean = ndimage.uniform_filter(plane, size)
        variance = ndimage.uniform_filter(plane * plane, size) - mean * mean
        inner = ndimage.uniform_filter(brain[..., k].astype(np.float32), size) > 0.999
        local.append(np.sqrt(np.maximum(variance[inner], 0.0)))
    noise = np.concatenate(local)
    return {
        "brain_median_hu": float(np.median(data[brain])),
        "noise_hu": float(np.median(noise)) if noise.size else float("nan"),
    }


def _cuts(brain: NDArray[np.bool_], spacing: tuple[float, float, float]) -> dict[str, float]:
    """Area (cm2) of brain on the image's faces: what the scan does not show goes on there."""
    x, y, z = spacing
    sides = (brain[0].sum() + brain[-1].sum()) * y * z + (
        brain[:, 0].sum() + brain[:, -1].sum()
    ) * x * z
    return {
        "vertex_cut_cm2": float(brain[..., -1].sum() * x * y / 100),
        "base_cut_cm2": float(brain[..., 0].sum() * x * y / 100),
        "side_cut_cm2": float(sides / 100),
    }


def _turn_and_shift(brain: NDArray[np.bool_], affine: NDArray[np.float64]) -> dict[str, float]:
    """Turn and shift across the slices, from the map of the brain's height."""
    height = brain[::2, ::2].sum(axis=2, dtype=np.float32)
    index = np.argwhere(height > 0)
    weight = height[height > 0]
    flat = affine[:2, :2] * 2
    middle = index.T @ weight / weight.sum()
    off = flat @ (middle - (np.array(height.shape) - 1) / 2)
    return {
        "rotation_deg": _turn(height, middle, np.linalg.inv(flat)),
        "off_centre_mm": float(np.hypot(off[0], off[1])),
    }


def _turn(height: NDArray[np.float32], middle: NDArray, to_index: NDArray) -> float:
    """Return the angle (degrees) about which the height map equals its mirror image best."""
    across, along = np.mgrid[-100.0:100.1:4.0, -100.0:100.1:4.0]
    angles = np.arange(-45.0, 45.1, 1.5)
    unlike = []
    for angle in np.radians(angles):
        x = across * np.cos(angle) - along * np.sin(angle)
        y = across * np.sin(angle) + along * np.cos(angle)
        where = np.tensordot(to_index, np.stack([x, y]), axes=1) + middle[:, None, None]
        turned = ndimage.map_coordinates(height, where, order=1)
        unlike.append(float(np.abs(turned - turned[::-1]).sum()))
    return float(angles[int(np.argmin(unlike))])


def hash_scan(ncct: nib.Nifti1Image) -> str:
    """Return a digest of what a scan shows, the same whatever its file format and axis order.

    Args:
        ncct: Volume in HU, any axis order.

    Returns:
        SHA-256 of the shape and the HU, rounded to integers, in RAS+ order.
    """
    data = np.asarray(to_ras(ncct).dataobj, dtype=np.float32)
    rounded = np.rint(np.nan_to_num(data)).astype(np.int16)
    digest = hashlib.sha256(str(rounded.shape).encode())
    digest.update(np.ascontiguousarray(rounded).tobytes())
    return digest.hexdigest()

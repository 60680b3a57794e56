"""What a scan looks like, in numbers and in words, for the quality table."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage

from lvo_kedro.imaging.geometry import grid_of, to_ras
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    import nibabel as nib
    from numpy.typing import NDArray


class QualityLimits(Options):
    """Beyond which values a property of the scan is reported as a finding."""

    max_slice_thickness_mm: float = 3.0
    """Thicker slices blur the arteries' cross-sections."""
    max_in_plane_mm: float = 1.0
    """Coarser pixels blur them as well."""
    min_brain_ml: float = 900.0
    """A smaller mask is not a whole adult brain."""
    max_brain_ml: float = 1700.0
    """A larger mask holds more than an adult brain."""
    brain_hu: tuple[float, float] = (18.0, 50.0)
    """Between these lies the median of a brain without contrast medium."""
    max_noise_hu: float = 15.0
    """More noise hides differences of a few HU, even after smoothing."""
    max_vertex_cm2: float = 10.0
    """More brain than this in the topmost slice: the vertex is cut off."""
    max_base_cm2: float = 30.0
    """More brain than this in the lowest slice: the skull base is cut off."""
    max_side_cm2: float = 1.0
    """More brain than this on another face of the image: the field of view is too small."""
    max_bright_ml: float = 2.5
    """More volume of 110 to 350 HU inside the brain than calcification has: contrast medium."""
    max_rotation_deg: float = 15.0
    """Turn of the head about the vertical axis."""
    max_off_centre_mm: float = 40.0
    """Distance, across the slices, from the brain's centre to the image's."""


class _Finding(NamedTuple):
    applies: Callable[[dict[str, Any], QualityLimits], bool]
    words: str


_FINDINGS: tuple[_Finding, ...] = (
    _Finding(
        lambda d, q: d["slice_thickness_mm"] > q.max_slice_thickness_mm,
        "thick slices: {slice_thickness_mm:.1f} mm (limit {max_slice_thickness_mm:.1f})",
    ),
    _Finding(
        lambda d, q: max(d["spacing_mm"][:2]) > q.max_in_plane_mm,
        "coarse pixels: {spacing_mm[0]:.2f} x {spacing_mm[1]:.2f} mm (limit {max_in_plane_mm:.2f})",
    ),
    _Finding(
        lambda d, q: d["brain_volume_ml"] < q.min_brain_ml,
        "small brain volume: {brain_volume_ml:.0f} ml (limit {min_brain_ml:.0f})",
    ),
    _Finding(
        lambda d, q: d["brain_volume_ml"] > q.max_brain_ml,
        "large brain volume: {brain_volume_ml:.0f} ml (limit {max_brain_ml:.0f})",
    ),
    _Finding(
        lambda d, q: not q.brain_hu[0] <= d["brain_median_hu"] <= q.brain_hu[1],
        "unusual brain density: median {brain_median_hu:.0f} HU "
        "(expected {brain_hu[0]:.0f} to {brain_hu[1]:.0f})",
    ),
    _Finding(
        lambda d, q: d["noise_hu"] > q.max_noise_hu,
        "high noise: {noise_hu:.0f} HU (limit {max_noise_hu:.0f})",
    ),
    _Finding(
        lambda d, q: d["vertex_cut_cm2"] > q.max_vertex_cm2,
        "partial coverage: vertex cut off, {vertex_cut_cm2:.0f} cm2 of brain in the top slice",
    ),
    _Finding(
        lambda d, q: d["base_cut_cm2"] > q.max_base_cm2,
        "partial coverage: skull base cut off, {base_cut_cm2:.0f} cm2 of brain in the lowest slice",
    ),
    _Finding(
        lambda d, q: d["side_cut_cm2"] > q.max_side_cm2,
        "field of view too small: {side_cut_cm2:.0f} cm2 of brain on the image's rim",
    ),
    _Finding(
        lambda d, q: d["bright_ml"] > q.max_bright_ml,
        "contrast medium suspected: {bright_ml:.0f} ml of 110 to 350 HU inside the brain",
    ),
    _Finding(
        lambda d, q: abs(d["rotation_deg"]) > q.max_rotation_deg,
        "head turned by {rotation_deg:.0f} degrees (limit {max_rotation_deg:.0f})",
    ),
    _Finding(
        lambda d, q: d["off_centre_mm"] > q.max_off_centre_mm,
        "head off centre by {off_centre_mm:.0f} mm (limit {max_off_centre_mm:.0f})",
    ),
)


def describe_scan(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, limits: QualityLimits = QualityLimits()
) -> dict[str, Any]:
    """Measure a scan and its brain mask.

    Args:
        ncct: Head CT in HU.
        brain_mask: Non-zero inside the brain, on the same grid.
        limits: Beyond these a property becomes a finding.

    Returns:
        ``shape``, ``spacing_mm`` and ``field_of_view_mm`` (left-right, back-front, foot-head),
        ``slice_thickness_mm`` (distance of slices, the coarsest spacing), ``coverage_mm`` (foot to
        head), ``brain_volume_ml``, ``brain_height_mm``, ``brain_median_hu``, ``noise_hu`` (median
        local standard deviation), ``bright_ml``, ``vertex_cut_cm2``, ``base_cut_cm2``,
        ``side_cut_cm2``, ``rotation_deg`` (about the vertical; positive turns the nose to the
        patient's left), ``off_centre_mm`` and ``findings``, a list of sentences.
    """
    ncct, brain_mask = to_ras(ncct), to_ras(brain_mask)
    grid = grid_of(ncct)
    data, brain = np.asanyarray(ncct.dataobj), np.asarray(brain_mask.dataobj) > 0
    box = _box(brain)
    numbers: dict[str, Any] = {
        "shape": grid.shape,
        "spacing_mm": tuple(round(v, 4) for v in grid.spacing),
        "field_of_view_mm": tuple(
            round(n * v, 1) for n, v in zip(grid.shape, grid.spacing, strict=True)
        ),
        "slice_thickness_mm": round(max(grid.spacing), 4),
        "coverage_mm": round(grid.shape[2] * grid.spacing[2], 1),
        "brain_volume_ml": float(brain.sum()) * grid.voxel_volume_ml,
        "brain_height_mm": (box[2].stop - box[2].start) * grid.spacing[2],
        **_densities(data[box], brain[box], grid.spacing),
        **_cuts(brain, grid.spacing),
        **_pose(brain, grid.affine),
    }
    values = {**limits.model_dump(), **numbers}
    words = [f.words.format(**values) for f in _FINDINGS if f.applies(numbers, limits)]
    return {**numbers, "findings": words}


def _box(brain: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    boxes = ndimage.find_objects(brain.astype(np.uint8))
    if not boxes:
        raise ValueError("an empty brain mask cannot be described")
    x, y, z = boxes[0]
    return x, y, z


def _densities(
    data: NDArray[np.float32], brain: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> dict[str, float]:
    """Median and noise of every few slices; the volume as bright as contrast medium."""
    every = max(1, round(6.0 / spacing[2]))
    size = [max(3, 2 * round(3.0 / v) + 1) for v in spacing[:2]]
    local = []
    for k in range(every // 2, data.shape[2], every):
        plane = data[..., k].astype(np.float32)
        mean = ndimage.uniform_filter(plane, size)
        variance = ndimage.uniform_filter(plane * plane, size) - mean * mean
        inner = ndimage.uniform_filter(brain[..., k].astype(np.float32), size) > 0.999
        local.append(np.sqrt(np.maximum(variance[inner], 0.0)))
    margin = [max(1, round(4.0 / v)) for v in spacing]
    deep = ndimage.minimum_filter(brain, [2 * m + 1 for m in margin], mode="nearest")
    smooth = ndimage.uniform_filter(
        np.where(deep, data, 0.0), [max(1, round(2.0 / v)) for v in spacing], mode="nearest"
    )
    bright = deep & (smooth > 110) & (smooth < 350)
    noise = np.concatenate(local)
    return {
        "brain_median_hu": float(np.median(data[brain])),
        "noise_hu": float(np.median(noise)) if noise.size else float("nan"),
        "bright_ml": float(bright.sum() * np.prod(spacing) / 1000),
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


def _pose(brain: NDArray[np.bool_], affine: NDArray[np.float64]) -> dict[str, float]:
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

"""What the voxels of a scan must hold, as a table of :mod:`~lvo_kedro.imaging.rules`.

A shift or a scale of the values is told by two levels that every head CT has: soft tissue in the
middle of the skull and air around or inside it. Both are looked up in every n-th voxel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import voxel_sizes

from lvo_kedro.imaging.rules import Rule, ScanLimits

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

_STEP_MM = 2.5
"""Distance of the voxels that are looked at."""
_CUBE_MM = 60.0
"""Edge of what is the middle of the head."""
_NOISE_HU = 200.0
"""How far noise takes single voxels of air below its range."""
_DENSE_HU = 800.0
"""Bone above this is all the same to the brain mask; a window that cuts it off does no harm."""


def _not_finite(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    # one sum notices NaN and infinities without a mask of the volume's size
    data = np.asanyarray(image.dataobj)
    with np.errstate(invalid="ignore"):
        if np.isfinite(data.sum(dtype=np.float64)):
            return None
    return f"{int((~np.isfinite(data)).sum())} voxels that are NaN or infinite"


def _constant(image: nib.Nifti1Image, _: ScanLimits) -> str | None:
    low, high = _range(image)
    return f"the same value {low:g} in every voxel" if low == high else None


def _not_hounsfield(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    low, high = _range(image)
    if low < limits.air_hu and high > limits.bone_hu:
        return None
    guess = ""
    if 0 <= low and high <= 1:
        guess = " (scaled to 0-1)"
    elif 0 <= low and high <= 255:
        guess = " (8 bits)"
    elif low > -100 and high > 1000:
        guess = " (raw values without the rescale intercept?)"
    elif low < limits.air_range_hu[0]:
        guess = " (rescale intercept subtracted twice?)"
    return f"values from {low:g} to {high:g}{guess}"


def _wrapped(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    part = float((_thinned(image) > limits.max_hu).mean())
    return f"{part:.0%} of the voxels above {limits.max_hu:g} HU" if part > 0.01 else None


def _no_soft_tissue(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    """Look at a cube around the centre of what is bone, or taken for it.

    Wherever a shift or a scale puts the threshold of bone, that centre lies inside the skull.
    """
    data = _thinned(image)
    bone = data > limits.bone_hu
    if not bone.any():
        return None
    cube = data[_middle(bone, voxel_sizes(image.affine) * _steps(image))]
    low, high = limits.soft_range_hu
    part = float(((cube > low) & (cube < high)).mean())
    if part >= limits.min_soft_part:
        return None
    level = _mode(cube)
    air = data[(data > level - 1150) & (data < level - 900)]
    hint = ""
    if not low <= level <= high and air.size > 0.01 * data.size:
        shift, why = level - 35, ""
        if abs(shift) > 900:
            why = (
                f": the rescale intercept {'is missing' if shift > 0 else 'was subtracted twice'}?"
            )
        hint = f", and air near {_mode(air):.0f} HU (shifted by about {shift:+.0f}{why})"
    elif level > high:
        hint = " (scaled?)"
    return f"{part:.0%} soft tissue in the middle of the head, where most is {level:.0f} HU{hint}"


def _no_air_or_bone(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    data = _thinned(image)
    air, bone = float((data < limits.air_hu).mean()), float((data > limits.bone_hu).mean())
    if min(air, bone) >= limits.min_part and bone <= limits.max_bone_part:
        return None
    return f"{air:.2%} of the voxels with air and {bone:.2%} with bone"


def _air_is_off(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    """Compare where air is with where it should be.

    What lies far below the scale must be padding, a few values that come again and again. Where
    the background is set to padding, next to no air is left to compare.
    """
    data = _thinned(image)
    low, high = limits.air_range_hu
    deep = data[data < low - _NOISE_HU]
    padded = np.sort(np.unique(deep, return_counts=True)[1])[-3:].sum() >= 0.75 * deep.size
    air = data[(data >= low - _NOISE_HU) & (data < limits.air_hu)]
    right = float(((air >= low) & (air <= high)).mean()) if air.size >= 0.01 * data.size else 1.0
    if right >= 0.5 and (padded or deep.size < 0.01 * data.size):
        return None
    level = _mode(air if padded else deep)
    return f"air near {level:.0f} HU (scaled, or cut off by a window?)"


def _bone_is_cut_off(image: nib.Nifti1Image, limits: ScanLimits) -> str | None:
    data = _thinned(image)
    top = float(data.max())
    bone = data[data > limits.bone_hu]
    if top >= _DENSE_HU or (bone > top - 10).mean() < 0.2:
        return None
    return f"bone that ends at {top:.0f} HU (cut off by a window?)"


def _range(image: nib.Nifti1Image) -> tuple[float, float]:
    data = np.asanyarray(image.dataobj)
    return float(data.min()), float(data.max())


def _thinned(image: nib.Nifti1Image) -> NDArray[np.float32]:
    x, y, z = (slice(None, None, step) for step in _steps(image))
    return np.asanyarray(image.dataobj)[x, y, z]


def _steps(image: nib.Nifti1Image) -> list[int]:
    return [max(1, int(_STEP_MM / edge)) for edge in voxel_sizes(image.affine)]


def _mode(values: NDArray[np.float32]) -> float:
    """Return the most frequent value, to about 10 HU; of a value that noise spreads its middle."""
    edges = np.arange(-4000.0, 20001.0, 10.0)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
    return float(edges[np.convolve(counts, np.ones(3), mode="same").argmax()] + 5)


def _middle(bone: NDArray[np.bool_], spacing: NDArray[np.float64]) -> tuple[slice, ...]:
    box = []
    for axis, edge in enumerate(spacing):
        along = bone.sum(axis=tuple(a for a in range(3) if a != axis))
        centre = float(along @ np.arange(len(along)) / along.sum())
        half = _CUBE_MM / 2 / edge
        box.append(slice(max(0, round(centre - half)), round(centre + half) + 1))
    return tuple(box)


VALUE_RULES: tuple[Rule, ...] = (
    Rule(
        _not_finite,
        "finite HU everywhere",
        "export the original series again; a tool that wrote this file put other values in it",
    ),
    Rule(_constant, "a scan", "the file holds no picture; export it again"),
    Rule(
        _wrapped,
        "HU below {max_hu:g}",
        "negative values were stored unsigned; export the original series again, signed",
    ),
    Rule(
        _not_hounsfield,
        "Hounsfield units: air near -1000, bone above {bone_hu:g}",
        "export with full depth and rescale slope and intercept applied once, without a window",
    ),
    Rule(
        _no_soft_tissue,
        "Hounsfield units: brain or other soft tissue ({soft_range_hu[0]:g} to "
        "{soft_range_hu[1]:g}) in at least {min_soft_part:.0%} of the middle of the head",
        "export with rescale slope and intercept applied once, and check that the series is the "
        "head",
    ),
    Rule(
        _no_air_or_bone,
        "at least {min_part:.1%} of each in a head scan with its skull, and at most "
        "{max_bone_part:.0%} of bone",
        "use the original scan: not skull-stripped, not cropped, not inverted, not a phantom",
    ),
    Rule(
        _air_is_off,
        "Hounsfield units: air between {air_range_hu[0]:g} and {air_range_hu[1]:g}",
        "export with full depth and rescale slope and intercept applied once, without a window",
    ),
    Rule(
        _bone_is_cut_off,
        "Hounsfield units: bone of all densities",
        "export with full depth, without a window",
    ),
)
"""What is looked at in the voxels (an image in HU, padding still as it was stored)."""

"""Controlled changes of a scan, to see what they do to everything that is computed from it.

A *change* has a kind and an amount:

``noise``
    Gaussian noise of that standard deviation (HU), independent from voxel to voxel.
``slices``
    Slices of that thickness (mm), each the mean of the scan within it: partial volume.
``tilt``, ``roll``
    The head turned by that many degrees about the patient's left-right axis (chin up) or
    front-back axis (right ear down), about the middle of the scan.
``offset``
    That many HU added everywhere, as by a scanner out of calibration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from nibabel.affines import apply_affine

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image, to_ras
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.options import Options

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

AIR_HU = -1024.0


class ScanChange(Options):
    """One controlled change."""

    kind: Literal["noise", "slices", "tilt", "roll", "offset"]
    """What is done to the scan; docs/evaluation.md says how."""
    amount: float
    """HU for noise and offset, mm for slices, degrees for tilt and roll."""

    @property
    def name(self) -> str:
        """Such as ``noise_10`` or ``offset_-5``."""
        return f"{self.kind}_{self.amount:g}"


def change_scan(ncct: nib.Nifti1Image, change: ScanChange, seed: int = 0) -> nib.Nifti1Image:
    """Return a changed scan.

    Args:
        ncct: In HU, any orientation.
        change: What is done to it.
        seed: Of the noise.

    Returns:
        RAS+, whole HU (int16).

    Raises:
        ScanError: Slices that are already thicker than asked for.
    """
    image = _moved(to_ras(ncct), change, AIR_HU)
    values = np.asarray(image.dataobj, dtype=np.float32)
    if change.kind == "noise":
        grain = np.random.default_rng(seed).standard_normal(values.shape, dtype=np.float32)
        values = values + np.float32(change.amount) * grain
    if change.kind == "offset":
        values = values + np.float32(change.amount)
    whole = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return make_image(whole, image.affine)


def change_mask(mask: nib.Nifti1Image, change: ScanChange) -> nib.Nifti1Image:
    """Take a mask along with its scan.

    Args:
        mask: Non-zero inside, on the scan's grid.
        change: As for :func:`change_scan`.

    Returns:
        uint8 on the changed scan's grid; 1 where at least half of a voxel lies inside.

    Raises:
        ScanError: As :func:`change_scan`.
    """
    image = to_ras(mask)
    inside = make_image((np.asarray(image.dataobj) > 0).astype(np.float32), image.affine)
    moved = _moved(inside, change, 0.0)
    return make_image((np.asarray(moved.dataobj) >= 0.5).astype(np.uint8), moved.affine)


def _moved(image: nib.Nifti1Image, change: ScanChange, fill: float) -> nib.Nifti1Image:
    """The part of a change that moves voxels; the image as it is for the other kinds."""
    if change.kind == "slices":
        return thicken_slices(image, change.amount)
    if change.kind in ("tilt", "roll"):
        return turn_head(image, change.amount, "x" if change.kind == "tilt" else "y", fill)
    return image


def thicken_slices(image: nib.Nifti1Image, thickness_mm: float) -> nib.Nifti1Image:
    """Average along the third array axis to slices of the given thickness.

    Args:
        image: RAS+.
        thickness_mm: Distance and thickness of the new slices.

    Returns:
        float32; the lowest new slice begins where the lowest old one does, and the uppermost
        averages what there is of it.

    Raises:
        ScanError: The slices are already thicker.
    """
    spacing, count = grid_of(image).spacing[2], image.shape[2]
    ratio = thickness_mm / spacing
    if ratio < 1 - 1e-3:
        raise ScanError(
            f"slices {spacing:.2f} mm apart",
            f"thinner ones than {thickness_mm:g} mm, to thicken them",
            "ask for thicker slices, or leave this scan as it is",
        )
    slabs = int(np.ceil(count / ratio - 1e-6))
    low, high = np.arange(slabs) * ratio, (np.arange(slabs) + 1) * ratio
    old = np.arange(count)
    overlap = np.minimum(high[:, None], old + 1) - np.maximum(low[:, None], old)
    weights = np.clip(overlap, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    data = np.asarray(image.dataobj, dtype=np.float32) @ weights.T.astype(np.float32)
    affine = np.array(image.affine, dtype=float)
    affine[:3, 3] += affine[:3, 2] * (ratio - 1) / 2
    affine[:3, 2] *= ratio
    return make_image(data, affine)


def turn_head(
    image: nib.Nifti1Image, degrees: float, axis: Literal["x", "y"], fill: float
) -> nib.Nifti1Image:
    """Turn what an image shows about a world axis through the middle of its grid.

    Args:
        image: Any orientation.
        degrees: By the right-hand rule: about x (to the patient's right) the front goes up, about
            y (to the front) the right goes down.
        axis: World axis.
        fill: Value where nothing was scanned.

    Returns:
        float32 on the same grid.
    """
    grid = grid_of(image)
    turn = _rotation(degrees, axis, apply_affine(grid.affine, (np.array(grid.shape) - 1) / 2))
    sampled = resample(image, Grid(grid.shape, np.linalg.inv(turn) @ grid.affine), fill=fill)
    return make_image(np.asarray(sampled.dataobj), grid.affine)


def _rotation(degrees: float, axis: str, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.eye(4)
    first, second = (1, 2) if axis == "x" else (2, 0)
    turn[[first, second], [first, second]] = cosine
    turn[second, first], turn[first, second] = sine, -sine
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    return turn

"""One DICOM series -> one volume with even slices.

:mod:`~lvo_kedro.imaging.series` picks and checks the files, :mod:`~lvo_kedro.imaging.pixels` gives
each in Hounsfield units. They are stacked by the positions in their headers, whatever else differs
from slice to slice. A gantry tilt is left in the affine
(:func:`~lvo_kedro.imaging.geometry.straighten` takes it out).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.gaps import Gap, describe_gaps, find_gaps
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.pixels import read_hu
from lvo_kedro.imaging.series import find_listed, find_series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.headers import Slice
    from lvo_kedro.imaging.rules import ScanLimits

_SKULL_CM2 = 2.0
"""Less bone than this in a slice: it lies beyond the vertex."""


class Series(NamedTuple):
    """A series as one volume."""

    image: nib.Nifti1Image
    """float32 HU with even slice steps, in the scanner's axes; sheared by a tilted gantry."""
    findings: tuple[str, ...]
    """What is remarkable about the files, in sentences."""
    contrast_named: bool
    """Whether the headers name a contrast agent."""
    child: bool | None
    """Whether the headers say that the patient is under 18; None where they say no age."""


def read_series(source: Path | Sequence[Path], limits: ScanLimits) -> Series:
    """Read the one CT series in a folder, or the one that files make up.

    Raises:
        ScanError: No series or several, or one that is incomplete or inconsistent.
    """
    chosen = (
        find_series(source, limits) if isinstance(source, Path) else find_listed(source, limits)
    )
    slices, findings = chosen
    gaps = find_gaps(slices, limits)
    if gaps and not limits.allow_gaps:
        _check_gaps(gaps, slices, limits)
    if gaps:
        findings = (*findings, f"interpolated over {describe_gaps(gaps, slices)}")
    named = any(item.names_contrast for item in slices)
    child = next((item.of_child for item in slices if item.of_child is not None), None)
    return Series(_even_slices(*_stack(slices, limits)), findings, named, child)


def stack_masks(masks: Mapping[Path, NDArray[np.generic]], limits: ScanLimits) -> nib.Nifti1Image:
    """Stack masks that were drawn on the slices of a series as :func:`read_series` stacks those.

    Args:
        masks: By file of a slice, a mask of its rows and columns, shape (rows, columns); above 0
            counts.
        limits: Between which bounds a scan is accepted.

    Returns:
        uint8, 1 inside, (column, row, slice) in the scanner's axes; sheared by a tilted gantry.
        Where steps are uneven, it is 1 from half the way between two slices to a marked one.

    Raises:
        ScanError: The files are no slices of one volume, or a mask has another shape than they.
    """
    slices, _ = find_listed([*masks], limits)
    rows, columns, down, along = slices[0].form
    data = np.empty((len(slices), rows, columns), dtype=np.float32)
    for k, item in enumerate(slices):
        mask = np.asarray(masks[item.path])
        if mask.shape != (rows, columns):
            shape = " x ".join(map(str, mask.shape))
            raise ScanError(
                f"a mask of {shape} on a slice of {rows} x {columns} pixels",
                "a mask of the slice's rows and columns",
                "download both again",
            )
        data[k] = mask > 0
    even = _even_slices(*_placed(data, slices, down, along))
    inside = (np.asarray(even.dataobj) >= 0.5).astype(np.uint8)
    return make_image(inside, even.affine)


def _check_gaps(gaps: list[Gap], slices: list[Slice], limits: ScanLimits) -> None:
    """Refuse gaps but those beyond the vertex, where both slices beside them are without skull.

    Raises:
        ScanError: A slice is missing from the head.
    """
    for gap in gaps:
        beside = slices[gap.below : gap.below + 2]
        if any(_bone_cm2(item, limits) >= _SKULL_CM2 for item in beside):
            raise ScanError(
                describe_gaps(gaps, slices),
                "no slice missing",
                "transfer the series again; scan_limits: {allow_gaps: true} interpolates over them",
            )


def _bone_cm2(item: Slice, limits: ScanLimits) -> float:
    _, _, down, along = item.form
    return float((read_hu(item, limits.max_hu) > limits.bone_hu).sum()) * down * along / 100


def _stack(slices: list[Slice], limits: ScanLimits) -> tuple[nib.Nifti1Image, NDArray[np.float64]]:
    """Stack slices that are sorted along their normal.

    Returns:
        The volume (column, row, slice), tilt and steps uncorrected, and where the first pixel of
        each slice lies, shape (slices, 3), in world mm.
    """
    rows, columns, down, along = slices[0].form
    data = np.empty((len(slices), rows, columns), dtype=np.float32)
    for k, item in enumerate(slices):
        data[k] = read_hu(item, limits.max_hu)
    return _placed(data, slices, down, along)


def _placed(
    data: NDArray[np.float32], slices: list[Slice], down: float, along: float
) -> tuple[nib.Nifti1Image, NDArray[np.float64]]:
    """Give planes (slice, row, column) the place of their slices."""
    axes = slices[0].directions
    positions = np.array([item.origin for item in slices])
    affine = np.eye(4)
    affine[:3, :2] = axes[:, :2] * [along, down]
    affine[:3, 2] = positions[1] - positions[0]
    affine[:3, 3] = positions[0]
    return make_image(data.transpose(2, 1, 0), affine), positions


def _even_slices(image: nib.Nifti1Image, positions: NDArray[np.float64]) -> nib.Nifti1Image:
    """Interpolate (linear) between slices where their steps differ.

    The new step is the one that a quarter of the old ones do not exceed, stretched so that first
    and last slice stay where they are.
    """
    affine = image.affine.copy()
    affine[:3, 3] = positions[0]
    total = positions[-1] - positions[0]
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    even = steps.max() - steps.min() <= max(0.05, 0.02 * float(np.median(steps)))
    if even:
        affine[:3, 2] = total / len(steps)
        return make_image(np.asarray(image.dataobj), affine)
    count = round(float(steps.sum() / np.quantile(steps, 0.25))) + 1
    affine[:3, 2] = total / (count - 1)
    distance = np.concatenate([[0.0], np.cumsum(steps)])
    where = np.interp(np.linspace(0.0, distance[-1], count), distance, np.arange(len(distance)))
    lower = np.minimum(where.astype(int), len(steps) - 1)
    weight = (where - lower).astype(np.float32)
    data = np.asarray(image.dataobj)
    blended = data[..., lower] * (1 - weight) + data[..., lower + 1] * weight
    return make_image(blended, affine)

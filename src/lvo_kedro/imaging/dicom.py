"""One DICOM series -> one volume with even slices.

:mod:`~lvo_kedro.imaging.series` picks and checks the files; dcm2niix decodes the pixels, applies
the rescale slope and stacks the slices. Where the slices lie is taken from the headers, since a
NIfTI affine cannot hold uneven steps. A gantry tilt is left in the affine
(:func:`~lvo_kedro.imaging.geometry.straighten` takes it out).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dcm2niix
import nibabel as nib
import numpy as np

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.series import find_series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.headers import Slice
    from lvo_kedro.imaging.rules import ScanLimits


class Series(NamedTuple):
    """A series as one volume."""

    image: nib.Nifti1Image
    """float32 HU with even slice steps, in the scanner's axes; sheared by a tilted gantry."""
    findings: tuple[str, ...]
    """What is remarkable about the files, in sentences."""
    contrast_named: bool
    """Whether the headers name a contrast agent."""


def read_series(folder: Path, limits: ScanLimits) -> Series:
    """Read the one CT series in ``folder``.

    Raises:
        ScanError: No series or several, or one that is incomplete or inconsistent.
    """
    return Series(_even_slices(*_convert(find_series(folder, limits))), (), False)


def _convert(slices: list[Slice]) -> tuple[nib.Nifti1Image, NDArray[np.float64]]:
    """Decode and stack with dcm2niix.

    Returns:
        The volume as stacked, tilt and steps uncorrected, and the slices' centre-of-corner
        positions in the volume's order, shape (slices, 3), in world mm.
    """
    with tempfile.TemporaryDirectory(prefix="lvo_kedro_") as name:
        source, target = Path(name, "dicom"), Path(name, "nifti")
        source.mkdir()
        target.mkdir()
        for number, item in enumerate(slices):
            os.symlink(item.path.resolve(), source / f"{number:05d}.dcm")
        options = {"b": "n", "ba": "y", "z": "n", "m": "y", "i": "n", "x": "i", "f": "scan"}
        words = [word for key, value in options.items() for word in (f"-{key}", value)]
        subprocess.run(  # noqa: S603 - the program that the dcm2niix package brings along
            [dcm2niix.bin, *words, "-o", str(target), str(source)],
            check=False,
            capture_output=True,
            timeout=600,
        )
        stacked = target / "scan.nii"
        volume = nib.Nifti1Image.from_filename(stacked) if stacked.is_file() else None
        if volume is None or volume.shape[2:] != (len(slices),):
            raise ScanError(
                f"{0 if volume is None else volume.shape[2:]} slices decoded by dcm2niix",
                f"{len(slices)}",
                "the pixels are damaged or in an unknown compression; export the series again",
            )
        data = volume.get_fdata(dtype=np.float32, caching="unchanged")
        image = make_image(np.array(data), volume.affine)
    return image, _corner_positions(image, slices)


def _corner_positions(image: nib.Nifti1Image, slices: list[Slice]) -> NDArray[np.float64]:
    """Return where voxel (0, 0) of each slice lies, and check it against dcm2niix's affine.

    dcm2niix may count rows from the other end and may stack in either direction, so both are
    read off its affine instead of being assumed.
    """
    rows, columns, down, along = slices[0].form
    axes = slices[0].directions
    corner = np.zeros(3)
    for axis, (count, step) in enumerate(((columns, along), (rows, down))):
        if image.affine[:3, axis] @ axes[:, axis] < 0:
            corner += axes[:, axis] * step * (count - 1)
    positions = np.array([item.origin for item in slices]) + corner
    if image.affine[:3, 2] @ axes[:, 2] < 0:
        positions = positions[::-1]
    off = float(np.linalg.norm(positions[0] - image.affine[:3, 3]))
    if off > 0.5:
        raise ScanError(
            f"a first slice converted to {off:.1f} mm beside its place",
            "the position in the DICOM header",
            "convert the series to NIfTI with another tool",
        )
    return positions


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

"""Planes of CPAISD's slices, which are stored as arrays without geometry."""

from __future__ import annotations

import zipfile
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.adoption.source import AdoptionError
from lvo_kedro.imaging import ScanLimits
from lvo_kedro.imaging.headers import read_listed
from lvo_kedro.imaging.pixels import read_hu

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MAX_BYTES: Final = 64 << 20
"""No plane of 512 x 512 pixels has more; what is packed may claim any size."""
_LEAST_GAIN: Final = 0.02
"""By how much a turned plane must fit better: heads are nearly symmetric, and planes windowed."""


def read_plane(path: Path) -> NDArray[np.generic]:
    """Read the one plane of an ``.npz`` file, without executing anything in it.

    Args:
        path: ``mask.npz`` or ``image.npz``.

    Returns:
        Shape (rows, columns), numbers.

    Raises:
        AdoptionError: It is damaged, of an absurd size, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MAX_BYTES:
            raise AdoptionError(f"{size} bytes in {path.name}", "one plane", "download it again")
        with np.load(path, allow_pickle=False) as content:
            planes = [content[name] for name in content.files]
    except AdoptionError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise AdoptionError(
            f"a {path.name} that cannot be read ({type(error).__name__})",
            "an array of numbers, as numpy.savez writes it",
            "download it again",
        ) from error
    found = [" x ".join(map(str, plane.shape)) for plane in planes]
    plane = np.squeeze(planes[0]) if len(planes) == 1 else np.empty(0)
    if plane.ndim != 2 or plane.dtype.kind not in "biuf" or not np.isfinite(plane).all():
        raise AdoptionError(
            f"{path.name} with arrays of shape {', '.join(found) or 'none'}",
            "one array of rows and columns",
            "this may be another version of the archive",
        )
    return plane


def check_orientation(image: Path, slice_file: Path) -> None:
    """Look whether a stored plane has the rows and columns of the DICOM slice beside it.

    Masks are stored as planes are. If these were turned or mirrored, cores would come to lie on
    the wrong side. How their values were scaled does not matter.

    Args:
        image: ``image.npz``.
        slice_file: ``raw.dcm``.

    Raises:
        AdoptionError: Another shape, or the plane fits better once it is turned or mirrored.
    """
    plane = np.asarray(read_plane(image), dtype=float)
    hu = np.clip(read_hu(read_listed([slice_file]).slices[0], ScanLimits().max_hu), -100, 200)
    if plane.shape != hu.shape:
        raise AdoptionError(
            f"image.npz of {plane.shape[0]} x {plane.shape[1]} beside a slice of "
            f"{hu.shape[0]} x {hu.shape[1]} pixels",
            "the same rows and columns",
            "this may be another version of the archive",
        )
    fits = {}
    for turned, upside, mirrored in product((False, True), repeat=3):
        other = plane.T if turned else plane
        other = other[::-1] if upside else other
        other = other[:, ::-1] if mirrored else other
        if other.shape == hu.shape:
            fits[turned, upside, mirrored] = abs(_correlation(other, hu))
    best = max(fits, key=lambda way: fits[way])
    if fits[best] > fits[False, False, False] + _LEAST_GAIN:
        words = zip(("transposed", "upside down", "mirrored"), best, strict=True)
        raise AdoptionError(
            f"an image.npz that is {' and '.join(w for w, yes in words if yes)} against raw.dcm",
            "rows and columns of the slice",
            "masks would come to lie elsewhere; this is another version than the published one",
        )


def _correlation(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Return the correlation of two planes; 0 where one is even."""
    planes = (np.ravel(plane).astype(float) for plane in (one, other))
    a, b = (plane - plane.mean() for plane in planes)
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else 0.0

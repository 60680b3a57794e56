"""NIfTI files: opened so that whatever a damaged one holds is an error in words.

Voxels stay in the file, or where it is compressed in memory as they are stored, until they are
asked for.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import shutil
from typing import TYPE_CHECKING, Any, BinaryIO

import nibabel as nib
import numpy as np
from nibabel.quaternions import fillpositive

from lvo_kedro.errors import ScanError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

MAX_QUATERNION = 1.001
"""A quaternion that is longer than one by rounding alone stays below this length."""


def quaternion_length(header: Any) -> float:
    """Return the length of the quaternion's stored parts, which is at most 1 in a rotation."""
    return math.hypot(*(float(header[f"quatern_{name}"]) for name in "bcd"))


class _Tolerant:
    """A header whose quaternion may be longer than one by rounding, which nibabel refuses."""

    def get_qform_quaternion(self: Any) -> Any:
        length = quaternion_length(self)
        if not length <= MAX_QUATERNION:
            raise ScanError(
                f"a quaternion of length {length:.4g} in the qform: no rotation",
                "at most 1",
                "write the file again with the affine of the original series",
            )
        parts = np.array([self[f"quatern_{name}"] for name in "bcd"], dtype=float)
        return fillpositive(parts / max(length, 1.0), self.quaternion_threshold)


class _Header1(_Tolerant, nib.Nifti1Header):
    pass


class _Header2(_Tolerant, nib.Nifti2Header):
    pass


class _Image1(nib.Nifti1Image):
    header_class = _Header1


class _Image2(nib.Nifti2Image):
    header_class = _Header2


_KINDS = {
    size.to_bytes(4, order): kind
    for size, kind in ((348, _Image1), (540, _Image2))
    for order in ("little", "big")
}
"""By the first four bytes, the size of the header."""


def open_nifti(path: Path, role: str, *, by_content: bool = False) -> nib.Nifti1Image:
    """Open a NIfTI file without reading its voxels; axes of length one behind the third go.

    Args:
        path: ``.nii`` or ``.nii.gz``; the latter is unpacked in memory, its checksum compared.
        role: What errors call the file.
        by_content: Whether a file that is compressed against its name, or not, is read as what it
            is, as in archives that cannot be renamed; otherwise it is an error.

    Raises:
        ScanError: No file, another format, or one that ends early.
    """
    _check_name(path, role)
    if not by_content:
        _check_compression(path, role)
    named = path.suffix.lower() == ".gz"
    compressed = is_compressed(path) if by_content else named
    if compressed or named:  # nibabel would go by the name
        unpacked = io.BytesIO()
        with whole_file(role), gzip.open(path) if compressed else path.open("rb") as file:
            shutil.copyfileobj(file, unpacked, 1 << 24)
        with _valid_header(role):
            kind = _checked_kind(unpacked, unpacked.tell(), role)
            unpacked.seek(0)
            return _in_3d(kind.from_stream(unpacked))
    with _valid_header(role), path.open("rb") as plain:
        return _in_3d(_checked_kind(plain, path.stat().st_size, role).from_filename(path))


def _in_3d(image: Any) -> nib.Nifti1Image:
    """Drop axes of length one behind the third; many converters write a fourth."""
    if len(image.shape) > 3 and set(image.shape[3:]) == {1}:
        image = type(image)(image.dataobj.reshape(image.shape[:3]), image.affine, image.header)
    flat: nib.Nifti1Image = image
    return flat


def whole_file(role: str) -> AbstractContextManager[None]:
    """Turn what a library raises on a damaged file into an error in words."""
    return _in_words(f"a truncated or damaged file for {role}", "a NIfTI file with all its voxels")


def _valid_header(role: str) -> AbstractContextManager[None]:
    return _in_words(
        f"a file for {role} that is not NIfTI, or whose header is damaged", "a NIfTI file"
    )


@contextlib.contextmanager
def _in_words(found: str, expected: str) -> Iterator[None]:
    try:
        yield
    except (ScanError, MemoryError):
        raise
    except Exception as error:
        raise ScanError(
            f"{found} ({type(error).__name__})", expected, "copy or export it again"
        ) from error


def _checked_kind(file: BinaryIO, size: int, role: str) -> Any:
    """Return the class that reads ``file``, whose voxels must all lie within its ``size``.

    Otherwise a length in a damaged header may ask for more memory than there is.
    """
    file.seek(0)
    kind: Any = _KINDS.get(file.read(4))
    if kind is None:
        raise ValueError("no size of a NIfTI header")
    file.seek(0)
    header = kind.header_class(file.read(kind.header_class.sizeof_hdr), check=False)
    start, shape = int(header.get_data_offset()), header.get_data_shape()
    if not kind.header_class.single_vox_offset <= start <= size:
        raise ValueError("the voxels begin inside the header or behind the file")
    needed = start + math.prod(int(n) for n in shape) * header.get_data_dtype().itemsize
    if size < needed:
        raise ScanError(
            f"a truncated or damaged file for {role} ({size} bytes)",
            f"{needed} bytes, as its header says",
            "copy or export it again",
        )
    return kind


def _check_name(path: Path, role: str) -> None:
    scan = role == "ncct"  # a series of DICOM files is read for the scan alone
    if not path.is_file():
        raise ScanError(
            f"no file or folder for {role}" if scan else f"no file for {role}",
            "a NIfTI file or DICOM folder" if scan else "a NIfTI file",
            "check the path",
        )
    if path.stat().st_size == 0:
        raise ScanError(f"an empty file for {role}", "a NIfTI file", "copy or export it again")
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise ScanError(
            f"a file for {role} that ends in neither .nii nor .nii.gz",
            "a NIfTI file (.nii, .nii.gz)" + (" or a folder with DICOM files" if scan else ""),
            ("give the folder of the series, or " if scan else "") + "convert the file to NIfTI",
        )


def is_compressed(path: Path) -> bool:
    """Return whether a file is gzip-compressed, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _check_compression(path: Path, role: str) -> None:
    """Refuse a file whose name says the opposite of what it is."""
    with path.open("rb") as file:
        start = file.read(4)
    named = path.suffix.lower() == ".gz"
    if is_compressed(path) and not named:
        found, right = "a gzip-compressed file that is named .nii", ".nii.gz"
    elif start in _KINDS and named:
        found, right = "an uncompressed file that is named .nii.gz", ".nii"
    else:
        return
    raise ScanError(f"{found} for {role}", "a name that says what it is", f"rename it to {right}")

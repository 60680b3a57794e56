"""Headers of the DICOM files in a folder: where each slice lies and how its pixels are stored.

Only the attributes in ``_TAGS`` are read, none of which identifies a patient. Errors call a file by
its place in the order of names, which may be a patient's themselves.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage

from lvo_kedro.errors import ScanError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "ConvolutionKernel",
    "RescaleSlope",
    "RescaleIntercept",
]
_PREAMBLE = 132
"""Bytes before a DICOM file's first attribute."""
_TO_RAS = np.array([-1.0, -1.0, 1.0])


class Slice(NamedTuple):
    """One file of a series: its path and the attributes in ``_TAGS``."""

    path: Path
    header: pydicom.Dataset

    @property
    def origin(self) -> NDArray[np.float64]:
        """Centre of the first pixel in RAS+ world mm, shape (3,)."""
        return np.asarray(self.header.ImagePositionPatient, dtype=float) * _TO_RAS

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors along a row, along a column, and their normal, as columns (RAS+)."""
        row, column = np.reshape(np.asarray(self.header.ImageOrientationPatient, float), (2, 3))
        return np.stack([row * _TO_RAS, column * _TO_RAS, np.cross(row, column) * _TO_RAS], axis=1)

    @property
    def form(self) -> tuple[int, int, float, float]:
        """Rows, columns and their spacing in mm."""
        down, along = (round(float(v), 4) for v in self.header.PixelSpacing)
        return int(self.header.Rows), int(self.header.Columns), down, along


def read_headers(folder: Path) -> list[Slice]:
    """Return every DICOM object in ``folder`` and the folders right below it.

    Raises:
        ScanError: No DICOM file, or one that ends early.
    """
    slices = []
    paths = sorted(p for p in [*folder.glob("*"), *folder.glob("*/*")] if p.is_file())
    for number, path in enumerate(paths, start=1):
        header = _read_header(path, f"{number} of {len(paths)} in the order of names")
        if header is not None and "SOPInstanceUID" in header:
            slices.append(Slice(path, header))
    if not slices:
        raise ScanError(
            "no DICOM image in the folder",
            "the files of one CT series",
            "check the path; files may lie one folder deeper at most",
        )
    return slices


def _read_header(path: Path, place: str) -> pydicom.Dataset | None:
    """Return the header of a DICOM file with all its pixels, or None for any other file.

    Raises:
        ScanError: A DICOM file that ends early.
    """
    try:
        with warnings.catch_warnings():
            # pydicom quotes odd values in its warnings, which may be those of a patient
            warnings.simplefilter("ignore")
            with path.open("rb") as file:
                header = pydicom.dcmread(file, specific_tags=_TAGS, stop_before_pixels=True)
                complete = _has_all_pixels(header, file)
    except InvalidDicomError:
        if path.suffix.lower() != ".dcm" or path.stat().st_size >= _PREAMBLE:
            return None
        complete = False
    except (EOFError, OSError, ValueError, KeyError, AttributeError):
        complete = False
    if complete:
        return header
    raise ScanError(
        f"a truncated DICOM file ({place}, {path.stat().st_size} bytes)",
        "whole files",
        "transfer the series again",
    )


def _has_all_pixels(header: pydicom.Dataset, file: BinaryIO) -> bool:
    """Tell whether the pixels follow where reading ``file`` stopped, to the last."""
    if "Rows" not in header:
        # reports and other objects have no pixels; a CT image without them ends in its header
        return header.file_meta.get("MediaStorageSOPClassUID") != CTImageStorage
    start, end = file.tell(), file.seek(0, os.SEEK_END)
    if header.file_meta.TransferSyntaxUID.is_compressed:
        file.seek(max(start, end - 4096))
        return b"\xfe\xff\xdd\xe0" in file.read()  # the delimiter after the last fragment
    pixels = int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel", 1))
    return end - start >= pixels * int(header.BitsAllocated) // 8

"""Which files of a folder are the one CT series wanted, and whether it is complete.

Only headers are read here, and of these no attribute that identifies a patient. Errors quote what
is technical (modality, series number, thickness, kernel), and call a slice by its place in the
series: the names of files and folders may be a patient's, as may a series' description.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.rules import Rule, ScanLimits, check

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

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
_GEOMETRY = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""How many numbers say where a slice lies."""
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


def find_series(folder: Path, limits: ScanLimits) -> list[Slice]:
    """Return the slices of the one CT series in ``folder``, sorted along their normal.

    Localizers and copies of slices beside the series are left out.

    Raises:
        ScanError: No series or several, or one that is incomplete or inconsistent.
    """
    slices = _without_copies(_choose_series(_read_headers(folder)))
    check(slices, SERIES_RULES, limits)
    normal = slices[0].directions[:, 2]
    slices = sorted(slices, key=lambda s: float(s.origin @ normal))
    check(slices, POSITION_RULES, limits)
    return slices


def _read_headers(folder: Path) -> list[Slice]:
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


def _choose_series(slices: list[Slice]) -> list[Slice]:
    """Return the slices of the only axial CT series, or say what there is instead."""
    left_out: dict[str, int] = defaultdict(int)
    series: dict[str, list[Slice]] = defaultdict(list)
    for item in slices:
        reason = _unusable(item.header)
        if reason:
            left_out[reason] += 1
        else:
            series[str(item.header.get("SeriesInstanceUID", ""))].append(item)
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    if not series:
        raise ScanError(
            f"only {words} in the folder",
            "the slices of one non-contrast head CT series",
            "give the folder of the axial series",
        )
    if len(series) > 1:
        raise ScanError(
            f"{len(series)} CT series in the folder: "
            + "; ".join(_describe(s) for s in series.values()),
            "one",
            "put the wanted series into a folder of its own",
        )
    if words:
        logger.info("left out of the series: %s", words)
    return next(iter(series.values()))


def _unusable(header: pydicom.Dataset) -> str | None:
    words = header.get("ImageType") or ()  # one word alone is no list
    kinds = {word.upper() for word in ((words,) if isinstance(words, str) else words)}
    if header.get("Modality") != "CT":
        return f"{header.get('Modality') or 'unknown'} image(s) (modality is not CT)"
    if kinds & {"LOCALIZER", "SCOUT"}:
        return "localizer (scout) image(s)"
    if "Rows" not in header or int(header.get("SamplesPerPixel", 1)) != 1:
        return "screen capture(s) or object(s) without pixels"
    return None


def _describe(slices: list[Slice]) -> str:
    header = slices[0].header
    kernel = header.get("ConvolutionKernel") or "unknown"
    thickness = header.get("SliceThickness") or "unknown"
    return (
        f"series {header.get('SeriesNumber')} ({len(slices)} images, "
        f"thickness {thickness} mm, kernel {kernel})"
    )


def _without_copies(slices: list[Slice]) -> list[Slice]:
    unique = {str(item.header.SOPInstanceUID): item for item in reversed(slices)}
    if len(unique) < len(slices):
        logger.info("left out %d copies of slices", len(slices) - len(unique))
    return list(unique.values())


def _missing(slices: list[Slice], _: ScanLimits) -> str | None:
    if lacking := _lacking(slices, *_GEOMETRY):
        return lacking
    for tag, count in _GEOMETRY.items():
        if others := {item.header[tag].VM for item in slices} - {count}:
            return f"{tag} of {min(others)} number(s) instead of {count}"
    return None


def _lacking(slices: list[Slice], *tags: str) -> str | None:
    for tag in tags:
        count = sum(item.header.get(tag) in (None, "", []) for item in slices)
        if count:
            return f"no {tag} in {count} of {len(slices)} slices"
    return None


def _absurd_pixels(slices: list[Slice], limits: ScanLimits) -> str | None:
    for _, _, *pixel in (item.form for item in slices):
        if not all(limits.min_spacing_mm <= v <= limits.max_spacing_mm for v in pixel):
            return f"pixels of {pixel[0]:g} x {pixel[1]:g} mm"
    return None


def _multi_frame(slices: list[Slice], _: ScanLimits) -> str | None:
    frames = max(int(item.header.get("NumberOfFrames") or 1) for item in slices)
    return f"a multi-frame file ({frames} frames)" if frames > 1 else None


def _no_rescale(slices: list[Slice], _: ScanLimits) -> str | None:
    return _lacking(slices, "RescaleSlope", "RescaleIntercept")


def _mixed_rescale(slices: list[Slice], _: ScanLimits) -> str | None:
    pairs = {(float(s.header.RescaleSlope), float(s.header.RescaleIntercept)) for s in slices}
    if len(pairs) == 1:
        return None
    return "rescale to HU by " + " and ".join(f"{a:g} x + {b:g}" for a, b in sorted(pairs)[:3])


def _eight_bits(slices: list[Slice], _: ScanLimits) -> str | None:
    if lacking := _lacking(slices, "BitsStored"):
        return lacking
    bits = min(int(item.header.BitsStored) for item in slices)
    return f"{bits} bits a pixel" if bits <= 8 else None


def _mixed_form(slices: list[Slice], _: ScanLimits) -> str | None:
    forms = sorted({item.form for item in slices})
    if len(forms) == 1:
        return None
    return "slices of " + " and ".join(f"{r} x {c} at {d} x {a} mm" for r, c, d, a in forms[:3])


def _mixed_orientation(slices: list[Slice], _: ScanLimits) -> str | None:
    first = slices[0].directions
    cosine = min(float(np.min(np.sum(first * s.directions, axis=0))) for s in slices)
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return f"slices turned by up to {angle:.1f} degrees" if angle > 0.5 else None


def _few_slices(slices: list[Slice], _: ScanLimits) -> str | None:
    return f"{len(slices)} slice(s)" if len(slices) < 4 else None


def _steps(slices: list[Slice]) -> NDArray[np.float64]:
    return np.diff([float(item.origin @ slices[0].directions[:, 2]) for item in slices])


def _same_place(slices: list[Slice], _: ScanLimits) -> str | None:
    steps = _steps(slices)
    if steps.min() > 0.01:
        return None
    at = int(steps.argmin()) + 1
    return (
        f"{int((steps <= 0.01).sum())} pairs of slices at one position "
        f"(the first: slices {at} and {at + 1} of {len(slices)})"
    )


def _gap(slices: list[Slice], limits: ScanLimits) -> str | None:
    steps = _steps(slices)
    padded = np.concatenate([[steps[0]], steps, [steps[-1]]])
    neighbours = np.maximum(padded[:-2], padded[2:])
    lone = (steps > 1.6 * neighbours) & (steps > 3.0)
    gaps = np.flatnonzero(lone | (steps > limits.max_spacing_mm))
    if gaps.size == 0:
        return None
    at = int(gaps[0])
    return (
        f"a gap of {steps[at]:.1f} mm between slices {at + 1} and {at + 2} of {len(slices)} "
        f"in steps of {np.median(steps):.1f} mm"
    )


def _crooked(slices: list[Slice], _: ScanLimits) -> str | None:
    origins = np.array([item.origin for item in slices])
    along = np.concatenate([[0.0], np.cumsum(_steps(slices))]) / _steps(slices).sum()
    line = origins[0] + along[:, None] * (origins[-1] - origins[0])
    off = float(np.linalg.norm(origins - line, axis=1).max())
    return f"slices up to {off:.1f} mm off a straight line" if off > 1.0 else None


SERIES_RULES: tuple[Rule, ...] = (
    Rule(_multi_frame, "one file a slice", "convert the series to NIfTI first"),
    Rule(_missing, "position, orientation and spacing in every slice", "export the series again"),
    Rule(
        _absurd_pixels,
        "{min_spacing_mm:g} to {max_spacing_mm:g} mm between pixels",
        "export the original CT series",
    ),
    Rule(_no_rescale, "the rescale to HU in every slice", "export the original CT series"),
    Rule(_mixed_rescale, "one rescale for all slices", "export the series again"),
    Rule(_eight_bits, "at least 12 bits", "export the original CT series, not a windowed copy"),
    Rule(_mixed_form, "slices of one size and spacing", "export one reconstruction alone"),
    Rule(_mixed_orientation, "parallel slices", "export one reconstruction alone"),
    Rule(_few_slices, "a series that covers the head", "export the full axial series"),
)
"""What is looked at in the headers, in any order of the slices."""

POSITION_RULES: tuple[Rule, ...] = (
    Rule(_same_place, "one slice a position", "export one reconstruction and phase alone"),
    Rule(_gap, "no slice missing", "transfer the series again"),
    Rule(_crooked, "slices stacked along a line", "export the series again"),
)
"""What is looked at in the slices' positions, sorted along their normal."""

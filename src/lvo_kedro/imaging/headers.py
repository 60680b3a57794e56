"""Headers of the DICOM files in a folder: where each slice lies and how its pixels are stored.

Only the attributes in ``_NUMBERS`` and ``_WORDS`` are read, none of which identifies a patient.
Errors call a file by its place in the order of names, which may be a patient's themselves.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pydicom
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.frames import GROUPS, agent_of, split_frames
from lvo_kedro.imaging.pixels import PixelData, locate_pixels, quiet_pydicom

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_NUMBERS = {
    name: Tag(name)
    for name in (
        "InstanceNumber",
        "NumberOfSeriesRelatedInstances",
        "NumberOfFrames",
        "SamplesPerPixel",
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "PixelRepresentation",
        "PixelPaddingValue",
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "SliceThickness",
        "RescaleSlope",
        "RescaleIntercept",
    )
} | {"OverlayBitPosition": Tag(0x6000, 0x0102)}
_WORDS = (
    "SOPClassUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "PhotometricInterpretation",
    "ConvolutionKernel",
    "ContrastBolusAgent",
    "PatientAge",
)
_NO_AGENT = {"", "0", "N", "NO", "NON", "NONE", "NIL", "NULL", "NA", "N/A", "WITHOUT", "UNKNOWN"}
"""What scanners write into ContrastBolusAgent where none was given."""
_YEARS = {"Y": 1.0, "M": 12.0, "W": 52.0, "D": 365.0}
"""How many of a unit of PatientAge make a year."""
_ADULT_YEARS = 18
_NAMED_AS_DICOM = (".dcm", ".dicom", ".ima")
_OF_THE_SYSTEM = {"thumbs.db", "desktop.ini"}
_PREAMBLE = 132
"""Bytes before a DICOM file's first attribute; the last four say that it is one."""
_STARTS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""Group of the first attribute where a file has no preamble (the last one: big endian)."""
_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Slice:
    """One file of a series: its path, what its header says, and where its pixels lie.

    ``numbers`` holds what is there and can be read, a tuple an attribute; ``malformed`` what is
    there and cannot, as it may be quoted.
    """

    path: Path
    words: dict[str, str]
    numbers: dict[str, tuple[float, ...]]
    malformed: dict[str, str]
    pixels: PixelData

    def number(self, name: str, default: float) -> float:
        """Return the first number of an attribute, or ``default`` where it has none."""
        return self.numbers.get(name, (default,))[0]

    @property
    def series(self) -> str:
        """The series to which the file says that it belongs."""
        return self.words.get("SeriesInstanceUID", "")

    @property
    def origin(self) -> NDArray[np.float64]:
        """Centre of the first pixel in RAS+ world mm, shape (3,)."""
        return np.asarray(self.numbers["ImagePositionPatient"]) * _TO_RAS

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors along a row, along a column, and their normal, as columns (RAS+)."""
        row, column = np.reshape(self.numbers["ImageOrientationPatient"], (2, 3))
        row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
        return np.stack([row * _TO_RAS, column * _TO_RAS, np.cross(row, column) * _TO_RAS], axis=1)

    @property
    def form(self) -> tuple[int, int, float, float]:
        """Rows, columns and their spacing in mm."""
        down, along = (round(v, 4) for v in self.numbers["PixelSpacing"])
        return int(self.number("Rows", 0)), int(self.number("Columns", 0)), down, along

    @property
    def names_contrast(self) -> bool:
        """Whether the header names a contrast agent."""
        return self.words.get("ContrastBolusAgent", "").upper().strip(" .-") not in _NO_AGENT

    @property
    def of_child(self) -> bool | None:
        """Whether the patient is under 18, which is all that is kept of an age; None if unknown."""
        digits, unit = (age := self.words.get("PatientAge", "").strip().upper())[:-1], age[-1:]
        if unit not in _YEARS or not digits.isdecimal():
            return None
        return int(digits) / _YEARS[unit] < _ADULT_YEARS


class Folder(NamedTuple):
    """What lies in a folder: its DICOM objects, and how many files are none."""

    slices: list[Slice]
    foreign: int


def read_headers(folder: Path) -> Folder:
    """Return every DICOM object in ``folder`` and the folders right below it.

    Files of the operating system (hidden ones, shadows that a Mac writes) do not count as foreign.

    Raises:
        ScanError: No DICOM file, one that ends early, or one that is named as DICOM and is none.
    """
    paths = sorted(p for p in [*folder.glob("*"), *folder.glob("*/*")] if p.is_file())
    return read_listed(paths)


def read_listed(paths: Sequence[Path]) -> Folder:
    """Return every DICOM object among files; an enhanced multi-frame image as its frames.

    Raises:
        ScanError: As :func:`read_headers`.
    """
    slices: list[Slice] = []
    foreign = 0
    for number, path in enumerate(paths, start=1):
        place = f"{number} of {len(paths)} in the order of names"
        items = _read_slices(path, place)
        slices += items
        if items:
            continue
        if not _of_the_system(path):
            _check_name(path, place)
            foreign += 1
    if not slices:
        raise ScanError(
            "no DICOM image in the folder" + (f" ({foreign} other files)" if foreign else ""),
            "the files of one CT series",
            "check the path; files may lie one folder deeper at most",
        )
    return Folder(slices, foreign)


def _of_the_system(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _OF_THE_SYSTEM


def _check_name(path: Path, place: str) -> None:
    """Refuse a file that takes a slice's name: what it replaces is missing."""
    if path.suffix.lower() in _NAMED_AS_DICOM:
        if path.stat().st_size < _PREAMBLE:
            raise _truncated(place, path.stat().st_size)
        with path.open("rb") as file:
            start = file.read(64).lstrip().lower()
        kind = "a web page" if start.startswith((b"<!doctype", b"<html")) else "no DICOM"
        raise ScanError(
            f"a file named {path.suffix.lower()} that is {kind} ({place}, "
            f"{path.stat().st_size} bytes)",
            "DICOM in every file with that ending",
            "transfer the series again; take out of the folder what does not belong to it",
        )


def _read_slices(path: Path, place: str) -> list[Slice]:
    """Return the header of a DICOM file with all its pixels, or nothing for any other file.

    Raises:
        ScanError: A DICOM file that ends early.
    """
    size = path.stat().st_size
    try:
        with quiet_pydicom(), path.open("rb") as file:
            header = open_header(file, [*_NUMBERS.values(), *_WORDS, *GROUPS])
            if header is None:
                return []
            item = _as_slice(path, header, locate_pixels(header, file))
            slices = split_frames(item, header, _as_numbers)
    except MemoryError:
        raise
    except Exception as error:  # whatever pydicom raises on a damaged file
        raise _truncated(place, size) from error
    if _is_whole(item):
        return slices
    raise _truncated(place, size)


def open_header(file: Any, attributes: Iterable[Any]) -> pydicom.FileDataset | None:
    """Read up to the pixels; a file without the preamble that marks it as DICOM is tried, too.

    Args:
        file: Opened in binary mode, at its begin; it must be able to seek.
        attributes: Names or tags of what is read; everything else is passed over.

    Returns:
        The header, or None where the file is no DICOM.
    """
    tags: list[Any] = list(attributes)
    start = file.read(_PREAMBLE)
    file.seek(0)
    if start.endswith(b"DICM"):
        return pydicom.dcmread(file, specific_tags=tags, stop_before_pixels=True)
    if not start.startswith(_STARTS):
        return None
    header = pydicom.dcmread(file, specific_tags=tags, stop_before_pixels=True, force=True)
    return header if "SOPClassUID" in header or "Modality" in header else None


def _is_whole(item: Slice) -> bool:
    if not item.pixels.whole:
        return False
    if not item.pixels.spans:
        # reports and other objects have no pixels; a CT image without them ends in its header
        return "Rows" not in item.numbers and item.words["SOPClassUID"] not in ("", CTImageStorage)
    count = math.prod(item.number(n, 1) for n in ("Rows", "Columns", "SamplesPerPixel"))
    bits = item.number("BitsAllocated", 8)
    return item.pixels.compressed or item.pixels.length >= count * bits // 8


def _truncated(place: str, size: int) -> ScanError:
    return ScanError(
        f"a truncated DICOM file ({place}, {size} bytes)",
        "whole files",
        "transfer the series again",
    )


def _as_slice(path: Path, header: pydicom.FileDataset, pixels: PixelData) -> Slice:
    numbers, malformed = {}, {}
    for name, tag in _NUMBERS.items():
        if tag not in header:
            continue
        values = _as_numbers(header, tag)
        if values is None:
            malformed[name] = _quoted(header, tag)
        elif values:
            numbers[name] = values
    words = {name: _as_words(header, name) for name in _WORDS if name in header}
    if agent := agent_of(header):
        words.setdefault("ContrastBolusAgent", agent)
    words.setdefault("SOPClassUID", str(header.file_meta.get("MediaStorageSOPClassUID", "")))
    return Slice(path, words, numbers, malformed, pixels)


def _as_numbers(header: pydicom.Dataset, tag: Any) -> tuple[float, ...] | None:
    """Return the finite numbers of an attribute, or None where one of them is none."""
    try:
        value = header[tag].value
        if isinstance(value, bytes):  # stored signed or unsigned, which this header does not say
            value = int.from_bytes(value[:2], "little")
        if value is None or value == "":
            return ()
        values = tuple(float(v) for v in (value if hasattr(value, "__iter__") else [value]))
    except MemoryError:
        raise
    except Exception:  # pydicom converts now, and raises what the value makes it raise
        return None
    return values if all(math.isfinite(v) for v in values) else None


def _quoted(header: pydicom.Dataset, tag: Any) -> str:
    """Return a value as it is written, if that is nothing but digits and signs."""
    raw = header.get_item(tag)
    value: Any = getattr(raw, "value", b"")
    parts = [value] if isinstance(value, bytes | str) else value
    text = "\\".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in parts)
    text = text.strip("\0 ")
    return f"'{text}'" if re.fullmatch(r"[0-9eE+.,\\ -]{1,60}|nan|inf", text, re.I) else "no number"


def _as_words(header: pydicom.Dataset, name: str) -> str:
    try:
        value = header[name].value
    except MemoryError:
        raise
    except Exception:  # as above: text that cannot be decoded says nothing
        return ""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else "\\".join(map(str, np.atleast_1d(value)))

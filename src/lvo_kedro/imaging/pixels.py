"""The pixels of one DICOM file: where they lie in it, and what they are in Hounsfield units.

pydicom decodes them (with GDCM where they are compressed as JPEG). It is given the bytes alone, so
that bytes behind the pixels, a last delimiter that is missing, or a syntax that the file does not
name are no obstacle.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import warnings
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
)

from lvo_kedro.errors import ScanError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from lvo_kedro.imaging.headers import Slice

AIR_HU = -1024.0
"""Lower end of the HU scale; padding values below it are raised to it."""

_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM, _END_OF_ITEMS = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_LONG_VALUES = (b"OB", b"OW", b"UN")


class PixelData(NamedTuple):
    """Where the pixels of a file lie, and how they are encoded; without spans, there are none."""

    syntax: str
    """Transfer syntax UID; empty where the file names none and its pixels are compressed."""
    spans: tuple[tuple[int, int], ...]
    """First byte and number of bytes: one pair, or one a fragment of a compressed image."""
    whole: bool
    """Whether the file reaches to the end of what it says follows."""
    compressed: bool

    @property
    def length(self) -> int:
        """Bytes of pixels."""
        return sum(count for _, count in self.spans)


def locate_pixels(header: pydicom.FileDataset, file: BinaryIO) -> PixelData:
    """Find the pixels where reading ``header`` from ``file`` stopped.

    Args:
        header: As read with ``stop_before_pixels``.
        file: The open file, behind the attributes that were read.
    """
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if syntax == DeflatedExplicitVRLittleEndian:
        file.seek(0)
        unpacked = pydicom.dcmread(file)  # the file's own bytes tell nothing
        count = len(unpacked.PixelData) if "PixelData" in unpacked else 0
        return PixelData(syntax, ((0, count),) if count else (), True, False)
    implicit, little = header.original_encoding
    order = "<" if little else ">"
    start = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    element = file.read(8)
    if len(element) < 8 or struct.unpack(f"{order}HH", element[:4]) != _PIXEL_DATA:
        return PixelData(syntax, (), True, False)
    long = not implicit and element[4:6] in _LONG_VALUES
    (length,) = struct.unpack(f"{order}I", file.read(4) if long else element[4:])
    first = file.tell()
    if length == _UNDEFINED:
        spans, whole = _fragments(file, end)
        return PixelData(syntax, tuple(spans), whole, True)
    if not syntax:
        syntax = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    return PixelData(syntax, ((first, min(length, end - first)),), True, False)


def _fragments(file: BinaryIO, end: int) -> tuple[list[tuple[int, int]], bool]:
    """Return the fragments of compressed pixels, and whether the last one is whole.

    A file may end behind its last fragment, or go on behind the delimiter that follows it.
    """
    spans: list[tuple[int, int]] = []
    while len(head := file.read(8)) == 8:
        tag, (length,) = struct.unpack("<HH", head[:4]), struct.unpack("<I", head[4:])
        if tag != _ITEM:
            return spans[1:], tag == _END_OF_ITEMS or len(spans) > 1
        spans.append((file.tell(), length))
        if file.tell() + length > end:
            return spans[1:], False
        file.seek(length, os.SEEK_CUR)
    return spans[1:], len(spans) > 1  # the first item is the table of offsets


def read_hu(item: Slice, max_hu: float) -> NDArray[np.float32]:
    """Return a slice in Hounsfield units, shape (rows, columns).

    Padding, as the header names it, becomes air where it lies outside of the scale, which ends at
    ``max_hu``.

    Raises:
        ScanError: Pixels that are damaged, or compressed in a way that pydicom cannot undo.
    """
    try:
        with quiet_pydicom():
            stored = _decode(item)
    except MemoryError:
        raise
    except Exception as error:  # whatever the decoder raises on damaged pixels
        raise ScanError(
            f"pixels that cannot be decoded ({_name(item)}, {type(error).__name__})",
            "whole pixels, uncompressed or as JPEG, JPEG-LS, JPEG 2000 or RLE",
            "transfer the series again, or export it uncompressed",
        ) from error
    hu = stored.astype(np.float32)
    hu *= item.number("RescaleSlope", 1.0)
    hu += item.number("RescaleIntercept", 0.0)
    if "PixelPaddingValue" in item.numbers:
        # it may be written as signed or unsigned, whatever the pixels are
        bits = 2 ** int(item.number("BitsAllocated", 16))
        padding = stored.astype(np.int64) % bits == item.number("PixelPaddingValue", 0) % bits
        hu[padding & ((hu < AIR_HU) | (hu > max_hu))] = AIR_HU
    return hu


def _name(item: Slice) -> str:
    """Return the name of the transfer syntax, if it has one: anything may stand in its place."""
    with quiet_pydicom():
        syntax = UID(item.pixels.syntax)
        return "an unknown transfer syntax" if syntax.name == str(syntax) else syntax.name


def _decode(item: Slice) -> NDArray[np.integer]:
    pixels = item.pixels
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = UID(pixels.syntax)
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"):
        setattr(image, name, int(item.number(name, 0)))
    image.BitsStored = image.BitsStored or image.BitsAllocated
    image.HighBit = image.BitsStored - 1
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PixelData = _bytes(item.path, pixels)
    image["PixelData"].VR = "OW" if image.BitsAllocated > 8 else "OB"
    if pixels.syntax == DeflatedExplicitVRLittleEndian:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stored: NDArray[np.integer] = image.pixel_array
    return stored if pixels.compressed else _used_bits(stored, item)


def _bytes(path: Path, pixels: PixelData) -> bytes:
    if pixels.syntax == DeflatedExplicitVRLittleEndian:
        content: bytes = pydicom.dcmread(path).PixelData
        return content
    with path.open("rb") as file:
        parts = []
        for first, count in pixels.spans:
            file.seek(first)
            parts.append(file.read(count))
    return encapsulate([b"".join(parts)]) if pixels.compressed else parts[0]


def _used_bits(stored: NDArray[np.integer], item: Slice) -> NDArray[np.integer]:
    """Take out what is no part of the number: overlays in the upper bits, signs left unextended.

    Other bits above those that the header says are stored belong to the number: many writers put
    padding there, or state too few.
    """
    bits = int(item.number("BitsStored", 16))
    if bits >= 8 * stored.dtype.itemsize:
        return stored
    signed = item.number("PixelRepresentation", 0) == 1
    if item.number("OverlayBitPosition", 0) >= bits:
        stored = stored & ((1 << bits) - 1)
    if signed and stored.min() >= 0 and (1 << (bits - 1)) <= stored.max() < (1 << bits):
        return np.where(stored >= 1 << (bits - 1), stored - (1 << bits), stored)
    return stored


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's warnings out of the log: they quote odd values, which may be a patient's."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before

"""Enhanced multi-frame images: one file that holds all slices, taken apart into slices.

What a single slice says in attributes of its own stands here in functional groups, once for all
frames or once a frame.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pydicom
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lvo_kedro.imaging.headers import Slice

SHARED: Final = "SharedFunctionalGroupsSequence"
OF_FRAMES: Final = "PerFrameFunctionalGroupsSequence"
AGENTS: Final = "ContrastBolusAgentSequence"
GROUPS: Final = (SHARED, OF_FRAMES, AGENTS)
"""Attributes of the file that hold what the frames say."""
NUMBERS: Final = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "RescaleSlope", "RescaleIntercept",
)  # fmt: skip
WORDS: Final = {"ConvolutionKernel": "ConvolutionKernel", "FrameType": "ImageType"}
"""Attributes of a frame, and what a file of one slice calls them."""


def frame_headers(header: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    """Yield what each frame of an enhanced multi-frame image says of itself, as one flat header.

    Args:
        header: Of the file. Yields nothing where it has no functional groups a frame.
    """
    shared = _flat(next(iter(header.get(SHARED) or []), pydicom.Dataset()))
    for group in header.get(OF_FRAMES) or []:
        frame = pydicom.Dataset()
        frame.update(shared)
        frame.update(_flat(group))
        yield frame


def agent_of(header: pydicom.Dataset) -> str:
    """Return the contrast agent that an enhanced image names, or nothing."""
    agent = next(iter(header.get(AGENTS) or []), pydicom.Dataset())
    return str(agent.get("CodeMeaning", "") or ("named" if AGENTS in header and agent else ""))


def split_frames(
    item: Slice,
    header: pydicom.Dataset,
    as_numbers: Callable[[pydicom.Dataset, Any], tuple[float, ...] | None],
) -> list[Slice]:
    """Return the frames of an enhanced multi-frame image as slices; any other image as it is.

    Args:
        item: The file as one slice.
        header: Its header, with the functional groups.
        as_numbers: Reads the numbers of an attribute; None where they are none.
    """
    count = int(item.number("NumberOfFrames", 1))
    frames = list(frame_headers(header)) if count > 1 else []
    spans = _spans(item, count)
    if len(frames) != count or len(spans) != count:
        return [item]
    slices = []
    for number, (frame, span) in enumerate(zip(frames, spans, strict=True), start=1):
        numbers = {k: v for k, v in item.numbers.items() if k != "NumberOfFrames"}
        malformed = dict(item.malformed)
        for name in (name for name in NUMBERS if name in frame):
            values = as_numbers(frame, Tag(name))
            if values is None:
                malformed[name] = "no number"
            elif values:
                numbers[name] = values
        numbers["InstanceNumber"] = (float(number),)
        words = item.words | {
            there: _text(frame[here].value) for here, there in WORDS.items() if here in frame
        }
        pixels = item.pixels._replace(spans=(span,))
        changed = replace(item, numbers=numbers, malformed=malformed, words=words, pixels=pixels)
        slices.append(changed)
    return slices


def _flat(group: pydicom.Dataset) -> pydicom.Dataset:
    """Return what the sequences of a functional group hold, their first items, as one header."""
    flat = pydicom.Dataset()
    for element in group:
        if element.VR == "SQ" and element.value:
            flat.update({tag: element.value[0][tag] for tag in element.value[0].keys()})
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "\\".join(map(str, value or []))


def _spans(item: Slice, count: int) -> list[tuple[int, int]]:
    """Return where each frame's pixels lie; nothing where it cannot be told.

    Compressed frames are found where each is one fragment, as it mostly is.
    """
    pixels = item.pixels
    if pixels.syntax == DeflatedExplicitVRLittleEndian or not pixels.spans:
        return []
    if pixels.compressed:
        return list(pixels.spans)
    size = int(item.number("Rows", 0) * item.number("Columns", 0) * item.number("BitsAllocated", 8))
    size //= 8
    start, length = pixels.spans[0]
    whole = 0 < size * count <= length
    return [(start + k * size, size) for k in range(count)] if whole else []

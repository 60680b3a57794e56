"""What a DICOM series must satisfy to be read as one volume, as tables of rules.

As in :mod:`~lvo_kedro.imaging.rules`: each rule looks at one property of the slices' headers and
returns what it found in words, or ``None``. Slices are called by their place in the series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvo_kedro.imaging.gaps import slice_steps
from lvo_kedro.imaging.rules import Rule, ScanLimits

if TYPE_CHECKING:
    from lvo_kedro.imaging.headers import Slice

_GEOMETRY = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""How many numbers say where a slice lies."""
MIN_SLICES = 4
"""No head is covered by fewer."""


def _malformed(slices: list[Slice], _: ScanLimits) -> str | None:
    for tag in sorted({tag for item in slices for tag in item.malformed}):
        values = [item.malformed[tag] for item in slices if tag in item.malformed]
        return f"{values[0]} as {tag} in {len(values)} of {len(slices)} slices"
    return None


def _missing(slices: list[Slice], _: ScanLimits) -> str | None:
    if lacking := _lacking(slices, *_GEOMETRY, "Rows", "Columns"):
        return lacking
    for tag, count in _GEOMETRY.items():
        if others := {len(item.numbers[tag]) for item in slices} - {count}:
            return f"{tag} of {min(others)} number(s) instead of {count}"
    return None


def _lacking(slices: list[Slice], *tags: str) -> str | None:
    for tag in tags:
        count = sum(tag not in item.numbers for item in slices)
        if count:
            return f"no {tag} in {count} of {len(slices)} slices"
    return None


def _no_syntax(slices: list[Slice], _: ScanLimits) -> str | None:
    count = sum(not item.pixels.syntax for item in slices)
    return f"compressed pixels without a TransferSyntaxUID in {count} slices" if count else None


def _absurd_pixels(slices: list[Slice], limits: ScanLimits) -> str | None:
    for _, _, *pixel in (item.form for item in slices):
        if not all(limits.min_spacing_mm <= v <= limits.max_spacing_mm for v in pixel):
            return f"pixels of {pixel[0]:g} x {pixel[1]:g} mm"
    return None


def _absurd_directions(slices: list[Slice], _: ScanLimits) -> str | None:
    for item in slices:
        row, column = np.reshape(item.numbers["ImageOrientationPatient"], (2, 3))
        lengths = np.linalg.norm([row, column], axis=1)
        if np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > 0.01:
            return (
                f"an ImageOrientationPatient with vectors of length {lengths[0]:.3f} and "
                f"{lengths[1]:.3f}, their product {row @ column:.3f}"
            )
    return None


def _multi_frame(slices: list[Slice], _: ScanLimits) -> str | None:
    frames = max(int(item.number("NumberOfFrames", 1)) for item in slices)
    return f"a multi-frame file ({frames} frames)" if frames > 1 else None


def _shorter_than_said(slices: list[Slice], _: ScanLimits) -> str | None:
    said = max(int(item.number("NumberOfSeriesRelatedInstances", 0)) for item in slices)
    return f"{len(slices)} slices of a series of {said}" if said > len(slices) else None


def _no_rescale(slices: list[Slice], _: ScanLimits) -> str | None:
    if lacking := _lacking(slices, "RescaleSlope", "RescaleIntercept"):
        return lacking
    flat = sum(item.number("RescaleSlope", 1) == 0 for item in slices)
    return f"a RescaleSlope of 0 in {flat} of {len(slices)} slices" if flat else None


def _mixed_rescale(slices: list[Slice], _: ScanLimits) -> str | None:
    pairs = sorted({(s.number("RescaleSlope", 1), s.number("RescaleIntercept", 0)) for s in slices})
    slope, intercept = np.ptp(np.array(pairs), axis=0)
    if slope * 4096 + intercept < 0.5:  # no value of 12 bits differs by as much as rounding does
        return None
    return "rescale to HU by " + " and ".join(f"{a:.9g} x + {b:.9g}" for a, b in pairs[:3])


def _few_bits(slices: list[Slice], _: ScanLimits) -> str | None:
    if lacking := _lacking(slices, "BitsAllocated"):
        return lacking
    # a slice of air alone may be stored in as few bits as it needs
    bits = max(int(s.number("BitsStored", s.number("BitsAllocated", 0))) for s in slices)
    return f"{bits} bits per pixel" if bits <= 8 else None


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
    return f"{len(slices)} slice(s)" if len(slices) < MIN_SLICES else None


def _same_place(slices: list[Slice], _: ScanLimits) -> str | None:
    steps = slice_steps(slices)
    if steps.min() > 0.01:
        return None
    at = int(steps.argmin()) + 1
    return (
        f"{int((steps <= 0.01).sum())} pairs of slices at one position "
        f"(the first: slices {at} and {at + 1} of {len(slices)})"
    )


def _crooked(slices: list[Slice], _: ScanLimits) -> str | None:
    origins = np.array([item.origin for item in slices])
    along = np.concatenate([[0.0], np.cumsum(slice_steps(slices))]) / slice_steps(slices).sum()
    line = origins[0] + along[:, None] * (origins[-1] - origins[0])
    off = float(np.linalg.norm(origins - line, axis=1).max())
    return f"slices up to {off:.1f} mm off a straight line" if off > 1.0 else None


SERIES_RULES: tuple[Rule, ...] = (
    Rule(_multi_frame, "one file per slice", "convert the series to NIfTI first"),
    Rule(
        _malformed,
        "numbers with a decimal point",
        "export the series again; what wrote these files wrote the tag wrongly",
    ),
    Rule(_missing, "position, orientation and size in every slice", "export the series again"),
    Rule(
        _absurd_pixels,
        "{min_spacing_mm:g} to {max_spacing_mm:g} mm between pixels",
        "export the original CT series",
    ),
    Rule(_absurd_directions, "unit vectors at right angles", "export the original CT series"),
    Rule(_no_syntax, "the name of the compression", "export the series uncompressed"),
    Rule(_no_rescale, "the rescale to HU in every slice", "export the original CT series"),
    Rule(_mixed_rescale, "one rescale for all slices", "export the series again"),
    Rule(_few_bits, "at least 12 bits", "export the original CT series, not a windowed copy"),
    Rule(_mixed_form, "slices of one size and spacing", "export one reconstruction alone"),
    Rule(_mixed_orientation, "parallel slices", "export one reconstruction alone"),
)
"""What is looked at in the headers, in any order of the slices."""

POSITION_RULES: tuple[Rule, ...] = (
    Rule(_few_slices, "a series that covers the head", "export the full axial series"),
    Rule(_same_place, "one slice a position", "export one reconstruction and phase alone"),
    Rule(_shorter_than_said, "all of them", "transfer the series again"),
    Rule(_crooked, "slices stacked along a line", "export the series again"),
)
"""What is looked at in the slices' positions, sorted along their normal, without copies."""

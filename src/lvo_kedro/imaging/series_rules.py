"""What a DICOM series must satisfy to be read as one volume, as tables of rules.

As in :mod:`~lvo_kedro.imaging.rules`: each rule looks at one property of the slices' headers and
returns what it found in words, or ``None``. Slices are called by their place in the series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvo_kedro.imaging.rules import Rule, ScanLimits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.headers import Slice

_GEOMETRY = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""How many numbers say where a slice lies."""


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
    if lacking := _lacking(slices, "RescaleSlope", "RescaleIntercept"):
        return lacking
    flat = sum(float(item.header.RescaleSlope) == 0 for item in slices)
    return f"a RescaleSlope of 0 in {flat} of {len(slices)} slices" if flat else None


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

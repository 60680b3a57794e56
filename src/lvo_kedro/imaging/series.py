"""Which files of a folder are the one CT series wanted, and in which order they lie.

Errors quote what is technical (modality, series number, thickness, kernel), never the description
of a series, which may hold a patient's name.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.gaps import describe_order
from lvo_kedro.imaging.headers import Slice, read_headers, read_listed
from lvo_kedro.imaging.pixels import read_hu
from lvo_kedro.imaging.rules import ScanLimits, check
from lvo_kedro.imaging.series_rules import MIN_SLICES, POSITION_RULES, SERIES_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

Group = list[Slice]

_LOCALIZER = "localizer (scout) image(s)"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Also the beginning of the UIDs of its multi-frame forms."""


class ChosenSeries(NamedTuple):
    """The slices of the series, sorted along their normal, and what is remarkable about it."""

    slices: list[Slice]
    findings: tuple[str, ...]


def find_series(folder: Path, limits: ScanLimits) -> ChosenSeries:
    """Find the one axial CT series in ``folder``.

    Localizers, screen captures, series too short for a head and copies of slices are left out.

    Raises:
        ScanError: No series or several, or one that is incomplete or inconsistent.
    """
    content = read_headers(folder)
    usable, unusable = _sorted_out(content.slices)
    slices = _choose_series(usable, Counter(reason for _, reason in unusable))
    chosen = _in_order(slices, limits)
    lost = [*_foreign(content.foreign), *_lost(unusable, chosen.slices)]
    return ChosenSeries(chosen.slices, (*lost, *chosen.findings))


def find_listed(files: Sequence[Path], limits: ScanLimits) -> ChosenSeries:
    """Take files as one series, whatever series they say that they belong to.

    Raises:
        ScanError: They are no slices of one volume, or it is incomplete or inconsistent.
    """
    usable, unusable = _sorted_out(read_listed(files).slices)
    if not usable:
        words = ", ".join(sorted({reason for _, reason in unusable}))
        raise ScanError(f"only {words} in the files", "slices of a CT", "choose another series")
    return _in_order(usable, limits)


def _in_order(slices: Group, limits: ScanLimits) -> ChosenSeries:
    check(slices, SERIES_RULES, limits)
    normal = slices[0].directions[:, 2]
    ordered = _without_copies(sorted(slices, key=lambda s: float(s.origin @ normal)), limits)
    check(ordered, POSITION_RULES, limits)
    return ChosenSeries(ordered, (*_kernels(ordered), *describe_order(ordered)))


def _foreign(count: int) -> list[str]:
    return [f"{count} file(s) beside the series that are not DICOM"] if count else []


def _lost(unusable: list[tuple[Slice, str]], slices: Group) -> list[str]:
    """Say what was left out although it calls itself a part of the series."""
    series = slices[0].series
    reasons = Counter(reason for item, reason in unusable if series and item.series == series)
    return [
        f"left out of the series, of which they say they are a part: {count} {reason}"
        for reason, count in sorted(reasons.items())
        if reason != _LOCALIZER
    ]


def _kernels(slices: Group) -> list[str]:
    kernels = Counter(item.words.get("ConvolutionKernel") or "unknown" for item in slices)
    words = ", ".join(f"{kernel} ({count} slices)" for kernel, count in kernels.most_common(4))
    return [f"the kernel changes within the series: {words}"] if len(kernels) > 1 else []


def _sorted_out(slices: list[Slice]) -> tuple[Group, list[tuple[Slice, str]]]:
    """Return the images that may be slices, and the others with the reason why they are none."""
    reasons = [_unusable(item) for item in slices]
    pairs = list(zip(slices, reasons, strict=True))
    return [s for s, r in pairs if r is None], [(s, r) for s, r in pairs if r is not None]


def _choose_series(usable: Group, left_out: Counter[str]) -> Group:
    """Return the slices of the only axial CT series, or say what there is instead."""
    groups = _groups(usable)
    for cannot_be, reason in _NOT_THE_SERIES:
        rest = [group for group in groups if not cannot_be(group)]
        if rest:  # where all are like this, the rules say what is wrong with them
            left_out[reason] += sum(map(len, groups)) - sum(map(len, rest))
            groups = rest
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()) if count)
    if not groups:
        raise ScanError(
            f"only {words} in the folder",
            "the slices of one non-contrast head CT series",
            "give the folder of the axial series",
        )
    if len(groups) > 1:
        more = f"; and {len(groups) - 5} more" if len(groups) > 5 else ""
        raise ScanError(
            f"{len(groups)} CT series in the folder: "
            + "; ".join(_describe(group) for group in groups[:5])
            + more,
            "one",
            "put the wanted series into a folder of its own",
        )
    if words:
        logger.info("left out of the series: %s", words)
    return groups[0]


def _groups(slices: list[Slice]) -> list[Group]:
    """Group slices by their series; those that are each a series of their own, by their form.

    Some anonymisers give every file a SeriesInstanceUID of its own.
    """
    by_uid: dict[str, Group] = defaultdict(list)
    for item in slices:
        by_uid[item.series].append(item)
    groups = [group for group in by_uid.values() if len(group) > 1]
    alone: dict[object, Group] = defaultdict(list)
    for group in by_uid.values():
        if len(group) == 1:
            alone[_likeness(group[0])].append(group[0])
    return groups + list(alone.values())


def _likeness(item: Slice) -> object:
    """Return what the slices of one series have in common."""
    names = ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient")
    numbers = (item.numbers.get(name, ()) for name in names)
    rounded = tuple(tuple(round(v, 3) for v in values) for values in numbers)
    return rounded, item.words.get("ConvolutionKernel")


def _unusable(item: Slice) -> str | None:
    kinds = item.words.get("ImageType", "").upper()
    if item.words.get("Modality") != "CT":
        return f"{item.words.get('Modality') or 'unknown'} image(s) (modality is not CT)"
    if any(word in kinds for word in ("LOCALIZER", "SCOUT", "SURVIEW", "TOPOGRAM")):
        return _LOCALIZER
    if not item.pixels.spans or item.number("SamplesPerPixel", 1) != 1:
        return "screen capture(s) or object(s) without pixels"
    placed = "ImagePositionPatient" in item.numbers
    captured = item.words.get("SOPClassUID", "").startswith(_SECONDARY_CAPTURE) and not placed
    grey = item.words.get("PhotometricInterpretation", "MONOCHROME2").startswith("MONOCHROME")
    if captured or not grey or "SCREEN" in kinds:
        return "screen capture(s) or object(s) without pixels"
    return None


def _unplaced(group: Group) -> bool:
    tags = {"ImagePositionPatient", "ImageOrientationPatient"}
    return not any(tags & {*item.numbers, *item.malformed} for item in group)


def _short(group: Group) -> bool:
    return len(group) < MIN_SLICES


def _not_axial(group: Group) -> bool:
    direction = group[0].numbers.get("ImageOrientationPatient", ())
    if len(direction) != 6:
        return False
    normal = np.cross(direction[:3], direction[3:])
    return bool(abs(normal[2]) < 0.7 * np.linalg.norm(normal))


_NOT_THE_SERIES: tuple[tuple[Callable[[Group], bool], str], ...] = (
    (_unplaced, "image(s) without a position"),
    (_short, f"image(s) of series with fewer than {MIN_SLICES}"),
    (_not_axial, "image(s) of coronal or sagittal series"),
)
"""What cannot be the axial series where another one can."""


def _describe(slices: Group) -> str:
    first = slices[0]
    thickness = first.numbers.get("SliceThickness")
    return (
        f"series {first.words.get('SeriesNumber') or 'without number'} ({len(slices)} images, "
        f"thickness {f'{thickness[0]:g}' if thickness else 'unknown'} mm, "
        f"kernel {first.words.get('ConvolutionKernel') or 'unknown'})"
    )


def _without_copies(slices: Group, limits: ScanLimits) -> Group:
    """Leave out slices that lie where the one before lies and show the same.

    Their SOPInstanceUID does not tell: some anonymisers give all slices the same, or none.
    """
    kept: Group = []
    for item in slices:
        here = [k for k in kept[-4:] if np.abs(k.origin - item.origin).max() < 0.01]
        if not any(_same_pixels(item, other, limits) for other in here):
            kept.append(item)
    if len(kept) < len(slices):
        logger.info("left out %d copies of slices", len(slices) - len(kept))
    return kept


def _same_pixels(item: Slice, other: Slice, limits: ScanLimits) -> bool:
    return np.array_equal(read_hu(item, limits.max_hu), read_hu(other, limits.max_hu))

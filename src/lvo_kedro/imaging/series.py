"""Which files of a folder are the one CT series wanted, and in which order they lie.

Errors quote what is technical (modality, series number, thickness, kernel), never the description
of a series, which may hold a patient's name.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.headers import Slice, read_headers
from lvo_kedro.imaging.rules import ScanLimits, check
from lvo_kedro.imaging.series_rules import POSITION_RULES, SERIES_RULES

if TYPE_CHECKING:
    from pathlib import Path

    import pydicom

logger = logging.getLogger(__name__)


def find_series(folder: Path, limits: ScanLimits) -> list[Slice]:
    """Return the slices of the one CT series in ``folder``, sorted along their normal.

    Localizers and copies of slices beside the series are left out.

    Raises:
        ScanError: No series or several, or one that is incomplete or inconsistent.
    """
    slices = _without_copies(_choose_series(read_headers(folder)))
    check(slices, SERIES_RULES, limits)
    normal = slices[0].directions[:, 2]
    slices = sorted(slices, key=lambda s: float(s.origin @ normal))
    check(slices, POSITION_RULES, limits)
    return slices


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

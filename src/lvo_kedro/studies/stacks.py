"""Images that make up one stack: taken apart and put together by what their headers say."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lvo_kedro.studies.index import File, Series

MIN_SLICES: Final = 4
"""No head is covered by fewer."""
_SPLIT_BY: Final = (
    "ConvolutionKernel", "ContrastBolusAgent", "AcquisitionNumber", "SliceThickness", "ImageType",
)  # fmt: skip
"""In what reconstructions that share a series differ; the first that takes them apart counts."""
_SAME_MM: Final = 0.01


def join_singles(series: list[Series]) -> list[tuple[Series, list[File]]]:
    """Put images together that are each a series of their own, as some anonymisers make them.

    Args:
        series: Of one study.

    Returns:
        Each series with its files; the first of several that were put together stands for them.
    """
    groups, alone = [], defaultdict(list)
    for one in series:
        if len(one.files) > 1 or "Nifti" in one.files[0].form or len(one.files[0].places) > 1:
            groups.append((one, one.files))
        else:
            form = one.files[0].form
            names = ("Modality", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient",
                     "ConvolutionKernel")  # fmt: skip
            alone[tuple(form.get(name, "") for name in names)].append(one)
    for members in alone.values():
        if len(members) >= MIN_SLICES:
            groups.append((members[0], [file for one in members for file in one.files]))
        else:
            groups += [(one, one.files) for one in members]
    return groups


def parts_of(files: list[File]) -> list[list[File]]:
    """Take a series apart into stacks of one direction and size, each without repeated places.

    Args:
        files: Of one series.
    """
    stacks: dict[tuple[str, ...], list[File]] = defaultdict(list)
    for file in files:
        scout = "LOCALIZER" in file.form.get("ImageType", "").upper()
        names = ("ImageOrientationPatient", "Rows", "Columns", "Modality")
        stacks[(str(scout), *(file.form.get(name, "") for name in names))].append(file)
    parts: list[list[File]] = []
    for stack in _alike(stacks):
        parts += _apart(_without_copies(stack))
    return parts


def _alike(stacks: dict[tuple[str, ...], list[File]]) -> list[list[File]]:
    """Put stacks together whose directions differ by rounding alone."""
    merged: list[tuple[tuple[str, ...], list[File]]] = []
    for key, files in stacks.items():
        for other, there in merged:
            same = key[0] == other[0] and key[2:] == other[2:]
            if same and _near(key[1], other[1]):
                there.extend(files)
                break
        else:
            merged.append((key, list(files)))
    return [files for _, files in merged]


def _near(one: str, other: str) -> bool:
    a, b = numbers_of(one), numbers_of(other)
    return len(a) == len(b) and bool(np.abs(a - b).max(initial=0.0) < 0.009)


def numbers_of(text: str) -> NDArray[np.float64]:
    """Return the numbers in a text that backslashes divide; none where one is no number.

    Args:
        text: Of a header.
    """
    try:
        return np.array([float(part) for part in text.split("\\")])
    except ValueError:
        return np.array([])


def _without_copies(files: list[File]) -> list[File]:
    """Leave out files that are the same image at the same place, sent twice."""
    seen: set[Any] = set()
    kept = []
    for file in files:
        key = (file.image, file.number, file.places) if file.image else id(file)
        if key not in seen:
            kept.append(file)
        seen.add(key)
    return kept


def _apart(files: list[File]) -> list[list[File]]:
    """Take reconstructions apart that lie at the same places."""
    if not _repeats(files):
        return [files]
    for name in _SPLIT_BY:
        parts = defaultdict(list)
        for file in files:
            parts[file.form.get(name, "")].append(file)
        whole = len(parts) > 1 and all(len(part) >= MIN_SLICES for part in parts.values())
        if whole and not any(_repeats(part) for part in parts.values()):
            return list(parts.values())
    return [files]


def _repeats(files: Sequence[File]) -> bool:
    places = [place for file in files for place in file.places]
    return len(distinct(places)) < len(places) - max(1, len(places) // 20)


def distinct(places: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Return each place once; what differs by less than 0.01 mm is the same.

    Args:
        places: In mm.
    """
    return sorted({tuple(round(v / _SAME_MM) for v in place): place for place in places}.values())

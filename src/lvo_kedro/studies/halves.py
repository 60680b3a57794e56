"""Heads that were scanned in two series: the skull base in one way, the vertex in another."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.studies.choice import score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvo_kedro.studies.candidates import Candidate

MAX_HALF_MM: Final = 110.0
"""A longer series holds a head by itself."""
MIN_WHOLE_MM: Final = 95.0
"""Both together hold at least as much."""
MAX_OVERLAP_MM: Final = 15.0


def with_joined(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Add what two halves of a head make together; where they do not fit, both say why.

    Args:
        candidates: Of one study.

    Returns:
        The same, some with a note, and the joined ones behind them.
    """
    result, joined = list(candidates), []
    for low, high in permutations(range(len(result)), 2):
        a, b = candidates[low], candidates[high]
        if not _are_halves(a, b):
            continue
        reason = _misfit(a, b)
        if not reason:
            joined.append(_join(a, b))
        fits = f"does not fit: {reason}" if reason else "goes on where it ends"
        result[low] = _half(result[low], f"the lower half of a head; series {b.name} {fits}")
        result[high] = _half(result[high], f"the upper half of a head; series {a.name} {fits}")
    return result + joined


def _half(candidate: Candidate, note: str) -> Candidate:
    return replace(candidate, notes=(*candidate.notes, note), half=True)


def _are_halves(low: Candidate, high: Candidate) -> bool:
    """Whether one goes on where the other ends, and neither holds the head by itself."""
    both = (low, high)
    if any(c.plane != "axial" or c.is_nifti or not 15 < c.extent_mm < MAX_HALF_MM for c in both):
        return False
    if not all(score(c, "ncct").possible for c in both) or low.kernel != high.kernel:
        return False
    if ({"contrast", "angio"} & low.words) != ({"contrast", "angio"} & high.words):
        return False
    between = high.low_mm - _top(low)
    step = max(low.step_mm, high.step_mm)
    above = high.low_mm > low.low_mm and _top(high) > _top(low) + 15
    return above and -MAX_OVERLAP_MM <= between <= 1.6 * step and _whole(low, high) >= MIN_WHOLE_MM


def _top(candidate: Candidate) -> float:
    """World z of the highest slice."""
    return max(place[2] for file in candidate.files for place in file.places)


def _whole(low: Candidate, high: Candidate) -> float:
    return _top(high) - low.low_mm + high.step_mm


def _misfit(low: Candidate, high: Candidate) -> str:
    """Say why two halves cannot be one volume; nothing where they can."""
    frames = [c.header.get("FrameOfReferenceUID", "") for c in (low, high)]
    if frames[0] != frames[1]:
        return "the patient was placed anew between them"
    for name, words in (("Rows", "size"), ("Columns", "size"), ("PixelSpacing", "pixel size")):
        if low.form.get(name) != high.form.get(name):
            return f"another {words}"
    directions = [np.array(c.form["ImageOrientationPatient"].split("\\"), float)
                  for c in (low, high)]  # fmt: skip
    if np.abs(directions[0] - directions[1]).max() > 0.009:
        return "another direction (gantry tilt)"
    line = _stack_line(low) - _stack_line(high)
    if np.abs(line).max() > 0.02:
        return "stacked along another direction"
    return ""


def _stack_line(candidate: Candidate) -> np.ndarray:
    places = np.array(sorted((p for f in candidate.files for p in f.places), key=lambda p: p[2]))
    line = places[-1] - places[0]
    return np.asarray(line / np.linalg.norm(line))


def _join(low: Candidate, high: Candidate) -> Candidate:
    """Put two halves together; where they overlap, the finer one keeps its slices."""
    finer, coarser = sorted((low, high), key=lambda c: c.step_mm)
    ends = finer.low_mm - 0.4 * finer.step_mm, _top(finer) + 0.4 * finer.step_mm
    rest = [f for f in coarser.files if not all(ends[0] <= p[2] <= ends[1] for p in f.places)]
    files = (*finer.files, *rest)
    places = {place for file in files for place in file.places}
    return replace(
        finer,
        name=f"{low.name}+{high.name}",
        uids=(*low.uids, *high.uids),
        files=files,
        words=low.words | high.words,
        context=low.context | high.context,
        slices=len(places),
        images=len(places),
        extent_mm=_whole(low, high),
        low_mm=low.low_mm,
        step_mm=coarser.step_mm,
        notes=(f"series {low.name} (skull base) and {high.name} (vertex) put together",),
    )

"""Slices that are missing from a series, told from slices that were never meant to be there.

A series may change its steps on purpose: fine at the skull base and coarse above it, with one odd
step where two blocks meet. What gives a lost slice away is a step that is a whole multiple of the
steps around it, or numbers that skip where the step is long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.headers import Slice
    from lvo_kedro.imaging.rules import ScanLimits

_STRETCH = 4
"""So many equal steps at an end of the series are a protocol; fewer of twice the length are not."""
_WHOLE = 0.04
"""How far a ratio of steps may be from a whole number, as a part of it."""
_LONG = 1.5
"""A step so many times as long as another, or as the slice is thick, leaves room for a slice."""


class Gap(NamedTuple):
    """A place where slices are missing."""

    below: int
    """Index of the slice before it, in the order of positions."""
    step: float
    """Distance in mm from there to the next slice."""
    missing: int
    """How many slices are missing."""


def slice_steps(slices: list[Slice]) -> NDArray[np.float64]:
    """Return the distances (mm) of neighbouring slices along their normal."""
    normal = slices[0].directions[:, 2]
    return np.diff([float(item.origin @ normal) for item in slices])


def find_gaps(slices: list[Slice], limits: ScanLimits) -> list[Gap]:
    """Return the gaps in a series whose slices are sorted along their normal.

    Args:
        slices: With position; thickness and number are used where the headers have them.
        limits: ``max_spacing_mm`` ends what may be a step.
    """
    steps = slice_steps(slices)
    padded = np.concatenate([[steps[0]], steps, [steps[-1]]])
    neighbours = np.maximum(padded[:-2], padded[2:])
    found = (steps > 1.6 * neighbours) & (steps > 3.0) | (steps > limits.max_spacing_mm)
    usual = float(np.median(steps))
    missing = np.round(steps / np.minimum(neighbours, usual)).astype(int) - 1
    thickness = _thickness(slices)
    for start, stop, times in _multiples(steps, thickness):
        found[start:stop], missing[start:stop] = True, times - 1
    skipped = _skipped(slices)
    if skipped is not None:
        lost = (skipped > 0) & _leaves_room(steps, skipped, thickness)
        found |= lost
        missing[lost] = skipped[lost]
    found &= ~_touching(steps, thickness)
    return [Gap(int(k), float(steps[k]), max(1, int(missing[k]))) for k in np.flatnonzero(found)]


def describe_gaps(gaps: list[Gap], slices: list[Slice]) -> str:
    """Say where the gaps are and how many slices are missing."""
    first = gaps[0]
    count, total = len(gaps), sum(gap.missing for gap in gaps)
    words = "a gap" if count == 1 else f"{count} gaps, the first"
    return (
        f"{words} of {first.step:.1f} mm between slices {first.below + 1} and {first.below + 2} "
        f"of {len(slices)} in steps of {np.median(slice_steps(slices)):.1f} mm "
        f"({total} slice(s) missing{'' if count == 1 else ' in all'})"
    )


def describe_order(slices: list[Slice]) -> list[str]:
    """Return findings on thickness and numbering of slices sorted along their normal."""
    findings = []
    step, thickness = float(np.median(slice_steps(slices))), float(np.median(_thickness(slices)))
    if step > _LONG * thickness:
        findings.append(
            f"slices of {thickness:.1f} mm every {step:.1f} mm: what lies between was not scanned"
        )
    skipped, numbers = _skipped(slices), _numbers(slices)
    if skipped is not None and skipped.any():
        findings.append(f"the numbers of the slices skip {int(skipped.sum())}")
    if numbers is not None and numbers.min() > 1:
        findings.append(f"the slices are numbered from {int(numbers.min())} on")
    return findings


def _thickness(slices: list[Slice]) -> NDArray[np.float64]:
    """Thickness of each slice in mm, NaN where the header has none."""
    values = np.array([item.number("SliceThickness", np.nan) for item in slices])
    return np.where(values > 0, values, np.nan)


def _numbers(slices: list[Slice]) -> NDArray[np.float64] | None:
    """Numbers of the slices, if all have one and they rise or fall along the series."""
    numbers = np.array([item.number("InstanceNumber", np.nan) for item in slices])
    change = np.diff(numbers)
    return numbers if np.all(change > 0) or np.all(change < 0) else None


def _skipped(slices: list[Slice]) -> NDArray[np.int64] | None:
    """How many numbers are skipped from each slice to the next, if they are numbered in order."""
    numbers = _numbers(slices)
    return None if numbers is None else np.abs(np.diff(numbers)).astype(int) - 1


def _touching(steps: NDArray[np.float64], thickness: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell where a slice touches one of another thickness: nothing lies between two blocks."""
    below, above = thickness[:-1], thickness[1:]
    other = np.abs(below - above) > 0.1 * np.maximum(below, above)
    return other & (steps <= 1.05 * (below + above) / 2)  # comparisons with NaN are False


def _leaves_room(
    steps: NDArray[np.float64], skipped: NDArray[np.int64], thickness: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell where a step is longer than the nearest one without a skipped number.

    Where every step skips one, only the thickness can tell that the slices touch one another.
    """
    whole = np.flatnonzero(skipped == 0)
    if whole.size == 0:
        touching = np.isfinite(thickness[1:]) & (steps <= _LONG * thickness[1:])
        return ~touching
    nearest = whole[np.abs(np.arange(len(steps))[:, None] - whole).argmin(axis=1)]
    return steps >= _LONG * steps[nearest]


def _multiples(
    steps: NDArray[np.float64], thickness: NDArray[np.float64]
) -> list[tuple[int, int, int]]:
    """Return runs of equal steps that are a whole multiple of the usual ones, but no protocol.

    Each as (first step, behind the last step, how many times the usual one).
    """
    edges = np.flatnonzero(np.abs(np.diff(steps)) > np.maximum(0.05, 0.02 * steps[:-1])) + 1
    runs = list(zip([0, *edges], [*edges, len(steps)], strict=True))
    references = _common_steps(steps)
    found = []
    for start, stop in runs:
        step = float(np.median(steps[start:stop]))
        for usual in references:
            times = round(step / usual)
            whole = times >= 2 and abs(step / usual - times) <= _WHOLE * times
            if whole and not _is_protocol(steps, thickness, start, stop, usual):
                found.append((start, stop, times))
                break
    return found


def _common_steps(steps: NDArray[np.float64]) -> list[float]:
    """Return the lengths that at least three steps have, or all where none is as common."""
    ordered = np.sort(steps)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > 0.05) + 1)
    common = [float(np.median(group)) for group in groups if len(group) >= 3]
    return common or [float(np.median(group)) for group in groups]


def _is_protocol(
    steps: NDArray[np.float64],
    thickness: NDArray[np.float64],
    start: int,
    stop: int,
    usual: float,
) -> bool:
    """Tell whether a run of long steps was meant so.

    Either its slices are thicker, too, or it is long, with nothing finer on one of its sides, and
    its slices are not known to be as thin as the usual steps are short.
    """
    inside = _mean(thickness[start + 1 : stop + 1])
    finer = np.abs(steps - usual) <= 0.05
    around = _mean(thickness[1:][finer])
    length = float(np.median(steps[start:stop]))
    if inside >= 1.3 * around:
        return True
    if inside * _LONG <= length and around * 1.3 >= usual:
        return False
    coarse = steps >= 0.95 * length
    return stop - start >= _STRETCH and bool(coarse[:start].all() or coarse[stop:].all())


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of what is known, NaN (unequal to, and no more than, anything) if nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")

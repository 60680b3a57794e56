"""Where contrast stops: the gap along an artery, and the clot that lies in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import ndimage

from lvo_kedro.annotation.courses import STEP_MM
from lvo_kedro.annotation.density import dense_points
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SEGMENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.annotation.completion import Ways
    from lvo_kedro.annotation.contrast import Enhancement
    from lvo_kedro.annotation.options import TracingOptions
    from lvo_kedro.vocabulary import Segment, SegmentClass, Side

_USUAL_CLOT_MM: Final = 12.0
"""Length of a clot whose far end nothing shows."""
_LEAST_PART_MM: Final = 1.5
_LEAST_PART: Final = 0.2
"""Length of a clot in a segment, and its part of the whole, from which the segment is occluded."""
_BESIDE_MM: Final = 4.0
"""Length of a filled stretch beside a gap whose enhancement is compared."""
_JOINED_MM: Final = 2.0
"""Length of a filled stretch that does not part two gaps."""
_MOUTH_MM: Final = 6.0
"""How far from its mouth a branch's contrast reaches into the artery that it leaves."""


class Gap(NamedTuple):
    """A stretch without contrast along one way."""

    side: Side
    way: int
    """Number of the way it lies in."""
    start: int
    """First point of the way without contrast."""
    stop: int
    """The point after its last one."""
    refilled: bool
    """Whether contrast goes on behind it."""
    clear: float
    """How much like a lumen its course is on average, 0 to 1."""

    @property
    def length(self) -> float:
        """Length in mm."""
        return (self.stop - self.start) * STEP_MM

    @property
    def lumen(self) -> float:
        """Length in mm that looks like a lumen: a way astray, in fluid, has hardly any."""
        return self.length * self.clear

    def weight(self, options: TracingOptions, *, known: bool = False) -> float:
        """Return its lumen (mm) beyond what may be missing without an occlusion.

        All of it counts where an occlusion is known.
        """
        return self.lumen - (0.0 if self.refilled or known else options.least_end_mm)


class Proposal(NamedTuple):
    """An occlusion, as the angiography shows it."""

    side: Side
    segment: SegmentClass | None
    """None where the parts do not make one of the five classes."""
    parts: tuple[Segment, ...]
    """The segments in which the clot lies."""
    points: NDArray[np.float64]
    """(N, 3) world mm along the clot."""
    labels: tuple[Segment, ...]
    """The segment of each of the points."""
    gap: Gap
    """Where contrast is missing: the clot, and what is not filled behind it."""

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) world mm, the middle of the clot along its artery."""
        return self.points[len(self.points) // 2]


def way_segments(ways: Ways, number: int) -> list[Segment]:
    """Name the segment of every point of a way.

    Args:
        ways: Of one side.
        number: Of the way; what lies beyond where it leaves the first one is M2.
    """
    line = ways.lateral[number]
    borders = _mouths(ways, line)
    return [
        SEGMENTS[int(place > borders[0]) + int(place > borders[1])] for place in range(len(line))
    ]


def find_gap(
    found: Enhancement,
    ways: Ways,
    side: Side,
    options: TracingOptions,
    least: float | None = None,
    *,
    known: bool = False,
) -> Gap | None:
    """Find the longest stretch without contrast on one side.

    Behind a clot at a bifurcation nothing may be filled in either branch: that of the two stretches
    is taken in which the clot, dense by itself, reaches farther.

    An artery that is merely shorter than its counterpart ends without contrast, too: a stretch that
    nothing fills behind counts from ``least_end_mm`` on. What counts is how much of a stretch looks
    like a lumen, as a way to where this side has no artery does not.

    Args:
        found: Both scans around the arteries.
        ways: Lines along that side's arteries.
        side: The patient's.
        options: Which enhancement and length count.
        least: Enhancement, as part of that of the large arteries, up to which nothing counts as
            filled; without it the options' ``refilled``.
        known: Whether an artery is known to be occluded: the longest stretch is then one, wherever
            it ends, from ``least_known_mm`` on.

    Returns:
        The gap, or None where contrast goes all the way.
    """
    limit = (options.refilled if least is None else least) * found.level
    gaps = []
    for number, line in enumerate(ways.lateral):
        added = found.peak(found.added, line)
        for run in _runs(added <= limit, _mouths(ways, line)):
            start, stop = _up_to_half(found.at(line).astype(float), *run)
            clear = float(ways.clear[number][start:stop].mean())
            gap = Gap(side, number, start, stop, stop < len(line), clear)
            if gap.lumen >= _shortest(gap, options, known=known):
                gaps.append(gap)
    longest = max(gaps, key=lambda gap: gap.weight(options, known=known), default=None)
    if longest is None or longest.refilled:
        return longest
    begin = ways.lateral[longest.way][longest.start]
    alike = [gap for gap in gaps if not gap.refilled and _apart(ways, gap, begin) <= _JOINED_MM]
    return max([longest, *alike], key=lambda gap: _clot_end(found, ways, gap) or 0)


def is_filled(
    found: Enhancement, line: NDArray[np.float64], options: TracingOptions
) -> NDArray[np.bool_]:
    """Tell for each point of a line (N, 3; world mm) whether contrast is seen there.

    Args:
        found: Both scans around the arteries.
        line: Along an artery.
        options: How little contrast counts.
    """
    return found.peak(found.added, line) > options.refilled * found.level


def propose(found: Enhancement, ways: Ways, gap: Gap) -> Proposal:
    """Say where in a gap the clot lies and which segments it occludes.

    Contrast behind the clot shows its far end; without, the change from dense clot to blood does,
    in both scans; without that, a clot of the usual length is proposed.

    Args:
        found: Both scans around the arteries.
        ways: Lines along that side's arteries.
        gap: Of :func:`find_gap`.
    """
    line = ways.lateral[gap.way]
    usual = min(round(_USUAL_CLOT_MM / STEP_MM), gap.stop - gap.start)
    stop = gap.stop if gap.refilled else gap.start + (_clot_end(found, ways, gap) or usual)
    labels = tuple(way_segments(ways, gap.way)[gap.start : stop])
    lengths = {segment: labels.count(segment) * STEP_MM for segment in SEGMENTS}
    least = min(max(_LEAST_PART_MM, _LEAST_PART * len(labels) * STEP_MM), max(lengths.values()))
    parts = tuple(segment for segment in SEGMENTS if lengths[segment] >= least)
    name = "+".join(parts)
    named = next((known for known in SEGMENT_CLASSES if known == name), None)
    return Proposal(gap.side, named, parts, line[gap.start : stop], labels, gap)


def _shortest(gap: Gap, options: TracingOptions, *, known: bool) -> float:
    """Return how many mm of lumen a stretch must have to count."""
    if known:
        return options.least_known_mm
    if gap.clear < options.least_clear:
        return np.inf
    return options.least_gap_mm if gap.refilled else options.least_end_mm


def _apart(ways: Ways, gap: Gap, point: NDArray[np.float64]) -> float:
    """Return how far (mm) a gap begins from a point."""
    return float(np.linalg.norm(ways.lateral[gap.way][gap.start] - point))


def _clot_end(found: Enhancement, ways: Ways, gap: Gap) -> int | None:
    return dense_points(found, ways.lateral[gap.way][gap.start : gap.stop])


def _up_to_half(added: NDArray[np.float64], start: int, stop: int) -> tuple[int, int]:
    """Widen a run up to where half of the enhancement beside it is seen, which is the border."""
    beside = round(_BESIDE_MM / STEP_MM)
    before, behind = added[max(start - beside, 0) : start], added[stop : stop + beside]
    while start > 0 and added[start - 1] < np.max(before) / 2:
        start -= 1
    while stop < len(added) and added[stop] < np.max(behind) / 2:
        stop += 1
    return start, stop


def _mouths(ways: Ways, line: NDArray[np.float64]) -> list[int]:
    """Return the places in a line where branches open that are filled from elsewhere."""
    return [_nearest(line, ways.lateral[0][at]) for at in (ways.terminus, ways.bifurcation)]


def _runs(mask: NDArray[np.bool_], mouths: list[int]) -> list[tuple[int, int]]:
    """Return start and stop of every run of True.

    A short stretch does not part two runs, and a longer one does not at the mouth of a branch, such
    as that of the anterior cerebral artery, which is filled from the other side.
    """
    labels, count = ndimage.label(mask)
    runs: list[tuple[int, int]] = []
    for (part,) in ndimage.find_objects(labels, count):
        start, stop = int(part.start), int(part.stop)
        if runs:
            between = range(runs[-1][1], start)
            reach = [max((abs(place - mouth) for place in between), default=0) for mouth in mouths]
            if len(between) * STEP_MM <= _JOINED_MM or min(reach) * STEP_MM <= _MOUTH_MM:
                start = runs.pop()[0]
        runs.append((start, stop))
    return runs


def _nearest(points: NDArray[np.float64], point: NDArray[np.float64]) -> int:
    return int(np.argmin(np.linalg.norm(points - point, axis=1)))

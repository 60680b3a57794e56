"""One side's arteries, followed along their contrast from the carotid outwards, and named.

The carotid ends where the way to the lateral branches and the way to the anterior cerebral artery
part (C7 before, M1 after); M1 ends where two branches of the middle cerebral artery part (M2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from lvo_kedro.annotation.courses import (
    STEP_MM,
    arc_length,
    course_points,
    resample_line,
    to_mni,
    to_scan,
)
from lvo_kedro.annotation.skeleton import Tree, grow_tree, prune

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.annotation.options import TracingOptions
    from lvo_kedro.annotation.skeleton import Skeleton
    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.vocabulary import Segment, Side

_ROOT_REACH_MM: Final = 12.0
"""How far from the usual start of C7 the followed carotid begins."""
_ACROSS_MM: Final = 1.0
"""How far over the midline a side's arteries may lie (MNI)."""
_LATERAL_MM: Final = 22.0
"""Distance from the midline (MNI) beyond which an end belongs to the middle cerebral artery."""
_MEDIAL_MM: Final = 10.0
"""Distance from the midline (MNI) below which an end may belong to the anterior one."""
_ANTERIOR_MM: Final = 2.0
"""MNI y beyond which such an end lies in front of the carotid."""
_LEAST_M1_MM: Final = 10.0
"""Branches nearer to the carotid than this are no bifurcation but early temporal ones."""
_SMOOTH_MM: Final = 1.0
"""Standard deviation of the Gaussian along a centre-line: voxels are no course."""


Label = Literal["C7", "M1", "M2", "other"]
"""A name among the vessel labels."""


@dataclass(frozen=True, eq=False)
class Branch:
    """A stretch of one artery, from the heart outwards."""

    segment: Label
    """Its name among the vessel labels."""
    points: NDArray[np.float64]
    """(N, 3) world mm, about :data:`~lvo_kedro.annotation.courses.STEP_MM` apart."""
    completed: NDArray[np.bool_]
    """(N,) no contrast was seen here: the course is that of the other side or of the atlas."""


@dataclass(frozen=True, eq=False)
class SideTrace:
    """What was followed on one side."""

    side: Side
    branches: tuple[Branch, ...]
    terminus: NDArray[np.float64] | None
    """(3,) world mm, the end of the carotid; None where its branches did not show it."""
    bifurcation: NDArray[np.float64] | None
    """(3,) world mm, the end of M1; likewise."""
    reached: NDArray[np.float64]
    """(N, 3) world mm, all centre-line points connected to the carotid."""

    def points(self, *segments: Segment) -> NDArray[np.float64]:
        """Return the points (N, 3) of the named segments, of all without a name."""
        chosen = [b.points for b in self.branches if not segments or b.segment in segments]
        return np.concatenate([np.empty((0, 3)), *chosen])

    def length(self, *segments: Segment) -> float:
        """Return the length (mm) of the named segments."""
        return len(self.points(*segments)) * STEP_MM


def trace_side(
    skeleton: Skeleton, mapping: Mapping, side: Side, options: TracingOptions
) -> SideTrace:
    """Follow one side's contrast from the carotid and name what it passes.

    Args:
        skeleton: Centre-lines of what is filled.
        mapping: World of the plain scan to MNI.
        side: The patient's.
        options: Which branches count.

    Returns:
        The named branches, empty where no filled carotid was found.
    """
    sign = -1.0 if side == "left" else 1.0
    mni = to_mni(mapping, skeleton.points) * [sign, 1.0, 1.0]
    own = mni[:, 0] > -_ACROSS_MM
    part, place = skeleton.only(own), mni[own]
    root = _find_root(part, place, to_scan(mapping, course_points("C7", side)))
    if root is None:
        return SideTrace(side, (), None, None, np.empty((0, 3)))
    tree = grow_tree(part, root)
    ways = prune(tree, options.least_branch_mm)
    ends = np.array([way[-1] for way in ways])
    lateral = [w for w, end in zip(ways, ends, strict=True) if place[end, 0] > _LATERAL_MM]
    medial = [
        w
        for w, end in zip(ways, ends, strict=True)
        if place[end, 0] < _MEDIAL_MM and place[end, 1] > _ANTERIOR_MM
    ]
    reached = tree.points[np.isfinite(tree.distance)]
    trace = SideTrace(side, (), None, None, reached)
    if not lateral:
        way = (medial or ways)[0]
        return replace(trace, branches=_cut(tree, [way], (len(way), len(way))))
    usual = to_scan(mapping, course_points("M1", side))
    first = _parting(lateral[0], medial) if medial else None
    terminus = first if first is not None else _nearest(tree.points[lateral[0]], usual[0])
    second = _bifurcation(tree, lateral, terminus)
    bifurcation = second if second is not None else _m1_end(tree, lateral[0], terminus, usual[-1])
    return replace(
        trace,
        branches=_cut(tree, lateral, (terminus, bifurcation)),
        terminus=None if first is None else tree.points[lateral[0][first]],
        bifurcation=None if second is None else tree.points[lateral[0][second]],
    )


def _find_root(
    part: Skeleton, place: NDArray[np.float64], carotid: NDArray[np.float64]
) -> int | None:
    """Return the lowest node of the largest part that lies where the carotid is expected."""
    if len(part.points) == 0:
        return None
    near = np.linalg.norm(part.points - carotid[0], axis=1) < _ROOT_REACH_MM
    if not near.any():
        return None
    components = part.components
    sizes = np.bincount(components)
    largest = max(np.unique(components[near]), key=lambda number: int(sizes[number]))
    candidates = np.flatnonzero(near & (components == largest))
    return int(candidates[np.argmin(place[candidates, 2])])


def _parting(way: NDArray[np.intp], others: list[NDArray[np.intp]]) -> int | None:
    """Return the place in ``way`` of the last node that it shares with any of the others."""
    shared = [np.flatnonzero(np.isin(way, other)) for other in others]
    return int(max(s[-1] for s in shared)) if shared else None


def _bifurcation(tree: Tree, lateral: list[NDArray[np.intp]], terminus: int) -> int | None:
    """Return the place in the longest lateral way at which the next ways leave it."""
    main = lateral[0]
    begin = tree.distance[main[terminus]] + _LEAST_M1_MM
    places = [_parting(main, [other]) for other in lateral[1:]]
    beyond = [p for p in places if p is not None and tree.distance[main[p]] > begin]
    return min(beyond) if beyond else None


def _m1_end(tree: Tree, way: NDArray[np.intp], terminus: int, usual: NDArray[np.float64]) -> int:
    """Return where M1 usually ends; the way's end if it does not come that far."""
    nearest = _nearest(tree.points[way], usual)
    return len(way) if nearest >= len(way) - 2 else max(nearest, terminus)


def _nearest(points: NDArray[np.float64], point: NDArray[np.float64]) -> int:
    return int(np.argmin(np.linalg.norm(points - point, axis=1)))


def _cut(tree: Tree, ways: list[NDArray[np.intp]], places: tuple[int, int]) -> tuple[Branch, ...]:
    """Cut the first way at two places into C7, M1 and M2; what leaves it later is M2, too."""
    main, (first, second) = ways[0], places
    line = smooth_line(tree.points[main])
    parts: list[tuple[Segment, NDArray[np.float64]]] = [
        ("C7", line[: first + 1]),
        ("M1", line[first : second + 1]),
        ("M2", line[second:]),
    ]
    end = tree.distance[main[min(second, len(main) - 1)]]
    taken = set(main.tolist())
    for way in ways[1:]:
        new = [place for place, node in enumerate(way) if node not in taken]
        taken.update(way.tolist())
        leaves = max(new[0] - 1, 0)
        if second < len(main) and tree.distance[way[leaves]] >= end - _SMOOTH_MM:
            parts.append(("M2", smooth_line(tree.points[way])[leaves:]))
    return tuple(open_branch(segment, points) for segment, points in parts if len(points) > 1)


def smooth_line(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the steps of voxels out of a line (N, 3) in mm; its ends stay."""
    if len(points) < 3:
        return points
    mean_step = max(float(arc_length(points)[-1]) / (len(points) - 1), 1e-3)
    smooth = gaussian_filter1d(points, _SMOOTH_MM / mean_step, axis=0, mode="nearest")
    smooth[[0, -1]] = points[[0, -1]]
    return np.asarray(smooth)


def open_branch(segment: Segment, points: NDArray[np.float64]) -> Branch:
    """Return a branch along which contrast was seen everywhere.

    Args:
        segment: Its name.
        points: (N, 3) world mm.
    """
    line = resample_line(points)
    return Branch(segment, line, np.zeros(len(line), bool))


def uncovered(points: NDArray[np.float64], by: NDArray[np.float64], reach: float) -> float:
    """Return the part (0 to 1) of points (N, 3) that no point of ``by`` (M, 3) is near, in mm."""
    if len(points) == 0:
        return 0.0
    if len(by) == 0:
        return 1.0
    return float(np.mean(cKDTree(by).query(points)[0] > reach))

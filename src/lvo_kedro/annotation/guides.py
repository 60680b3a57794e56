"""Where about one side's arteries run: as those of the other side do, mirrored, or the atlas'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from lvo_kedro.annotation.courses import COURSES, course_points, mirror, to_scan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.annotation.tracing import SideTrace
    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.vocabulary import Side

_LEAST_GUIDE_MM: Final = 15.0
"""Length of M2 on the other side below which the atlas' course is the better guide."""
_ROOT_MM: Final = 5.0
"""A carotid that begins farther beyond its counterpart than this lies behind a clot."""
_JOINS_MM: Final = 6.0
"""How far the end of the carotid may lie from its counterpart."""


class Guide(NamedTuple):
    """About where one side's arteries run, in world mm."""

    source: str
    """``other side`` or ``atlas``."""
    start: NDArray[np.float64]
    """(3,) of the carotid."""
    ends: tuple[NDArray[np.float64], ...]
    """(3,) each, of the branches of M2."""
    points: NDArray[np.float64]
    """(N, 3) along all of them."""
    terminus: NDArray[np.float64]
    """(3,) the end of the carotid."""
    bifurcation: NDArray[np.float64]
    """(3,) the end of M1."""
    medial: NDArray[np.float64]
    """(3,) of the anterior cerebral artery, near the midline."""


def find_guide(side: Side, other: SideTrace, mapping: Mapping) -> Guide:
    """Take the other side's arteries, mirrored, as guide, or the atlas' courses.

    Args:
        side: The patient's, whose arteries are looked for.
        other: What was followed on the opposite side.
        mapping: World of the plain scan to MNI.
    """
    usual = {name: to_scan(mapping, course_points(name, side)) for name in COURSES}
    medial = usual["A1"][-1]
    if other.length("M2") < _LEAST_GUIDE_MM or other.terminus is None:
        ends = (usual["M2 superior"][-1], usual["M2 inferior"][-1])
        points = np.concatenate(list(usual.values()))
        borders = usual["M1"][0], usual["M1"][-1]
        return Guide("atlas", usual["C7"][0], ends, points, *borders, medial)
    mirrored = [mirror(mapping, branch.points) for branch in other.branches]
    branches = list(zip(other.branches, mirrored, strict=True))
    ends = tuple(points[-1] for branch, points in branches if branch.segment == "M2")
    m1 = np.concatenate([points for branch, points in branches if branch.segment == "M1"])
    start = mirrored[0][0]
    points = np.concatenate([*mirrored, usual["A1"]])
    return Guide("other side", start, ends, points, m1[0], m1[-1], medial)


def carotid_start(guide: Guide, own: SideTrace) -> NDArray[np.float64]:
    """Return where the carotid begins (3,), by what was followed on this side if that shows it.

    Args:
        guide: Of this side.
        own: What was followed on it.
    """
    return own.branches[0].points[0] if _begins(guide, own) else guide.start


def carotid_end(guide: Guide, own: SideTrace) -> NDArray[np.float64] | None:
    """Return where the carotid ends (3,) if contrast was followed all the way up to there.

    Args:
        guide: Of this side.
        own: What was followed on it.

    Returns:
        The followed end; None where a clot lies before it, or no branch shows it.
    """
    if own.terminus is None or not _begins(guide, own):
        return None
    near = np.linalg.norm(own.terminus - guide.terminus) <= _JOINS_MM
    return own.terminus if near else None


def _begins(guide: Guide, own: SideTrace) -> bool:
    """Tell whether what was followed begins where the carotid does, not behind a clot in it."""
    if len(own.branches) == 0:
        return False
    return bool(np.linalg.norm(own.branches[0].points[0] - guide.start) < _ROOT_MM)

"""Where the large arteries are looked for: their usual courses in the atlas' space.

Control points are MNI millimetres on the patient's right (x > 0), where the arteries run in adults:
the carotid beside the sella, the middle cerebral artery in the Sylvian fissure, the anterior one
towards the midline. Good to several millimetres: they say where to look, never where a vessel is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.vocabulary import Side

Course = Literal["C7", "M1", "M2 superior", "M2 inferior", "A1"]

STEP_MM: Final = 0.5
"""Distance of the points along a course."""

COURSES: Final[dict[Course, tuple[tuple[float, float, float], ...]]] = {
    "C7": ((10, 9, -27), (12, 6, -23), (15, 3, -17)),
    "M1": ((15, 3, -17), (23, 5, -18), (32, 7, -18), (40, 7, -14)),
    "M2 superior": ((40, 7, -14), (41, 11, -5), (40, 9, 5), (46, 3, 17)),
    "M2 inferior": ((40, 7, -14), (43, -2, -9), (41, -15, 1), (46, -28, 10)),
    "A1": ((15, 3, -17), (8, 6, -16), (2, 12, -13)),
}


def course_points(course: Course, side: Side) -> NDArray[np.float64]:
    """Return points along a course, from the heart outwards.

    Args:
        course: Which artery.
        side: The patient's.

    Returns:
        (N, 3) MNI mm, :data:`STEP_MM` apart.
    """
    controls = np.array(COURSES[course], dtype=float)
    controls[:, 0] *= -1.0 if side == "left" else 1.0
    return resample_line(controls)


def resample_line(points: NDArray[np.float64], step: float = STEP_MM) -> NDArray[np.float64]:
    """Space the points of a line evenly.

    Args:
        points: (N, 3) mm along the line; N is at least 1.
        step: Their distance to be, in mm.

    Returns:
        (M, 3) mm, first and last as given.
    """
    arc = arc_length(points)
    count = max(int(np.ceil(arc[-1] / step)), 1)
    at = np.linspace(0.0, arc[-1], count + 1)
    return np.stack([np.interp(at, arc, points[:, axis]) for axis in range(3)], axis=1)


def arc_length(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far along a line (N, 3) each of its points lies, in the points' unit."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], steps.cumsum()])


def to_scan(mapping: Mapping, mni: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map MNI points (N, 3) to the scan's world (N, 3), mm."""
    return _apply(mapping.to_fixed, mni)


def to_mni(mapping: Mapping, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map world points (N, 3) of the scan to MNI (N, 3), mm."""
    return _apply(mapping.to_moving, points)


def mirror(mapping: Mapping, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where a head's other side has the counterparts of world points (N, 3), mm.

    Through the atlas, whose sides are mirror images of one another at x = 0, so that a head that is
    turned, shifted or not alike on both sides is mirrored rightly.
    """
    return to_scan(mapping, to_mni(mapping, points) * [-1.0, 1.0, 1.0])


def _apply(change: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = change(np.ascontiguousarray(np.asarray(points, np.float32).T))
    return np.asarray(moved.T, dtype=float)

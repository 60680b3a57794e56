"""Veins and venous sinuses: as dense as the arteries beside them, and never the same on both sides.

Courses are MNI millimetres on the patient's right; those at the surface are laid upon the inner
table of the skull. Which of the superficial veins there are, and how wide, is drawn for each side;
the transverse sinus is wider on the right in most people (Alper et al. 2004, Cerebrovascular
Diseases 18).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.interpolate import make_interp_spline

from lvo_kedro.simulation import template
from lvo_kedro.simulation.arteries import STEP_MM, near_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.simulation.head import HeadMap
    from lvo_kedro.simulation.options import SimulationOptions
    from lvo_kedro.vocabulary import Side

JITTER_MM: Final = 2.5
"""Standard deviation of a course's control points, between patients and sides."""
RIGHT_DOMINANT: Final = 0.65
"""Part of the patients whose right transverse sinus is drawn as the wider one."""
LUMEN_GAP_MM: Final = 0.5
"""Dura between the inner table and a lumen."""


class _Course(NamedTuple):
    start_mm: float
    """Diameter at the first point."""
    end_mm: float
    kind: str
    """``sinus``: always there, at the surface; ``surface`` and ``deep``: drawn for each side."""
    points: tuple[tuple[float, float, float], ...]


_MIDLINE: Final = {
    "superior sagittal sinus": _Course(
        2.5, 8.0, "sinus",
        ((0, 62, 30), (0, 40, 58), (0, 10, 74), (0, -25, 80), (0, -60, 70), (0, -85, 40),
         (0, -102, 8)),
    ),
    "straight sinus": _Course(
        3.5, 4.5, "deep", ((0, -40, 3), (0, -52, 4), (0, -70, 0), (0, -92, -2))
    ),
}  # fmt: skip
_PAIRED: Final = {
    "transverse sinus": _Course(
        6.5, 7.0, "sinus",
        ((1, -102, 2), (20, -99, -8), (42, -84, -16), (56, -62, -22), (58, -48, -26)),
    ),
    "superficial middle cerebral vein": _Course(
        1.8, 3.2, "surface",
        ((60, -30, 20), (62, -12, 10), (60, 4, 2), (54, 18, -8), (44, 24, -20)),
    ),
    "vein of Trolard": _Course(
        2.0, 3.2, "surface",
        ((62, -14, 14), (58, -20, 36), (42, -24, 60), (20, -28, 74), (3, -30, 79)),
    ),
    "vein of Labbe": _Course(
        2.0, 3.2, "surface", ((63, -18, 8), (64, -30, -2), (62, -44, -12), (57, -56, -22))
    ),
    "sphenoparietal sinus": _Course(
        2.4, 2.8, "deep", ((44, 24, -20), (35, 20, -21), (26, 15, -24), (17, 9, -29))
    ),
    "deep middle cerebral vein": _Course(
        1.3, 2.0, "deep", ((41, -6, -3), (39, 2, -10), (32, 1, -14), (22, -2, -15), (15, -6, -15))
    ),
    "basal vein": _Course(
        1.6, 2.4, "deep",
        ((15, -6, -15), (17, -16, -13), (16, -26, -8), (9, -36, -1), (1, -40, 3)),
    ),
    "internal cerebral vein": _Course(
        1.6, 2.2, "deep", ((4, 1, 12), (3, -14, 14), (3, -28, 10), (1, -38, 5))
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Vein:
    """One tube. Arrays have one entry per centre-line point, along the flow of blood."""

    name: str
    side: Side | None
    """None at the midline."""
    points: NDArray[np.float64]
    """(N, 3) world mm, about :data:`~lvo_kedro.simulation.arteries.STEP_MM` apart."""
    radius: NDArray[np.float64]
    """(N,) mm."""
    hu: float
    """Density of the lumen."""


def draw_veins(
    rng: np.random.Generator, head: HeadMap, blood_hu: float, options: SimulationOptions
) -> list[Vein]:
    """Draw one patient's veins and sinuses; none if ``options.veins`` is zero.

    Args:
        rng: Random stream of this subject alone, which knows no occlusion.
        head: Where the head lies.
        blood_hu: Density of the patient's flowing blood.
        options: Which veins there are, and how much the sides differ.
    """
    if options.veins == 0:
        return []
    veins = [_vein(rng, head, name, None, hu=blood_hu) for name in _MIDLINE]
    right_is_wider = rng.random() < RIGHT_DOMINANT
    narrow = rng.uniform(0.35, 0.9)
    for name, course in _PAIRED.items():
        sides: tuple[Side, Side] = ("left", "right")
        for side in sides:
            factor = np.clip(1 + options.vein_asymmetry * rng.standard_normal(), 0.5, 1.6)
            if name == "transverse sinus":
                wider = (side == "right") == right_is_wider
                factor = max(factor, 1.0) if wider else min(factor, 1.0) * narrow
            vein = _vein(rng, head, name, side, hu=blood_hu, calibre=float(factor))
            if rng.random() < options.veins or course.kind == "sinus":
                veins.append(vein)
    return veins


def _vein(
    rng: np.random.Generator,
    head: HeadMap,
    name: str,
    side: Side | None,
    *,
    hu: float,
    calibre: float = 1.0,
) -> Vein:
    course = (_PAIRED if side else _MIDLINE)[name]
    controls = np.array(course.points, dtype=float)
    jitter = JITTER_MM * rng.standard_normal(controls.shape)
    jitter[:, 0] *= float(side is not None)
    controls = (controls + jitter) * ([-1, 1, 1] if side == "left" else [1, 1, 1])
    spline = make_interp_spline(np.linspace(0, 1, len(controls)), controls, k=3)
    mni = spline(np.linspace(0, 1, 60))
    radius = np.linspace(course.start_mm, course.end_mm, len(mni)) * calibre / 2
    if course.kind != "deep":
        mni = _lay_on_skull(mni, radius + LUMEN_GAP_MM)
    world = head.to_world(mni)
    arc = np.concatenate([[0.0], np.linalg.norm(np.diff(world, axis=0), axis=1).cumsum()])
    at = np.arange(0.0, arc[-1], STEP_MM)
    points = np.stack([np.interp(at, arc, world[:, axis]) for axis in range(3)], axis=1)
    return Vein(name, side, points, np.interp(at, arc, radius), hu)


def _lay_on_skull(mni: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move points (N, 3) outwards or inwards to ``depth`` mm below the inner table."""
    outwards = mni - template.CENTRE
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    reach = np.arange(30.0, 110.0, 0.5)
    rays = template.CENTRE + outwards[:, None] * reach[:, None]
    below = template.inner_skull_distance(rays) < -depth[:, None]
    last = below.shape[1] - 1 - np.argmax(below[:, ::-1], axis=1)
    return np.asarray(template.CENTRE + outwards * reach[last][:, None], dtype=float)


def paint_veins(hu: NDArray[np.float32], grid: Grid, veins: list[Vein]) -> None:
    """Draw the veins into ``hu`` (X, Y, Z on ``grid``), before the arteries; bone stays bone."""
    edge = float(np.mean(grid.spacing))
    for vein in veins:
        index, distance, nearest = near_points(grid, vein.points, float(vein.radius.max()) + edge)
        share = np.clip((vein.radius[nearest] - distance) / edge + 0.5, 0, 1)
        values = hu[index]
        hu[index] = values + np.where(values < 100, share, 0.0) * (vein.hu - values)

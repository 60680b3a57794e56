"""Arteries of the circle of Willis and the middle cerebral artery, as tubes along their course.

Control points are MNI millimetres on the patient's right (x > 0), read from the cisterns and
fissures of the MNI152 template; the left side mirrors them. Diameters are those of adults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.spatial import cKDTree

from lvo_kedro.simulation.template import CSF_HU
from lvo_kedro.vocabulary import VESSEL_LABELS, Segment, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.simulation.head import HeadMap
    from lvo_kedro.simulation.options import SimulationOptions

STEP_MM: Final = 0.5
"""Distance of the points along a centre-line."""
CISTERN_MM: Final = 1.3
"""Fluid between an artery and the brain."""
BONE_GAP_MM: Final = 4.0
"""Fluid between an artery and bone."""

_COURSES: Final[dict[str, tuple[str, float, float, tuple[tuple[float, float, float], ...]]]] = {
    # name: label, diameter at the start and at the end (mm), control points
    "C7": ("C7", 3.9, 3.6, ((9.5, 10, -27.5), (11, 7, -25), (13.5, 4, -21), (15, 3, -16.5))),
    "M1": (
        "M1", 3.0, 2.7,
        ((15, 3, -16.5), (22, 4, -17.5), (30, 7, -18.5), (37, 9, -17), (41, 7, -14)),
    ),
    "M2 superior": (
        "M2", 2.3, 2.0,
        ((41, 7, -14), (42, 10, -8), (40.5, 12, -2), (39, 9, 6), (41, 5, 13), (47, 3, 17)),
    ),
    "M2 inferior": (
        "M2", 2.3, 2.0,
        ((41, 7, -14), (43, 1, -10), (42.5, -6, -5), (40, -14, 0), (41, -22, 6), (46, -29, 10)),
    ),
    "A1": ("other", 2.2, 2.1, ((15, 3, -16.5), (10, 4, -17), (5, 8, -16), (2, 12, -13))),
    "A2": ("other", 2.1, 1.9, ((2, 12, -13), (1.5, 20, -10), (1.5, 27, -4), (1.5, 31, 5))),
    "basilar": (
        "other", 3.3, 3.1,
        ((0.5, -15, -50), (0, -11, -40), (0, -10, -32), (0, -13, -25), (0, -17, -18)),
    ),
    "P1": ("other", 2.2, 2.0, ((0, -17, -18), (6, -16, -17), (14, -20, -14), (21, -27, -10))),
}  # fmt: skip


@dataclass(frozen=True)
class Artery:
    """One tube. Arrays have one entry per centre-line point, from the heart outwards."""

    name: str
    side: Side | None
    """None for the basilar artery."""
    label: int
    """Value in vessel label images, see :data:`~lvo_kedro.vocabulary.VESSEL_LABELS`."""
    points: NDArray[np.float64]
    """(N, 3) world mm, :data:`STEP_MM` apart."""
    radius: NDArray[np.float64]
    """(N,) mm."""
    density: NDArray[np.float64]
    """(N,) HU of the lumen."""
    occluded: NDArray[np.bool_]
    """(N,) where the clot lies."""

    @property
    def arc(self) -> NDArray[np.float64]:
        """(N,) mm along the centre-line from its start."""
        return np.arange(len(self.points), dtype=np.float64) * STEP_MM


def draw_arteries(
    rng: np.random.Generator, head: HeadMap, options: SimulationOptions
) -> list[Artery]:
    """Draw one patient's arteries, all open, both sides, in world coordinates."""
    blood = rng.uniform(*options.blood_hu)
    blood += rng.uniform(5, 9) * (rng.random() < options.dense_arteries)
    calibre = 1 + options.calibre_variation * rng.standard_normal()
    arteries = []
    for name, (label, start, end, controls) in _COURSES.items():
        sides: tuple[Side | None, ...] = (None,) if name == "basilar" else ("left", "right")
        for side in sides:
            mirrored = np.array(controls) * ([-1, 1, 1] if side == "left" else [1, 1, 1])
            jitter = 1.2 * rng.standard_normal(mirrored.shape)
            factor = calibre * (1 + options.calibre_asymmetry * rng.standard_normal())
            factor *= 0.6 if name == "A1" and rng.random() < 0.1 else 1.0  # a common variant
            jitter[0] = 0.0  # branches start where their parents end
            jitter[-1] *= float(name in ("M2 superior", "M2 inferior", "A2", "P1"))
            points = _centre_line(head, mirrored + jitter)
            arteries.append(
                Artery(
                    name=name,
                    side=side,
                    label=VESSEL_LABELS[label],
                    points=points,
                    radius=np.linspace(start, end, len(points)) * factor / 2,
                    density=np.full(len(points), blood),
                    occluded=np.zeros(len(points), bool),
                )
            )
    return arteries


def _centre_line(head: HeadMap, controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay a smooth curve through control points (MNI mm); points in world mm, evenly spaced."""
    spline = make_interp_spline(np.linspace(0, 1, len(controls)), controls, k=3)
    dense = head.to_world(spline(np.linspace(0, 1, 200)))
    arc = np.concatenate([[0.0], np.linalg.norm(np.diff(dense, axis=0), axis=1).cumsum()])
    at = np.arange(0.0, arc[-1], STEP_MM)
    return np.stack([np.interp(at, arc, dense[:, axis]) for axis in range(3)], axis=1)


def occlude(
    arteries: list[Artery],
    rng: np.random.Generator,
    side: Side,
    segments: tuple[Segment, ...],
    options: SimulationOptions,
) -> tuple[list[Artery], str]:
    """Put a clot into one segment, or across the border of two adjoining ones.

    Returns:
        The arteries, and the name of the branch that the clot's far end lies in.
    """
    length = rng.uniform(*options.clot_length_mm)
    clot = rng.uniform(*options.clot_hu)
    lowered = rng.uniform(0, 3)  # stagnant blood beyond the clot
    branch = "M2 superior" if rng.random() < 0.5 else "M2 inferior"
    position = rng.random()
    path = [branch if segment == "M2" else segment for segment in segments]
    by_name = {a.name: a for a in arteries if a.side == side}
    spans = _clot_spans([by_name[name].arc[-1] for name in path], length, position)
    beyond = downstream(path[-1])
    return [
        _with_clot(a, spans[path.index(a.name)], clot)
        if a.side == side and a.name in path
        else (replace(a, density=a.density - lowered) if a.side == side and a.name in beyond else a)
        for a in arteries
    ], path[-1]


def _clot_spans(lengths: list[float], clot: float, position: float) -> list[tuple[float, float]]:
    """Return the clot's start and end (mm) within each of one or two adjoining segments.

    A single segment keeps 0.5 mm free at either end; of two, each holds at least a third.
    """
    if len(lengths) == 1:
        clot = min(clot, lengths[0] - 1.0)
        start = 0.5 + position * max(min(lengths[0], 26.0) - 1.0 - clot, 0.0)
        return [(start, start + clot)]
    first = clot * (1 + position) / 3
    return [(max(lengths[0] - first, 0.0), lengths[0] + 1.0), (-1.0, clot - first)]


def _with_clot(artery: Artery, span: tuple[float, float], clot_hu: float) -> Artery:
    occluded = (artery.arc >= span[0]) & (artery.arc <= span[1])
    return replace(artery, density=np.where(occluded, clot_hu, artery.density), occluded=occluded)


def downstream(name: str) -> tuple[str, ...]:
    """Name the large arteries of the same side that the named one feeds."""
    tree = {"C7": ("M1", "M2 superior", "M2 inferior"), "M1": ("M2 superior", "M2 inferior")}
    return tree.get(name, ())


def paint_arteries(hu: NDArray[np.float32], grid: Grid, arteries: list[Artery]) -> None:
    """Draw the arteries into ``hu`` (X, Y, Z on ``grid``), each in a sheath of cistern.

    The lumen replaces whatever lay there; edges are as soft as a voxel is wide. Bone keeps a
    greater distance than brain, so that no thick slice mixes it with the lumen.
    """
    points = np.concatenate([a.points for a in arteries])
    radius = np.concatenate([a.radius for a in arteries])
    density = np.concatenate([a.density for a in arteries])
    index, distance, nearest = near_points(grid, points, float(radius.max()) + BONE_GAP_MM + 1.0)
    edge = float(np.mean(grid.spacing))
    depth = (radius[nearest] - distance) / edge + 0.5
    values = hu[index]
    brain_gone = 0.85 * np.clip(depth + CISTERN_MM / edge, 0, 1)
    bone_gone = np.clip(depth + BONE_GAP_MM / edge, 0, 1)
    gone = np.select([values > 100, values > CSF_HU], [bone_gone, brain_gone])
    values = values + gone * (CSF_HU - values)
    hu[index] = values + np.clip(depth, 0, 1) * (density[nearest] - values)


def label_arteries(grid: Grid, arteries: list[Artery], width_mm: float) -> NDArray[np.uint8]:
    """Return vessel labels (X, Y, Z) as annotators draw them: ``width_mm`` wide everywhere."""
    labels = np.zeros(grid.shape, np.uint8)
    index, distance, nearest = near_points(
        grid, np.concatenate([a.points for a in arteries]), width_mm / 2
    )
    values = np.concatenate([np.full(len(a.points), a.label) for a in arteries])
    labels[index] = np.where(distance <= width_mm / 2, values[nearest], 0)
    return labels


def label_clot(grid: Grid, arteries: list[Artery], width_mm: float) -> NDArray[np.uint8]:
    """Return the clot's labels (X, Y, Z): the occluded part of :func:`label_arteries`."""
    labels = np.zeros(grid.shape, np.uint8)
    index, distance, nearest = near_points(
        grid, np.concatenate([a.points for a in arteries]), width_mm / 2
    )
    values = np.concatenate([np.where(a.occluded, a.label, 0) for a in arteries])
    labels[index] = np.where(distance <= width_mm / 2, values[nearest], 0)
    return labels


def near_points(
    grid: Grid, points: NDArray[np.float64], reach_mm: float
) -> tuple[tuple[NDArray[np.intp], ...], NDArray[np.float64], NDArray[np.intp]]:
    """Find the voxels within ``reach_mm`` of world points (N, 3).

    Returns:
        The voxels' indices, their distance (mm) to the nearest point, and that point's number.
    """
    to_index = np.linalg.inv(grid.affine)
    around = points @ to_index[:3, :3].T + to_index[:3, 3]
    half = np.linalg.norm(to_index[:3, :3], axis=1) * (reach_mm + STEP_MM)
    span = [np.arange(-np.ceil(h), np.ceil(h) + 1) for h in half]
    offsets = np.stack(np.meshgrid(*span, indexing="ij"), axis=-1).reshape(-1, 3)
    kept = np.linalg.norm(offsets @ grid.affine[:3, :3].T, axis=1) <= reach_mm + max(grid.spacing)
    candidates = (np.rint(around[::2, None]) + offsets[kept]).reshape(-1, 3).astype(int)
    inside = ((candidates >= 0) & (candidates < grid.shape)).all(axis=1)
    flat = np.unique(np.ravel_multi_index(tuple(candidates[inside].T), grid.shape))
    index = np.unravel_index(flat, grid.shape)
    world = np.stack(index, axis=1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    distance, nearest = cKDTree(points).query(world, distance_upper_bound=reach_mm)
    hit = np.isfinite(distance)
    return tuple(i[hit] for i in index), distance[hit], nearest[hit]

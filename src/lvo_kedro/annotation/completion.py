"""A side's arteries where contrast medium does not show them: the least costly way along a lumen.

The other side's arteries, mirrored, say about where to go; the way keeps to what looks like a
lumen, which is blood or clot, denser than the fluid around it, in both scans. Bright tubes are
found by the eigenvalues of the Hessian (Sato et al. 1998, Medical Image Analysis 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree
from skimage.filters import sato
from skimage.graph import MCP_Geometric

from lvo_kedro.annotation.courses import course_points, mirror, resample_line, to_scan
from lvo_kedro.annotation.tracing import smooth_line
from lvo_kedro.imaging.boxes import covering_box
from lvo_kedro.priors import engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.annotation.contrast import Enhancement
    from lvo_kedro.annotation.tracing import SideTrace
    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.vocabulary import Side

LUMEN_MM: Final = (1.0, 1.5)
"""Standard deviations of the Gaussians at which a lumen is looked for: 2 to 4 mm wide."""
REACH_MM: Final = 9.0
"""How far from its guide a way is looked for at all."""
_TRUST_MM: Final = 5.0
"""Standard deviation of a guide's error."""
_FLOOR: Final = 0.05
"""What a place without any lumen counts, against 1 for a clear one."""
_LEAST_GUIDE_MM: Final = 15.0
"""Length of M2 on the other side below which the atlas' course is the better guide."""
_ROOT_MM: Final = 5.0
"""A carotid that begins farther beyond its counterpart than this lies behind a clot."""
_JOINS_MM: Final = 6.0
"""How far the end of the carotid may lie from its counterpart."""
_CENTRE_MM: Final = 1.6
"""How far from a way the middle of its lumen may lie."""
_BESIDE_MM: Final = 1.5
"""Ways nearer to one another than this run in one lumen."""


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


class Ways(NamedTuple):
    """One side's arteries as lines from the carotid's start, (N, 3) world mm each."""

    lateral: tuple[NDArray[np.float64], ...]
    """To the ends of M2, the longest first."""
    clear: tuple[NDArray[np.float64], ...]
    """(N,) of each line: how much like a lumen its points are, 0 to 1."""
    terminus: int
    """Where the carotid ends, as a place in the first line."""
    bifurcation: int
    """Where M1 ends, likewise."""


def find_guide(side: Side, other: SideTrace, mapping: Mapping) -> Guide:
    """Take the other side's arteries, mirrored, as guide, or the atlas' courses.

    Args:
        side: The patient's, whose arteries are looked for.
        other: What was followed on the opposite side.
        mapping: World of the plain scan to MNI.
    """
    usual = {
        name: to_scan(mapping, course_points(name, side))
        for name in ("C7", "M1", "M2 superior", "M2 inferior")
    }
    if other.length("M2") < _LEAST_GUIDE_MM or other.terminus is None:
        ends = (usual["M2 superior"][-1], usual["M2 inferior"][-1])
        points = np.concatenate(list(usual.values()))
        borders = usual["M1"][0], usual["M1"][-1]
        return Guide("atlas", usual["C7"][0], ends, points, *borders)
    mirrored = [mirror(mapping, branch.points) for branch in other.branches]
    branches = list(zip(other.branches, mirrored, strict=True))
    ends = tuple(points[-1] for branch, points in branches if branch.segment == "M2")
    m1 = np.concatenate([points for branch, points in branches if branch.segment == "M1"])
    start = mirrored[0][0]
    return Guide("other side", start, ends, np.concatenate(mirrored), m1[0], m1[-1])


def find_ways(found: Enhancement, guide: Guide, own: SideTrace) -> Ways:
    """Find the least costly ways from the carotid to all ends of the guide.

    Args:
        found: Both scans around the arteries.
        guide: Where about to go.
        own: What was followed on this side, which knows better where the carotid begins and ends.

    Returns:
        The ways and where they part: M1 ends where those to the branches of M2 part, the carotid
        where the followed contrast does; both where the guide says if neither shows it.
    """
    box = covering_box(guide.points, found.grid, np.full(3, REACH_MM / found.grid.spacing[0]))
    grid = found.grid.part(box)
    tube = _tube(found.lumen[box], grid, guide.points)
    search = MCP_Geometric(_cost(tube, grid, guide.points))
    search.find_costs([_voxel(_start(guide, own), grid)])
    lateral = sorted(
        (_centred(np.array(search.traceback(_voxel(end, grid))), tube, grid) for end in guide.ends),
        key=len,
        reverse=True,
    )
    main = resample_line(lateral[0])
    terminus = _nearest(main, _terminus(guide, own))
    bifurcation = _part(main, lateral[1:])
    if bifurcation is None or bifurcation <= terminus:
        bifurcation = max(_nearest(main, guide.bifurcation), terminus)
    lines = (main, *map(resample_line, lateral[1:]))
    clear = tuple(_sample(tube, grid, line) for line in lines)
    return Ways(lines, clear, terminus, bifurcation)


def _terminus(guide: Guide, own: SideTrace) -> NDArray[np.float64]:
    if own.terminus is None or np.linalg.norm(own.terminus - guide.terminus) > _JOINS_MM:
        return guide.terminus
    return own.terminus


def _tube(
    lumen: NDArray[np.float32], grid: Grid, guide: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much like a lumen each voxel is: 1 for a clear one near the guide."""
    sigmas = [width / grid.spacing[0] for width in LUMEN_MM]
    tube = np.asarray(sato(lumen, sigmas=sigmas, black_ridges=False))
    clear = np.quantile(tube[_distance(grid, guide) < REACH_MM / 2], 0.95)
    return np.clip(tube / max(float(clear), 1e-6), 0, 1)


def _cost(tube: NDArray[np.float64], grid: Grid, guide: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a step in each voxel costs: little in a tube that runs near the guide."""
    distance = _distance(grid, guide)
    near = np.exp(-0.5 * (np.where(np.isinf(distance), 0, distance) / _TRUST_MM) ** 2)
    return np.where(np.isinf(distance), 2.0 / _FLOOR, 1.0 / (_FLOOR + tube * near))


def _distance(grid: Grid, guide: NDArray[np.float64]) -> NDArray[np.float64]:
    world = engine.grid_points(grid).reshape(3, -1).T
    found = cKDTree(guide[::2]).query(world, distance_upper_bound=REACH_MM)[0]
    return np.asarray(found.reshape(grid.shape), dtype=float)


def _centred(
    voxels: NDArray[np.intp], tube: NDArray[np.float64], grid: Grid
) -> NDArray[np.float64]:
    """Move a way from the wall, along which it takes bends, to the middle of its lumen."""
    reach = int(np.ceil(_CENTRE_MM / grid.spacing[0]))
    steps = np.arange(-reach, reach + 1)
    around = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    around = around[np.linalg.norm(around, axis=1) * grid.spacing[0] <= _CENTRE_MM]
    line = voxels.astype(float)
    for _ in range(2):
        near = np.clip(np.rint(line).astype(int)[:, None] + around, 0, np.array(grid.shape) - 1)
        weight = tube[tuple(np.moveaxis(near, -1, 0))] ** 2 + 1e-6
        line = (near * weight[..., None]).sum(axis=1) / weight.sum(axis=1)[:, None]
        line[[0, -1]] = voxels[[0, -1]]
    return smooth_line(apply_affine(grid.affine, line))


def _sample(
    values: NDArray[np.float64], grid: Grid, line: NDArray[np.float64]
) -> NDArray[np.float64]:
    sampled = engine.sample(values.astype(np.float32), grid, line.T.astype(np.float32))
    return np.asarray(sampled, dtype=float)


def _start(guide: Guide, own: SideTrace) -> NDArray[np.float64]:
    if len(own.branches) == 0:
        return guide.start
    first = own.branches[0].points[0]
    return first if np.linalg.norm(first - guide.start) < _ROOT_MM else guide.start


def _voxel(point: NDArray[np.float64], grid: Grid) -> tuple[int, ...]:
    index = np.rint(apply_affine(np.linalg.inv(grid.affine), point)).astype(int)
    return tuple(int(i) for i in np.clip(index, 0, np.asarray(grid.shape) - 1))


def _part(main: NDArray[np.float64], others: list[NDArray[np.float64]]) -> int | None:
    """Return the place up to which a line runs in one lumen with any of the others."""
    places = []
    for other in others:
        apart = cKDTree(other).query(main)[0] > _BESIDE_MM
        places.append(int(np.argmax(apart)) if apart.any() else len(main) - 1)
    return max(min(places) - 1, 0) if places else None


def _nearest(points: NDArray[np.float64], point: NDArray[np.float64]) -> int:
    return int(np.argmin(np.linalg.norm(points - point, axis=1)))

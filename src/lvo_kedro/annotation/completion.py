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

from lvo_kedro.annotation.courses import resample_line
from lvo_kedro.annotation.guides import carotid_end, carotid_start
from lvo_kedro.annotation.tracing import smooth_line
from lvo_kedro.imaging.boxes import covering_box
from lvo_kedro.priors import engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.annotation.contrast import Enhancement
    from lvo_kedro.annotation.guides import Guide
    from lvo_kedro.annotation.options import TracingOptions
    from lvo_kedro.annotation.tracing import SideTrace
    from lvo_kedro.imaging.geometry import Grid

LUMEN_MM: Final = (1.0, 1.5)
"""Standard deviations of the Gaussians at which a lumen is looked for: 2 to 4 mm wide."""
REACH_MM: Final = 9.0
"""How far from its guide a way is looked for at all."""
_TRUST_MM: Final = 5.0
"""Standard deviation of a guide's error."""
_FLOOR: Final = 0.05
"""What a place without any lumen counts, against 1 for a clear one."""
_LEAST_SEEN: Final = 0.5
"""Mean contrast along the anterior cerebral artery, against a filled lumen's, that shows it."""
_NEAR_MM: Final = 6.0
"""How far from where it usually runs the anterior cerebral artery is entered."""
_APART_MM: Final = 1.0
"""How far apart two ways to one end are before they come together."""
_CENTRE_MM: Final = 1.6
"""How far from a way the middle of its lumen may lie."""
_BESIDE_MM: Final = 1.5
"""Ways nearer to one another than this run in one lumen."""


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


def find_ways(found: Enhancement, guide: Guide, own: SideTrace, options: TracingOptions) -> Ways:
    """Find the least costly ways from the carotid to all ends of the guide.

    Args:
        found: Both scans around the arteries.
        guide: Where about to go.
        own: What was followed on this side, which knows better where the carotid begins and ends.
        options: From which enhancement on a lumen is filled.

    Returns:
        The ways and where they part. M1 ends where those to the branches of M2 part. The carotid
        ends where the followed contrast does; behind a clot, where the anterior cerebral artery,
        which is filled from the other side, meets the way. The guide says what neither shows.
    """
    box = covering_box(guide.points, found.grid, np.full(3, REACH_MM / found.grid.spacing[0]))
    grid = found.grid.part(box)
    tube = _tube(found.lumen[box], grid, guide.points)
    seen = np.clip(found.added[box] / (options.filled * found.level), 0, 1)
    cost = _cost(tube, seen, grid, guide.points)

    def ways(start: NDArray[np.float64], *ends: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        search = MCP_Geometric(cost)
        search.find_costs([_voxel(start, grid)])
        found_ways = [np.array(search.traceback(_voxel(end, grid))) for end in ends]
        return [_centred(way, tube, grid) for way in found_ways]

    lateral = sorted(ways(carotid_start(guide, own), *guide.ends), key=len, reverse=True)
    main = resample_line(lateral[0])
    terminus = carotid_end(guide, own)
    if terminus is None:
        across = resample_line(ways(_into_contrast(guide.medial, seen, grid), main[-1])[0])
        terminus = _mouth(main, across, _sample(seen, grid, across))
    first = _nearest(main, guide.terminus if terminus is None else terminus)
    bifurcation = _part(main, lateral[1:])
    if bifurcation is None or bifurcation <= first:
        bifurcation = max(_nearest(main, guide.bifurcation), first)
    lines = (main, *map(resample_line, lateral[1:]))
    clear = tuple(_sample(tube, grid, line) for line in lines)
    return Ways(lines, clear, first, bifurcation)


def _mouth(
    main: NDArray[np.float64], across: NDArray[np.float64], seen: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return where the anterior cerebral artery, filled from the other side, meets the carotid.

    Args:
        main: (N, 3) world mm, from the carotid's start to the end of M2.
        across: (M, 3) world mm, from the anterior cerebral artery to the same end.
        seen: (M,) of its points: contrast, at most 1, which is a filled lumen.

    Returns:
        (3,) world mm where both ways come together; None where contrast does not lead there.
    """
    apart = np.flatnonzero(cKDTree(main).query(across)[0] > _APART_MM)
    if len(apart) == 0 or seen[: apart[-1] + 1].mean() < _LEAST_SEEN:
        return None
    return np.asarray(across[apart[-1]])


def _into_contrast(
    point: NDArray[np.float64], seen: NDArray[np.float64], grid: Grid
) -> NDArray[np.float64]:
    """Move a point to the nearest contrast, if there is any near it."""
    filled = apply_affine(grid.affine, np.argwhere(seen >= 1))
    away = np.linalg.norm(filled - point, axis=1)
    return filled[np.argmin(away)] if away.size and away.min() < _NEAR_MM else point


def _tube(
    lumen: NDArray[np.float32], grid: Grid, guide: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how much like a lumen each voxel is: 1 for a clear one near the guide."""
    sigmas = [width / grid.spacing[0] for width in LUMEN_MM]
    tube = np.asarray(sato(lumen, sigmas=sigmas, black_ridges=False))
    clear = np.quantile(tube[_distance(grid, guide) < REACH_MM / 2], 0.95)
    return np.clip(tube / max(float(clear), 1e-6), 0, 1)


def _cost(
    tube: NDArray[np.float64],
    seen: NDArray[np.float64],
    grid: Grid,
    guide: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return what a step in each voxel costs: little in a tube near the guide or full of contrast.

    Contrast needs no guide: both sides differ by more than a way astray from it would cost.
    """
    distance = _distance(grid, guide)
    near = np.exp(-0.5 * (np.where(np.isinf(distance), 0, distance) / _TRUST_MM) ** 2)
    likely = tube * np.maximum(near, seen)
    return np.where(np.isinf(distance), 2.0 / _FLOOR, 1.0 / (_FLOOR + likely))


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

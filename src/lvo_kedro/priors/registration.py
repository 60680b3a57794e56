"""Bring an atlas onto a scan: small grids, one SyN, a second start when the first went astray."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation

from lvo_kedro.errors import RegistrationError
from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import Grid, grid_of, isotropic_grid, make_image, world_axis
from lvo_kedro.imaging.resampling import change_grid
from lvo_kedro.priors import engine
from lvo_kedro.vocabulary import HEMISPHERES

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.priors.atlas import Atlas
    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.priors.options import PriorOptions, StartLimits

TISSUE_HU = (0.0, 80.0)
"""Brain, CSF and fresh blood; what is denser or less dense is clipped for the registration."""

_MARGIN_VOXELS = 3.0
_ARTERIES = np.stack(
    [axis.ravel() for axis in np.mgrid[-42:43:6, -6:19:6, -26:-5:4].astype(np.float32)]
)
"""Where C7, M1 and the proximal M2 of both sides run: a box in MNI mm, (3, N)."""
_SIDE_REACH_MM = 30.0
_DEEP_MM = 12.0
_SMOOTH_MM = 3.0


@dataclass(frozen=True, eq=False)
class WorkingScan:
    """A brain on a small cubic grid.

    Attributes:
        grid: Cubic voxels along the scan's own axes, around the brain.
        tissue: HU within :data:`TISSUE_HU`, 0 outside the brain; (X, Y, Z).
        brain: Part of each voxel that is brain, 0 to 1; (X, Y, Z).
        seen: Voxels that lie inside the scan; (X, Y, Z) bool.
    """

    grid: Grid
    tissue: NDArray[np.float32]
    brain: NDArray[np.float32]
    seen: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WorkingAtlas:
    """An atlas prepared for registration at one spacing.

    Attributes:
        grid: Cubic voxels around the atlas brain.
        tissue: The template in HU, 0 outside the brain; (X, Y, Z).
        brain: Part of each voxel that is brain, 0 to 1; (X, Y, Z).
        territory: Territory probability; (X, Y, Z).
        side: Distance from the midline in mm, negative on the left; (X, Y, Z).
        midline_x: Where the template is mirrored, world x in mm.
    """

    grid: Grid
    tissue: NDArray[np.float32]
    brain: NDArray[np.float32]
    territory: NDArray[np.float32]
    side: NDArray[np.float32]
    midline_x: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """A scan, an atlas, the map between them, and how good it is.

    Attributes:
        mapping: Scan world to atlas world and back.
        points: Atlas coordinates of the working scan's voxels; (3, X, Y, Z).
        overlap: Dice of the warped atlas brain and the scan's, where the scan sees.
        similarity: Correlation of template and scan deep in the brain.
        coverage: Parts of the atlas' left and right brain that lie inside the scan.
        arteries_coverage: Part of the place of the large arteries that lies inside the scan.
        start: ``first`` or ``second``.
    """

    mapping: Mapping
    points: NDArray[np.float32]
    overlap: float
    similarity: float
    coverage: tuple[float, float]
    arteries_coverage: float
    start: str


def prepare_scan(ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image, spacing: float) -> WorkingScan:
    """Crop a RAS+ scan (HU) to its brain and average it onto cubic voxels of ``spacing`` mm."""
    source = grid_of(ncct)
    brain = np.asarray(brain_mask.dataobj) > 0
    box = bounding_box(brain, margin=1)
    cropped, cropped_grid = brain[box], source.part(box)
    tissue = np.where(cropped, np.clip(np.asarray(ncct.dataobj[box]), *TISSUE_HU), 0.0)
    image = make_image(cropped.astype(np.uint8), cropped_grid.affine)
    grid = isotropic_grid(image, spacing, margin=_MARGIN_VOXELS * spacing)
    return WorkingScan(
        grid=grid,
        tissue=change_grid(tissue.astype(np.float32), cropped_grid, grid),
        brain=change_grid(cropped.astype(np.float32), cropped_grid, grid),
        seen=engine.is_inside(engine.grid_points(grid), source),
    )


@functools.lru_cache(maxsize=8)
def prepare_atlas(atlas: Atlas, spacing: float) -> WorkingAtlas:
    """Average an atlas onto cubic voxels of ``spacing`` mm; kept for the next scan."""
    labels = np.asarray(atlas.hemispheres.dataobj)
    source = grid_of(atlas.template_hu)
    brain = np.asarray(atlas.template.dataobj) > 0
    grid = isotropic_grid(
        atlas.template_hu,
        spacing,
        mask=make_image(brain, source.affine),
        margin=_MARGIN_VOXELS * spacing,
    )
    move = functools.partial(change_grid, source=source, target=grid)
    return WorkingAtlas(
        grid=grid,
        tissue=move(np.asarray(atlas.template_hu.dataobj, dtype=np.float32)),
        brain=move(brain.astype(np.float32)),
        territory=move(np.asarray(atlas.territory_probability.dataobj, dtype=np.float32)),
        side=move(_signed_side(labels, source, atlas.midline_x)),
        midline_x=atlas.midline_x,
    )


def align(scan: WorkingScan, atlas: WorkingAtlas, options: PriorOptions) -> Alignment:
    """Register the atlas to the scan; try a second start where the first result is poor.

    Raises:
        RegistrationError: No start gave an overlap that is worth anything.
    """
    limits = options.starts
    found = [_attempt(scan, atlas, options, None, "first")]
    if not _acceptable(found[0], limits):
        start = _search_start(scan, atlas, options)
        found.append(_attempt(scan, atlas, options, start, "second"))
    best = max(found, key=lambda one: min(one.overlap, one.similarity))
    if best.overlap < limits.hopeless_overlap:
        raise RegistrationError(
            f"an atlas that overlaps the brain by Dice {best.overlap:.2f} after two starts",
            f"at least {limits.hopeless_overlap:.2f}",
            "look at the scan and its brain mask: is it a head, whole, and stripped rightly?",
        )
    return best


def _acceptable(alignment: Alignment, limits: StartLimits) -> bool:
    return (
        alignment.overlap >= limits.overlap
        and alignment.similarity >= limits.similarity
        # centres of mass, where the first start begins, say little about part of a head
        and min(alignment.coverage) >= limits.coverage
    )


def _attempt(
    scan: WorkingScan,
    atlas: WorkingAtlas,
    options: PriorOptions,
    start: NDArray[np.float64] | None,
    name: str,
) -> Alignment:
    mapping = engine.register(
        scan.tissue,
        atlas.tissue,
        scan.grid,
        atlas.grid,
        iterations=options.iterations,
        start=start,
        mask=None if scan.seen.all() else scan.seen,
        sampling=options.sampling,
        seed=options.seed,
    )
    return judge(scan, atlas, mapping, name)


def judge(scan: WorkingScan, atlas: WorkingAtlas, mapping: Mapping, start: str) -> Alignment:
    """Measure how well a mapping brings an atlas onto a scan."""
    points = mapping.to_moving(engine.grid_points(scan.grid))
    warped = engine.sample(atlas.brain, atlas.grid, points) > 0.5
    own = scan.brain > 0.5
    overlap = 2.0 * (warped & own).sum() / max(1, (warped & scan.seen).sum() + own.sum())
    tissue = engine.sample(atlas.tissue, atlas.grid, points)
    similarity = _deep_correlation(scan, tissue)
    coverage = _coverage(scan, atlas, mapping)
    arteries = float(_seen(scan, mapping, _ARTERIES).mean())
    return Alignment(mapping, points, float(overlap), similarity, coverage, arteries, start)


def _deep_correlation(scan: WorkingScan, tissue: NDArray[np.float32]) -> float:
    """Correlate scan and warped template away from the brain's surface.

    Brain and background, sulci and the bone's blur make any two heads look alike or unlike at the
    surface; ventricles and deep grey matter tell whether a brain lies right.
    """
    depth = distance_transform_edt(scan.brain > 0.5, sampling=scan.grid.spacing)
    deep = depth > min(_DEEP_MM, 0.5 * depth.max())
    sigma = _SMOOTH_MM / scan.grid.spacing[0]
    pair = [gaussian_filter(values, sigma)[deep] for values in (tissue, scan.tissue)]
    if min(values.std() for values in pair) < 1e-3:
        return 0.0
    return float(np.corrcoef(*pair)[0, 1])


def _coverage(scan: WorkingScan, atlas: WorkingAtlas, mapping: Mapping) -> tuple[float, float]:
    """Return the parts of the atlas' left and right brain that the scan's field of view shows."""
    thin = (slice(None, None, 2),) * 3
    points = engine.grid_points(atlas.grid)[(slice(None), *thin)]
    brain = points[:, atlas.brain[thin] > 0.5]
    seen = _seen(scan, mapping, brain)
    left = brain[0] < atlas.midline_x
    return float(seen[left].mean()), float(seen[~left].mean())


def _seen(scan: WorkingScan, mapping: Mapping, points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell for atlas points (3, N) whether the scan shows them."""
    seen = scan.seen.astype(np.float32)
    return np.asarray(engine.sample(seen, scan.grid, mapping.to_fixed(points)) > 0.5)


def _search_start(
    scan: WorkingScan, atlas: WorkingAtlas, options: PriorOptions
) -> NDArray[np.float64]:
    """Register affinely at twice the spacing from many poses and return the best pose found."""
    spacing = 2.0 * options.spacing_mm
    coarse = _coarser(scan, spacing)
    target = Grid(atlas.grid.shape, atlas.grid.affine)
    centre = _centre(coarse.brain, coarse.grid)
    goal = _centre(atlas.brain, atlas.grid)
    best: tuple[float, NDArray[np.float64] | None] = (-np.inf, None)
    for turn, lift in itertools.product(_TURNS, (0.0, -30.0, 30.0)):
        if any(turn) and lift:
            continue
        start = np.eye(4)
        start[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
        start[:3, 3] = goal + np.array([0.0, 0.0, lift]) - start[:3, :3] @ centre
        mapping = engine.register(
            coarse.tissue, atlas.tissue, coarse.grid, target,
            kind="Affine", start=start, mask=None if coarse.seen.all() else coarse.seen,
            seed=options.seed,
        )  # fmt: skip
        judged = judge(coarse, atlas, mapping, "search")
        score = judged.overlap + judged.similarity
        best = max(best, (score, mapping.affine), key=lambda one: one[0])
    return best[1] if best[1] is not None else np.eye(4)


_TURNS = ((0, 0, 0), (25, 0, 0), (-25, 0, 0), (0, 25, 0), (0, -25, 0), (0, 0, 25), (0, 0, -25))
"""Degrees about world x, y and z from which the second start is searched."""


def _coarser(scan: WorkingScan, spacing: float) -> WorkingScan:
    image = make_image(scan.brain, scan.grid.affine)
    grid = isotropic_grid(image, spacing)
    move = functools.partial(change_grid, source=scan.grid, target=grid)
    seen = move(scan.seen.astype(np.float32)) > 0.99
    return WorkingScan(grid, move(scan.tissue), move(scan.brain), seen)


def _centre(weight: NDArray[np.float32], grid: Grid) -> NDArray[np.float64]:
    points = engine.grid_points(grid)
    return np.asarray((points * weight).sum(axis=(1, 2, 3)) / weight.sum(), dtype=float)


def _signed_side(labels: NDArray[np.uint8], grid: Grid, midline_x: float) -> NDArray[np.float32]:
    """Return the distance from the midline in mm, negative on the left, also outside the brain.

    Linear interpolation of it gives a smooth border. Where the labels meet in a plane, the plane
    itself is used, as labels know it to half a voxel only; elsewhere the distance to each label.
    """
    x = world_axis(grid, 0) - np.float32(midline_x)
    by_plane = np.where(x < 0, HEMISPHERES["left"], HEMISPHERES["right"])
    clear = (labels > 0) & (np.abs(x) > 1.01 * grid.spacing[0])
    if (labels == by_plane)[clear].all():
        return np.broadcast_to(x, labels.shape).astype(np.float32)
    to_left = distance_transform_edt(labels != HEMISPHERES["left"], sampling=grid.spacing)
    to_right = distance_transform_edt(labels != HEMISPHERES["right"], sampling=grid.spacing)
    signed = np.clip(to_left - to_right, -_SIDE_REACH_MM, _SIDE_REACH_MM)
    return np.asarray(signed, dtype=np.float32)

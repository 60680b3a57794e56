"""What contrast medium adds: the angiography minus the plain scan, around the large arteries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from lvo_kedro.annotation.courses import COURSES, course_points, to_scan
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.boxes import covering_box
from lvo_kedro.imaging.geometry import Grid, isotropic_grid, make_image, to_ras
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.priors import engine
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.annotation.options import TracingOptions
    from lvo_kedro.annotation.registration import CtaAlignment
    from lvo_kedro.priors.engine import Mapping

LUMEN_HU: Final = 80.0
"""Where density is cut off when a lumen is looked for, whatever fills it."""
_CLOT_HU: Final = 60.0
"""Density that blood and clot have by themselves. A thick slice of the plain scan blurs them with
the fluid around, a thin one of the angiography does not: the difference is no contrast."""
_AROUND_MM: Final = 0.7
"""How far beside a line the lumen may lie."""
_FLUID_HU: Final = 8.0
_LEVEL_PART: Final = 0.005
"""Part of the voxels along the arteries' courses that are lumen, at the least."""


@dataclass(frozen=True, eq=False)
class Enhancement:
    """Both scans on cubic voxels in the plain scan's world, around the courses of the arteries."""

    grid: Grid
    added: NDArray[np.float32]
    """HU that contrast medium adds; 0 in bone and calcium, and beyond the corridor."""
    lumen: NDArray[np.float32]
    """HU, mean of both scans between 0 and :data:`LUMEN_HU`: blood and clot in cerebrospinal fluid,
    with contrast medium or without; fluid's in bone."""
    level: float
    """HU that contrast medium adds in a large artery of this patient."""

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the HU added at world points (N, 3)."""
        values = engine.sample(self.added, self.grid, np.asarray(points, np.float32).T)
        return np.asarray(values)

    def peak(self, values: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the largest of the values (X, Y, Z) on the grid near each of world points (N, 3).

        A line may run a little beside the middle of its lumen.
        """
        around = _AROUND_MM * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
        near = (points[:, None] + around).reshape(-1, 3).T.astype(np.float32)
        sampled = engine.sample(values, self.grid, near)
        return np.asarray(sampled.reshape(len(points), -1).max(axis=1), dtype=float)


def enhancement(
    ncct: nib.Nifti1Image,
    cta: nib.Nifti1Image,
    alignment: CtaAlignment,
    mapping: Mapping,
    options: TracingOptions,
) -> Enhancement:
    """Subtract the plain scan from the angiography where the large arteries are looked for.

    Args:
        ncct: HU, any orientation.
        cta: HU, any orientation and field of view.
        alignment: World of the plain scan to world of the angiography.
        mapping: World of the plain scan to MNI.
        options: Voxels, width of the corridor, least contrast.

    Raises:
        ScanError: No contrast medium in the arteries of either side.
    """
    courses = np.concatenate(
        [to_scan(mapping, course_points(name, side)) for name in COURSES for side in SIDES]
    )
    whole = isotropic_grid(to_ras(ncct), options.spacing_mm)
    margin = np.full(3, options.corridor_mm / options.spacing_mm)
    grid = whole.part(covering_box(courses, whole, margin))
    plain = _sample(to_ras(ncct), grid)
    moved = make_image(np.asarray(cta.dataobj), np.linalg.inv(alignment.matrix) @ cta.affine)
    filled = _sample(moved, grid)
    distance = _distance_to(courses, grid, options.corridor_mm)
    bone = ndimage.binary_dilation(plain > options.bone_hu)
    apart = bone | np.isinf(distance)
    denser = np.where(apart, 0.0, filled - np.maximum(plain, 0))
    rise = np.where(apart, 0.0, filled - np.maximum(plain, _CLOT_HU))
    added = np.maximum(rise, 0)
    near = distance <= options.corridor_mm / 2
    contrast, level = (_lumen_level(values[near]) for values in (denser, added))
    if contrast < options.least_contrast_hu:
        raise ScanError(
            f"an angiography in which the large arteries are {contrast:.0f} HU denser than before",
            f"at least {options.least_contrast_hu:.0f} HU (cta_tracing.least_contrast_hu)",
            "look whether it is an arterial phase, and whether it shows the circle of Willis",
        )
    lumen = (np.clip(plain, 0, LUMEN_HU) + np.clip(filled, 0, LUMEN_HU)) / 2
    lumen[bone] = _FLUID_HU
    return Enhancement(grid, added.astype(np.float32), lumen.astype(np.float32), level)


def _lumen_level(values: NDArray[np.floating]) -> float:
    """Return the value of the large arteries among those along their courses."""
    return float(np.quantile(values, 1 - _LEVEL_PART)) if values.size else 0.0


def _sample(image: nib.Nifti1Image, grid: Grid) -> NDArray[np.float32]:
    """Sample a scan (HU) on ``grid``; beyond it is air."""
    return np.asarray(resample(image, grid, fill=-1000.0).dataobj)


def _distance_to(points: NDArray[np.float64], grid: Grid, reach: float) -> NDArray[np.float32]:
    """Return every voxel's distance (mm) to the nearest point; infinite beyond ``reach``."""
    world = engine.grid_points(grid).reshape(3, -1).T
    distance, _ = cKDTree(points[::4]).query(world, distance_upper_bound=reach)
    return np.asarray(distance, np.float32).reshape(grid.shape)

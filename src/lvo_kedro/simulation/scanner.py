"""The simulated scanner: which voxels, and what it does to the densities on the way."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from nibabel.affines import apply_affine
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

from lvo_kedro.imaging.geometry import Grid, make_image
from lvo_kedro.simulation.head import fill_lattice
from lvo_kedro.simulation.template import load_head_template

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.simulation.head import HeadMap
    from lvo_kedro.simulation.options import Orientation, SimulationOptions

LOWEST_MNI_Z: Final = -58.0
"""Scans begin near the foramen magnum."""
SUBSLICE_MM: Final = 1.5
"""Slices are averages of planes about this far apart: the partial volume effect."""


@lru_cache(maxsize=1)
def _head_points() -> NDArray[np.float64]:
    template = load_head_template()
    index = np.argwhere(template.surroundings[::6, ::6, ::6] > -500) * 6.0
    points = index + template.origin
    return np.asarray(points[points[:, 2] > LOWEST_MNI_Z], dtype=float)


def draw_grid(rng: np.random.Generator, head: HeadMap, options: SimulationOptions) -> Grid:
    """Draw slice thickness and field of view: a box close around the head.

    Array axes run to the right, to the front and to the head; a tilted gantry shears them.
    """
    thickness = float(rng.choice(options.slice_thickness_mm))
    tilt = np.deg2rad(options.gantry_tilt_deg)
    axes = np.diag([options.spacing_mm, options.spacing_mm * np.cos(tilt), thickness])
    axes[2, 1] = options.spacing_mm * np.sin(tilt)
    points = apply_affine(np.linalg.inv(head.pose), _head_points()) @ np.linalg.inv(axes).T
    size = np.array([options.spacing_mm, options.spacing_mm, thickness])
    low = points.min(axis=0) - rng.uniform(4, 10, 3) / size
    high = points.max(axis=0) + rng.uniform(4, 10, 3) / size
    low[2] += options.cut_base_mm / thickness
    high[2] -= options.cut_vertex_mm / thickness
    low = np.floor(low)
    count = np.maximum(np.ceil(high - low).astype(int), 2)
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = axes @ low
    return Grid((int(count[0]), int(count[1]), int(count[2])), affine)


def split_slices(grid: Grid) -> tuple[Grid, int]:
    """Return the grid of the planes that each slice averages, and how many they are."""
    planes = max(1, round(grid.spacing[2] / SUBSLICE_MM))
    affine = grid.affine.copy()
    affine[:3, 2] /= planes
    affine[:3, 3] -= affine[:3, 2] * (planes - 1) / 2
    return Grid((*grid.shape[:2], grid.shape[2] * planes), affine), planes


def average_planes(hu: NDArray[np.float32], planes: int) -> NDArray[np.float32]:
    """Average every ``planes`` planes (last axis) to a slice."""
    if planes == 1:
        return hu
    return np.asarray(hu.reshape(*hu.shape[:2], -1, planes).mean(axis=-1), dtype=np.float32)


def scan(
    rng: np.random.Generator,
    noise: np.random.Generator,
    hu: NDArray[np.float32],
    grid: Grid,
    options: SimulationOptions,
) -> NDArray[np.int16]:
    """Turn true densities (X, Y, Z; HU) into what the scanner stores.

    Noise and anatomy pass the same kernel; the noise's strength is that after the kernel.
    """
    kernel = rng.uniform(*options.kernel)
    strength = rng.uniform(*options.noise_hu) * np.sqrt(2.5 / grid.spacing[2])
    offset = rng.uniform(*options.hu_offset)
    knots = tuple(-(-(n + 15) // 16) + 1 for n in grid.shape)
    shading = ndimage.gaussian_filter(noise.standard_normal(knots), 1.0)
    shading *= options.shading_hu / max(float(shading.std()), 1e-6)
    grain = apply_kernel(noise.standard_normal(grid.shape, dtype=np.float32), kernel, grid)
    grain *= strength / grain.std()
    values = apply_kernel(hu, kernel, grid) + grain + offset
    values += fill_lattice(shading.astype(np.float32), grid.shape, 16)
    return np.asarray(np.clip(np.rint(values), -1024, 3071), dtype=np.int16)


def apply_kernel(values: NDArray[np.float32], kernel: float, grid: Grid) -> NDArray[np.float32]:
    """Smooth (``kernel`` > 0: standard deviation in mm) or sharpen (< 0: gain) within slices."""
    sigma = (kernel if kernel > 0 else 0.8) / grid.spacing[0]
    smooth = ndimage.gaussian_filter(values, (sigma, sigma, 0.0), truncate=3.0)
    return np.asarray(smooth if kernel > 0 else values - kernel * (values - smooth))


def orient(data: NDArray[np.generic], grid: Grid, orientation: Orientation) -> nib.Nifti1Image:
    """Return an image whose array axes run as ``orientation`` says; no voxel moves."""
    image = make_image(data, grid.affine)
    change = ornt_transform(io_orientation(grid.affine), axcodes2ornt(orientation))
    return image.as_reoriented(change)

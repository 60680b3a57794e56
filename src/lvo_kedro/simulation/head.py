"""Where a simulated head lies and how its shape differs from MNI152: one map from world to MNI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.simulation.asymmetry import Asymmetry
    from lvo_kedro.simulation.options import SimulationOptions

STEP_MM: Final = 8.0
"""Distance of the lattice points on which the displacement is kept."""
SMOOTHNESS_MM: Final = 20.0
"""Standard deviation of the Gaussian that makes the random displacement smooth."""
_ORIGIN: Final = np.array([-112.0, -144.0, -96.0])
_COUNT: Final = (29, 33, 29)


@dataclass(frozen=True)
class HeadMap:
    """Map from a scan's world (mm) to MNI152 (mm): pose and size first, then a displacement."""

    pose: NDArray[np.float64]
    """4 x 4, world to the undeformed head, which has MNI's axes and scale."""
    displacement: NDArray[np.float64]
    """(3, X, Y, Z) cubic spline coefficients (mm) of what is added to the undeformed head's
    coordinates."""

    def to_mni(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map world points (..., 3) in mm to MNI points (..., 3) in mm."""
        head = apply_affine(self.pose, np.asarray(points, dtype=float))
        return head + self._displace(head)

    def to_world(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map MNI points (..., 3) to world points (..., 3), the inverse of :meth:`to_mni`."""
        mni = np.asarray(points, dtype=float)
        head = mni.copy()
        for _ in range(25):  # converges: the displacement's slope is well below one
            head = mni - self._displace(head)
        return apply_affine(np.linalg.inv(self.pose), head)

    def on_grid(self, grid: Grid, every: int = 4) -> NDArray[np.float32]:
        """Return the MNI position (mm) of every voxel of ``grid`` as (X, Y, Z, 3).

        The map is smooth, so every fourth voxel is computed and the rest interpolated.
        """
        return fill_lattice(self.on_lattice(grid, every), grid.shape, every)

    def on_lattice(self, grid: Grid, every: int = 4) -> NDArray[np.float32]:
        """Return the MNI position (mm) of every ``every``-th voxel, for :func:`fill_lattice`."""
        knots = [np.arange(0, n + every - 1, every) for n in grid.shape]
        lattice = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1)
        return self.to_mni(apply_affine(grid.affine, lattice)).astype(np.float32)

    def _displace(self, head: NDArray[np.float64]) -> NDArray[np.float64]:
        index = np.moveaxis((head - _ORIGIN) / STEP_MM, -1, 0)
        return np.stack(
            [
                ndimage.map_coordinates(u, index, order=3, mode="mirror", prefilter=False)
                for u in self.displacement
            ],
            axis=-1,
        )


def fill_lattice(
    values: NDArray[np.float32], shape: tuple[int, ...], every: int
) -> NDArray[np.float32]:
    """Interpolate linearly from every ``every``-th voxel of the first axes to all of them."""
    for axis, count in enumerate(shape):
        position = np.arange(count) / every
        low = np.minimum(position.astype(int), max(values.shape[axis] - 2, 0))
        high = np.minimum(low + 1, values.shape[axis] - 1)
        weight = (position - low).astype(np.float32)
        weight = weight.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
        below = np.take(values, low, axis)
        values = below + weight * (np.take(values, high, axis) - below)
    return values


def draw_head_map(
    anatomy: np.random.Generator,
    pose: np.random.Generator,
    options: SimulationOptions,
    *,
    scale: float,
    atrophy: float,
    shift_mm: float = 0.0,
    asymmetry: Asymmetry | None = None,
) -> HeadMap:
    """Draw a head's shape and position.

    Args:
        anatomy: Random stream of the shape.
        pose: Random stream of the position.
        options: Strength of the deformation and limits of the position.
        scale: Size relative to MNI152.
        atrophy: 0 to 1, how far the ventricles are widened.
        shift_mm: Shift of the midline structures along world x.
        asymmetry: How the sides differ, beyond the random deformation.
    """
    displacement = _random_displacement(anatomy, options.deformation_mm)
    points = _ORIGIN + STEP_MM * np.stack(np.meshgrid(*map(np.arange, _COUNT), indexing="ij"), -1)
    displacement += _ventricle_growth(points, atrophy) - _shift(points, shift_mm)
    if asymmetry:
        displacement += asymmetry.displacement(points)
    coefficients = np.stack([ndimage.spline_filter(u, mode="mirror") for u in displacement])
    return HeadMap(_draw_pose(pose, options, scale), coefficients)


def _random_displacement(rng: np.random.Generator, strength_mm: float) -> NDArray[np.float64]:
    noise = rng.standard_normal((3, *_COUNT))
    sigma = SMOOTHNESS_MM / STEP_MM
    smooth = np.stack([ndimage.gaussian_filter(u, sigma, mode="wrap") for u in noise])
    return np.asarray(smooth * (strength_mm / smooth.std()), dtype=np.float64)


def _ventricle_growth(points: NDArray[np.float64], atrophy: float) -> NDArray[np.float64]:
    """Pull sampling points towards the ventricles' centre: the ventricles look larger."""
    away = points - np.array([0.0, -8.0, 14.0])
    near = np.exp(-np.square(away / np.array([24.0, 40.0, 22.0])).sum(-1) / 2)
    return -0.35 * atrophy * np.moveaxis(away * near[..., None], -1, 0)


def _shift(points: NDArray[np.float64], shift_mm: float) -> NDArray[np.float64]:
    near = np.exp(-np.square((points - [0.0, -5.0, 12.0]) / [26.0, 45.0, 35.0]).sum(-1) / 2)
    field = np.zeros((3, *near.shape))
    field[0] = shift_mm * near
    return field


def _draw_pose(
    rng: np.random.Generator, options: SimulationOptions, scale: float
) -> NDArray[np.float64]:
    pitch, roll, yaw = np.deg2rad(
        rng.uniform(-1, 1, 3) * [options.pitch_deg, options.rotation_deg / 2, options.rotation_deg]
    )
    offset = rng.uniform(-1, 1, 3) * options.off_centre_mm
    rotation = _rotation(0, pitch) @ _rotation(1, roll) @ _rotation(2, yaw)
    to_world = np.eye(4)
    to_world[:3, :3] = rotation * scale
    to_world[:3, 3] = offset
    return np.asarray(np.linalg.inv(to_world), dtype=np.float64)


def _rotation(axis: int, angle: float) -> NDArray[np.float64]:
    a, b = (i for i in range(3) if i != axis)
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix

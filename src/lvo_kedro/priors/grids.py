"""Moving values between a scan's own grid and the small cubic grids that the priors work on.

The small grids run along the scan's own axes, so that one axis after the other can be resampled by
a small matrix: two orders of magnitude quicker than interpolating every voxel of a thin-slice scan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from lvo_kedro.imaging.geometry import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray


def change_grid(
    values: NDArray[np.float32], source: Grid, target: Grid, fill: float = 0.0
) -> NDArray[np.float32]:
    """Sample ``values`` on ``target``; where its voxels are larger, average over them.

    Args:
        values: (X, Y, Z) on ``source``.
        source: Any grid, sheared ones included.
        target: Any grid.
        fill: Value beyond the source.

    Returns:
        float32, in the target's shape.
    """
    between = np.linalg.inv(source.affine) @ target.affine  # target index -> source index
    steps, offset = between[:3, :3], between[:3, 3]
    if np.abs(steps - np.diag(np.diag(steps))).max() * max(target.shape) < 0.05:
        return _change_along_axes(values, np.diag(steps), offset, target.shape, fill)
    widths = np.asarray(target.spacing) / np.asarray(source.spacing)
    smooth = gaussian_filter(values, np.where(widths > 1.2, 0.4 * widths, 0.0), mode="nearest")
    return np.asarray(
        affine_transform(smooth, steps, offset, target.shape, output=np.float32, order=1, cval=fill)
    )


def crop_to(grid: Grid, filled: NDArray[np.bool_], margin: int = 1) -> tuple[slice, slice, slice]:
    """Return the box of the true voxels, ``margin`` voxels wider, within the grid."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        present = np.flatnonzero(filled.any(axis=others))
        low, high = int(present[0]), int(present[-1])
        box.append(slice(max(0, low - margin), min(grid.shape[axis], high + 1 + margin)))
    return box[0], box[1], box[2]


def sub_grid(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    """Return the grid of the voxels in ``box``."""
    start = np.array([part.start for part in box], dtype=float)
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    x, y, z = (int(part.stop - part.start) for part in box)
    return Grid((x, y, z), affine)


def inside_grid(points: NDArray[np.float32], grid: Grid) -> NDArray[np.bool_]:
    """Tell which world points (3, ...) lie within a grid's voxels."""
    inverse = np.linalg.inv(grid.affine).astype(np.float32)
    inside = np.ones(points.shape[1:], dtype=bool)
    for axis, count in enumerate(grid.shape):
        index = np.tensordot(inverse[axis, :3], points, axes=1) + inverse[axis, 3]
        inside &= (index >= -0.5) & (index <= count - 0.5)
    return inside


def _change_along_axes(
    values: NDArray[np.float32],
    steps: NDArray[np.float64],
    offset: NDArray[np.float64],
    shape: tuple[int, int, int],
    fill: float,
) -> NDArray[np.float32]:
    changed = np.asarray(values, dtype=np.float32) - np.float32(fill)
    shrink = np.asarray(shape) / np.asarray(values.shape)
    for axis in np.argsort(shrink):  # the axis that shrinks most first: less is left to do
        weights = _weights(values.shape[axis], shape[axis], steps[axis], offset[axis])
        changed = np.moveaxis(np.tensordot(weights, changed, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(changed + np.float32(fill), dtype=np.float32)


def _weights(n_in: int, n_out: int, step: float, offset: float) -> NDArray[np.float32]:
    """Return (n_out, n_in) weights: a triangle as wide as the coarser of both grids."""
    position = offset + step * np.arange(n_out)
    width = max(1.0, abs(step))
    distance = np.abs(np.arange(n_in) - position[:, None]) / width
    weights = np.clip(1.0 - distance, 0.0, None)
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.where(total > 0, total, 1.0)
    weights[(position < -0.5) | (position > n_in - 0.5)] = 0.0
    return np.asarray(weights, dtype=np.float32)

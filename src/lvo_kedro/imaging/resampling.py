"""Values brought from one grid onto another, without aliasing where the other is coarser.

A coarser grid that merely picks values keeps all of the noise, and loses what lies between its
voxels. There are three ways against it, each where the others would not do:

* :func:`smooth` before :func:`interpolate`: any two grids, turned or sheared. The rule for how much
  is one, :func:`matching_sigma`; the networks' inputs are made by it.
* :func:`change_grid`: two grids along the same axes. One axis after the other is multiplied by a
  small matrix, two orders of magnitude quicker than interpolating every voxel of a thin-slice scan.
* :func:`block_mean`: whole blocks of voxels. No voxel is interpolated, noise falls as it should,
  and a slice that is thick stays what it is.

nnU-Net's own resampling, from what it is shown to its target spacing and back, is nnU-Net's.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging.geometry import Grid, grid_of, is_sheared, make_image, straight_grid

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import ArrayLike, NDArray

FWHM_PER_SIGMA = 2.3548
"""Full width at half maximum of a Gaussian of standard deviation 1."""

_IDENTITY_SIGMA = 0.1
"""Standard deviation (voxels) at which a neighbour's weight is nothing."""


def resample(
    image: nib.Nifti1Image, grid: Grid, order: int = 1, fill: float = 0.0
) -> nib.Nifti1Image:
    """Sample ``image`` (3D) on ``grid``: order 1 for intensities, 0 for labels; ``fill`` outside.

    Returns:
        An image of ``image``'s data type for order 0, of float32 otherwise.
    """
    dtype = image.get_data_dtype() if order == 0 else np.dtype(np.float32)
    if image.shape == grid.shape and np.allclose(image.affine, grid.affine, atol=1e-4):
        return make_image(np.asarray(image.dataobj).astype(dtype), grid.affine)
    values = np.asarray(image.dataobj).astype(dtype, copy=False)
    return make_image(interpolate(values, grid_of(image), grid, order, fill), grid.affine)


def interpolate(
    values: NDArray[Any], source: Grid, target: Grid, order: int = 1, fill: float = 0.0
) -> NDArray[Any]:
    """Sample ``values`` (X, Y, Z) of ``source`` on ``target``: order 1 is linear, 0 the nearest.

    Returns:
        In the target's shape and the type of ``values``; ``fill`` beyond the source.
    """
    # rounded, lest a border plane at -1e-16 count as outside
    to_source = np.round(np.linalg.inv(source.affine) @ target.affine, 9)
    matrix, offset = to_source[:3, :3], np.round(to_source[:3, 3], 6)
    scale = np.diag(matrix)
    with warnings.catch_warnings():
        # scipy warns that it once understood the quicker way, a diagonal alone, differently
        warnings.filterwarnings("ignore", message=".*1-D array supplied for the matrix")
        sampled: NDArray[Any] = ndimage.affine_transform(
            values,
            scale if np.array_equal(matrix, np.diag(scale)) else matrix,
            offset,
            target.shape,
            order=order,
            cval=fill,
        )
    return sampled


def matching_sigma(
    own: ArrayLike, wanted: ArrayLike, fwhm_per_sigma: float = FWHM_PER_SIGMA
) -> NDArray[np.float64]:
    """Return the Gaussian that takes voxels of one spacing to the resolution of a coarser one.

    The full width at half maximum of a voxel's point spread grows from the one spacing to the other
    (Cardoso et al., "Scale factor point spread function matching", MICCAI 2015).

    Args:
        own: Spacing in mm along each axis of the values.
        wanted: Spacing in mm to come, along the same axes, or the same in all directions.
        fwhm_per_sigma: Full width at half maximum of a Gaussian of standard deviation 1.

    Returns:
        Standard deviation in the values' own voxels; 0 along axes that gain samples.
    """
    own = np.asarray(own, dtype=float)
    spare = np.square(wanted) - np.square(own)
    return np.asarray(np.sqrt(np.maximum(spare, 0)) / fwhm_per_sigma / own)


def smooth(
    values: NDArray[Any],
    sigma: NDArray[np.float64],
    beyond: Literal["nearest", "constant"] = "nearest",
) -> NDArray[np.float32]:
    """Smooth (X, Y, Z) by a Gaussian with its standard deviation in voxels along each axis.

    Args:
        values: Taken as float32.
        sigma: As of :func:`matching_sigma`.
        beyond: What lies beyond the array: the value at its ``nearest`` edge, where a scan was cut
            and goes on; or ``constant`` 0, for weights that end there.
    """
    values = np.asarray(values, dtype=np.float32)
    if np.max(sigma) <= _IDENTITY_SIGMA:
        return values
    return np.asarray(ndimage.gaussian_filter(values, sigma, mode=beyond, truncate=3.0))


def change_grid(
    values: NDArray[np.float32], source: Grid, target: Grid, fill: float = 0.0
) -> NDArray[np.float32]:
    """Sample ``values`` on ``target``; where its voxels are larger, average over them.

    Along axes that both grids share a voxel's weights are a triangle as wide as the coarser grid:
    linear interpolation onto a finer grid, an average onto a coarser one. Other grids are smoothed
    and interpolated.

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
    # off the axes by less than a twentieth of a voxel at the far end of the grid
    if np.abs(steps - np.diag(np.diag(steps))).max() * max(target.shape) >= 0.05:
        sigma = matching_sigma(source.spacing, target.spacing)
        return np.asarray(interpolate(smooth(values, sigma), source, target, fill=fill))
    changed = np.asarray(values, dtype=np.float32) - np.float32(fill)
    shrink = np.asarray(target.shape) / np.asarray(values.shape)
    for axis in np.argsort(shrink):  # the axis that shrinks most first: less is left to do
        counts = values.shape[axis], target.shape[axis]
        weights = _triangles(*counts, steps[axis, axis], offset[axis])
        changed = np.moveaxis(np.tensordot(weights, changed, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(changed + np.float32(fill), dtype=np.float32)


def _triangles(n_in: int, n_out: int, step: float, offset: float) -> NDArray[np.float32]:
    """Return (n_out, n_in) weights: a triangle as wide as the coarser of both grids."""
    position = offset + step * np.arange(n_out)
    width = max(1.0, abs(step))
    distance = np.abs(np.arange(n_in) - position[:, None]) / width
    weights = np.clip(1.0 - distance, 0.0, None)
    total = weights.sum(axis=1, keepdims=True)
    weights /= np.where(total > 0, total, 1.0)
    weights[(position < -0.5) | (position > n_in - 0.5)] = 0.0
    return np.asarray(weights, dtype=np.float32)


def block_mean(values: NDArray[Any], factor: ArrayLike) -> NDArray[np.float32]:
    """Average (X, Y, Z) over blocks of ``factor`` voxels; what fills no block is left out.

    Summed along one axis after the other, which is quicker than whole blocks at once, and divided
    at the end: sums of whole HU are exact, and so is the comparison of their mean with a limit.
    """
    total = np.asarray(values, dtype=np.float32)
    sizes = [int(n) for n in np.asarray(factor)]
    for axis, n in enumerate(sizes):
        count = total.shape[axis] // n
        parts = [total[(slice(None),) * axis + (slice(i, count * n, n),)] for i in range(n)]
        total = sum(parts[1:], parts[0])
    return total / np.float32(np.prod(sizes))


def block_grid(grid: Grid, factor: ArrayLike) -> Grid:
    """Return the grid of :func:`block_mean`'s blocks."""
    factor = np.asarray(factor, dtype=int)
    affine = grid.affine.copy()
    affine[:3, 3] = apply_affine(grid.affine, (factor - 1) / 2)
    affine[:3, :3] = grid.affine[:3, :3] * factor
    x, y, z = (int(n) for n in np.asarray(grid.shape) // factor)
    return Grid((x, y, z), affine)


def straighten(image: nib.Nifti1Image, fill: float = 0.0) -> nib.Nifti1Image:
    """Resample ``image`` (linear) to right angles if it is sheared; ``fill`` where nothing was.

    An image that is straight already is returned as it is.
    """
    if not is_sheared(image.affine):
        return image
    grid = straight_grid(image)
    move = np.linalg.inv(image.affine) @ grid.affine - np.eye(4)
    stacked = int(np.abs(move[:3, :3]).sum(axis=0).argmax())
    within = [axis for axis in range(3) if axis != stacked]
    if np.abs(move[:3, within]).max() > 1e-6 or np.abs(move[stacked]).max() > 1e-6:
        return resample(image, grid, order=1, fill=fill)
    # a tilted gantry: each slice slides within its plane, twenty times faster than resampling
    slides = move[within, stacked] * np.arange(grid.shape[stacked])[:, None] + move[within, 3]
    count = grid.shape[within[0]], grid.shape[within[1]]
    data = np.empty((grid.shape[stacked], *count), dtype=np.float32)
    for k, plane in enumerate(np.moveaxis(np.asanyarray(image.dataobj), stacked, 0)):
        rows = _slide(plane.astype(np.float32), slides[k, 0], count[0], fill)
        data[k] = _slide(rows.T, slides[k, 1], count[1], fill).T
    return make_image(np.ascontiguousarray(np.moveaxis(data, 0, stacked)), grid.affine)


def _slide(
    plane: NDArray[np.float32], start: float, count: int, fill: float
) -> NDArray[np.float32]:
    """Interpolate ``count`` rows of ``plane``, the first at the fractional row ``start``."""
    if abs(start) < 1e-6 and count == plane.shape[0]:
        return plane
    where = np.round(start + np.arange(count), 6)
    lower = np.clip(np.floor(where).astype(int), 0, max(len(plane) - 2, 0))
    weight = (where - lower).astype(np.float32)[:, None]
    rows = plane[lower] * (1 - weight) + plane[np.minimum(lower + 1, len(plane) - 1)] * weight
    rows[(where < 0) | (where > len(plane) - 1)] = fill
    return rows

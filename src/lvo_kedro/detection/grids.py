"""Where samples lie: the published padded grid and the brain grid, and how scans are brought there.

All arrays are RAS+: the first axis grows to the patient's right on every grid made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy import ndimage

from lvo_kedro.detection.options import PUBLISHED_SHAPE, ChannelOptions
from lvo_kedro.errors import CaseError, ScanError
from lvo_kedro.imaging.boxes import box_corners, covering_box, whole_box
from lvo_kedro.imaging.geometry import Grid, grid_of, to_ras
from lvo_kedro.imaging.resampling import FWHM_PER_SIGMA, interpolate, matching_sigma, smooth

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray


def published_grid(ncct: nib.Nifti1Image) -> Grid:
    """Return the scan's own RAS+ voxels, padded evenly to 512 x 512 x 200.

    Raises:
        ScanError: The scan has more voxels than that along an axis.
    """
    grid = grid_of(to_ras(ncct))
    spare = np.subtract(PUBLISHED_SHAPE, grid.shape)
    if (spare < 0).any():
        raise ScanError(
            f"a scan of {grid.shape} voxels",
            f"at most {PUBLISHED_SHAPE} on the published grid",
            "use `grid: brain`, or resample the scan to thicker slices",
        )
    affine = grid.affine.copy()
    affine[:3, 3] = apply_affine(grid.affine, -(spare // 2))
    return Grid(PUBLISHED_SHAPE, affine)


def brain_grid(
    brain: nib.Nifti1Image, hemispheres: nib.Nifti1Image | None, options: ChannelOptions
) -> Grid:
    """Return the isotropic grid of ``options.shape`` voxels that is centred on the brain.

    The centre is the middle between the brain's 1st and 99th percentile along each axis; in the
    ``midline`` frame it lies on the plane between the hemispheres. A brain larger than the grid
    loses its rim, evenly on both ends.

    Args:
        brain: Non-zero in the brain.
        hemispheres: 1 in the patient's left, 2 in the right half; needed in the midline frame.
        options: Spacing, shape and frame.

    Raises:
        ScanError: No brain, or no two hemispheres that touch.
    """
    brain = to_ras(brain)
    rotation = _straight_axes(brain.affine)
    filled = np.argwhere(np.asarray(brain.dataobj) > 0)
    if len(filled) == 0:
        raise ScanError("an empty brain mask", "a brain", "look at the brain mask of this case")
    offset = None
    if options.frame == "midline":
        if hemispheres is None:
            raise missing("hemispheres")
        rotation, offset = _midline_axes(to_ras(hemispheres), rotation)
    along = apply_affine(brain.affine, filled[:: max(1, len(filled) // 200_000)]) @ rotation
    centre = np.percentile(along, [1, 99], axis=0).mean(axis=0)
    if offset is not None:
        centre[0] = offset
    affine = np.eye(4)
    affine[:3, :3] = rotation * options.spacing_mm
    first = centre - options.spacing_mm * (np.asarray(options.shape) - 1) / 2
    affine[:3, 3] = rotation @ first
    return Grid(options.shape, affine)


def missing(channel: str) -> CaseError:
    """Return the error for a channel that is not there."""
    return CaseError(
        f"no {channel}",
        "every configured channel",
        "run the stage that makes it, or take it out of `channels`",
    )


def _straight_axes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the right-angled axes (columns) nearest to those of an affine."""
    left, _, right = np.linalg.svd(affine[:3, :3] / voxel_sizes(affine))
    axes: NDArray[np.float64] = left @ right
    return axes


def _midline_axes(
    hemispheres: nib.Nifti1Image, rotation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Turn ``rotation`` so that its first axis is normal to the plane between the hemispheres.

    Returns:
        The axes as columns, and the plane's coordinate (mm) along the first of them.
    """
    labels = np.asarray(hemispheres.dataobj)
    left, right = labels == 1, labels == 2
    rows, columns = np.nonzero(left.any(axis=0) & right.any(axis=0))
    if len(rows) < 50:
        raise ScanError(
            f"two hemispheres side by side on {len(rows)} lines",
            "labels 1 (left) and 2 (right) that meet at the midline",
            "look at the hemispheres of this case, or use `frame: native`",
        )
    last_left = len(labels) - 1 - np.argmax(left[::-1, rows, columns], axis=0)
    first_right = np.argmax(right[:, rows, columns], axis=0)
    index = np.column_stack([(last_left + first_right) / 2, rows, columns])
    x, y, z = (apply_affine(hemispheres.affine, index) @ rotation).T
    keep = np.ones(len(x), dtype=bool)
    for _ in range(4):  # least squares without the lines where one lobe bulges over the midline
        design = np.column_stack([np.ones(len(x)), y, z])
        plane = np.linalg.lstsq(design[keep], x[keep], rcond=None)[0]
        error = np.abs(x - design @ plane)
        keep = error <= 3 * np.median(error) + 1e-6
    normal = np.array([1.0, -plane[1], -plane[2]])
    length = np.linalg.norm(normal)
    first = normal / length
    second = np.array([0.0, 1.0, 0.0]) - first[1] * first
    second /= np.linalg.norm(second)
    turned = np.column_stack([first, second, np.cross(first, second)])
    return rotation @ turned, float(plane[0] / length)


class Sampler:
    """Brings arrays of one grid onto another, without aliasing.

    Where the target is coarser, data are first smoothed to the target's resolution (see
    :func:`~lvo_kedro.imaging.resampling.matching_sigma`).

    Args:
        source: RAS+ grid of the arrays to come.
        target: Grid to sample on.
    """

    def __init__(self, source: Grid, target: Grid) -> None:
        self.target = target
        # the target's axes may be turned: its coarsest spacing counts in all directions
        self.sigma = matching_sigma(source.spacing, max(target.spacing))
        corners = box_corners(target.affine, whole_box(target.shape))
        # all that the Gaussian, which ends at three standard deviations, can bring in
        self.box = covering_box(corners, source, margin=np.ceil(3 * self.sigma) + 2)
        self.source = source.part(self.box)

    def linear(self, data: NDArray[np.generic], fill: float = 0.0) -> NDArray[np.float32]:
        """Return smoothed and linearly interpolated data; ``fill`` outside the source."""
        return self._interpolate(self._smooth(data[self.box].astype(np.float32) - fill)) + fill

    def mean_within(
        self, data: NDArray[np.generic], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the mean of the voxels inside ``mask``, and the share of the voxel they fill.

        What lies outside the mask takes no part: a thin bright vessel keeps its brightness.
        """
        weight = mask[self.box].astype(np.float32)
        total = self._interpolate(self._smooth(data[self.box].astype(np.float32) * weight))
        share = self._interpolate(self._smooth(weight))
        return np.where(share > 1e-3, total / np.maximum(share, 1e-3), 0), share

    def maximum_within(
        self, data: NDArray[np.generic], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the maximum near each voxel of the masked, smoothed data, and the mask's share."""
        weight = mask[self.box].astype(np.float32)
        smoothed = self._smooth(data[self.box].astype(np.float32) * weight)
        share = self._smooth(weight)
        density = np.where(mask[self.box], smoothed / np.maximum(share, 1e-3), 0).astype(np.float32)
        width = np.maximum(1, 2 * np.round(self.sigma * FWHM_PER_SIGMA / 2).astype(int) + 1)
        highest = ndimage.maximum_filter(density, size=tuple(width))
        return self._interpolate(highest, order=0), self._interpolate(share)

    def _smooth(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        return smooth(data, self.sigma, beyond="constant")

    def _interpolate(self, data: NDArray[np.float32], order: int = 1) -> NDArray[np.float32]:
        return interpolate(data, self.source, self.target, order)

"""Arrays of one grid brought onto a coarser or turned one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from lvo_kedro.imaging.boxes import box_corners, covering_box, whole_box
from lvo_kedro.imaging.resampling import FWHM_PER_SIGMA, interpolate, matching_sigma, smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid


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
        self.spacing = source.spacing

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

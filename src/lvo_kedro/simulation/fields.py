"""Smooth random fields over MNI space, which make borders, sulci and bone irregular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOW_MM: Final = np.array([-112.0, -144.0, -96.0], np.float32)
_SIZE_MM: Final = np.array([224.0, 256.0, 208.0])


@dataclass(frozen=True)
class SmoothField:
    """Gaussian noise of unit variance on a lattice that covers a head."""

    values: NDArray[np.float32]
    """(X, Y, Z)"""
    step_mm: float
    """Distance of the lattice points."""

    def at(self, mni: NDArray[np.float32]) -> NDArray[np.float32]:
        """Interpolate linearly at MNI positions (..., 3) in mm; returns (...)."""
        index = np.moveaxis((mni - _LOW_MM) / np.float32(self.step_mm), -1, 0)
        return np.asarray(ndimage.map_coordinates(self.values, index, order=1, mode="nearest"))


def draw_field(rng: np.random.Generator, detail_mm: float) -> SmoothField:
    """Draw a field whose bumps are about ``detail_mm`` wide (twice the standard deviation)."""
    step = detail_mm / 2
    counts = tuple(int(n) for n in np.ceil(_SIZE_MM / step) + 1)
    noise = ndimage.gaussian_filter(rng.standard_normal(counts, dtype=np.float32), 1.0)
    return SmoothField(noise / noise.std(), step)

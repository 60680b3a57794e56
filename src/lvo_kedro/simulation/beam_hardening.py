"""Beam hardening: what dense bone at the skull base does to the density of the brain beside it.

Bone takes the soft part of the spectrum, so that tissue between two dense bones is read too low:
the band between the petrous bones, streaks, and a head that is darker in the middle. Bands are
drawn between bones, in planes of constant MNI z; they are not computed from projections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.simulation.options import SimulationOptions

_PETROUS: Final = (20.0, -25.0, -39.0)
"""Medial end of the petrous bone (MNI mm, right)."""
_ANCHORS: Final = (
    # dense bone at the base, x and y (MNI mm): petrous bones, clinoids, sphenoid wings, temporal
    # squamae, occipital protuberance, frontal crest
    (24.0, -24.0), (-24.0, -24.0), (15.0, 16.0), (-15.0, 16.0), (42.0, 26.0), (-42.0, 26.0),
    (66.0, -12.0), (-66.0, -12.0), (0.0, -98.0), (0.0, 68.0),
)  # fmt: skip
_STREAK_Z_MM: Final = (-46.0, -20.0)
_HEAD_MM: Final = (75.0, 92.0)
"""Half width and half length of the head."""
_REACH: Final = 2.5
"""Bands end after this many standard deviations."""


@dataclass(frozen=True)
class Band:
    """A straight band across a plane, with Gaussian edges."""

    start: tuple[float, float]
    """x and y, MNI mm."""
    end: tuple[float, float]
    z: float
    """MNI mm."""
    width_mm: float
    """Standard deviation across the band within its plane."""
    height_mm: float
    """Standard deviation along z."""
    hu: float
    """Change of density, negative where darker."""
    slope: float = 0.0
    """How much of it shifts towards the band's end."""

    def add_to(self, hu: NDArray[np.float32], mni: NDArray[np.float32]) -> None:
        """Add the band to densities (N,) at MNI positions (N, 3) in mm."""
        near = np.flatnonzero(np.abs(mni[:, 2] - self.z) < _REACH * self.height_mm)
        start, end = np.array(self.start, np.float32), np.array(self.end, np.float32)
        length = float(np.linalg.norm(end - start))
        direction = (end - start) / np.float32(length)
        x, y = mni[near, 0] - start[0], mni[near, 1] - start[1]
        across = x * direction[1] - y * direction[0]
        kept = np.abs(across) < _REACH * self.width_mm
        near, across = near[kept], across[kept]
        along = (x[kept] * direction[0] + y[kept] * direction[1]) / np.float32(length)
        up = (mni[near, 2] - self.z) / np.float32(self.height_mm)
        profile = np.exp(-(np.square(across / np.float32(self.width_mm)) + np.square(up)) / 2)
        profile *= 1 + self.slope * np.clip(2 * along - 1, -1, 1)
        beyond = np.maximum(np.abs(along - 0.5) - 0.5, 0) * np.float32(length / 8.0)
        hu[near] += np.float32(self.hu) * profile * np.exp(-np.square(beyond))


@dataclass(frozen=True)
class BeamHardening:
    """What one scan suffers from."""

    bands: tuple[Band, ...]
    cupping_hu: float
    """Density of the head's rim above that of its middle."""
    tilt: float
    """How much of the cupping shifts to the right."""

    def add_to(self, hu: NDArray[np.float32], mni: NDArray[np.float32]) -> None:
        """Add the artefact to densities.

        Args:
            hu: (X, Y, Z), changed in place.
            mni: (X, Y, Z, 3) MNI position (mm) of every voxel.
        """
        x, y = mni[..., 0] / _HEAD_MM[0], (mni[..., 1] + 17.0) / _HEAD_MM[1]
        rim = np.minimum(x * x + y * y, 1.0)
        hu += np.float32(self.cupping_hu) * (rim - 0.5 + self.tilt * np.clip(x, -1, 1) / 2)
        low = min(band.z - _REACH * band.height_mm for band in self.bands)
        high = max(band.z + _REACH * band.height_mm for band in self.bands)
        slab = (mni[..., 2] > low) & (mni[..., 2] < high)
        values, positions = hu[slab], mni[slab]
        for band in self.bands:
            band.add_to(values, positions)
        hu[slab] = values


def draw_beam_hardening(
    rng: np.random.Generator, options: SimulationOptions
) -> BeamHardening | None:
    """Draw a scan's beam hardening.

    Args:
        rng: Random stream of this subject alone, which knows no occlusion.
        options: Strengths; None is returned if all are zero.
    """
    ranges = (options.interpetrous_hu, options.streak_hu, options.cupping_hu)
    if not any(high for _, high in ranges):
        return None
    depth, streaks, cupping = (float(rng.uniform(*limits)) for limits in ranges)
    slope, tilt = np.clip(options.beam_asymmetry * rng.standard_normal(2), -0.8, 0.8)
    y = _PETROUS[1] + rng.uniform(-4, 4)
    between = Band(
        (-_PETROUS[0], y),
        (_PETROUS[0], y + rng.uniform(-3, 3)),
        _PETROUS[2] + rng.uniform(-4, 4),
        width_mm=rng.uniform(3, 6),
        height_mm=rng.uniform(5, 9),
        hu=-depth,
        slope=float(slope),
    )
    count = int(rng.integers(4, 9))
    others = [_draw_streak(rng, streaks, options.beam_asymmetry) for _ in range(count)]
    return BeamHardening((between, *others), cupping, float(tilt))


def _draw_streak(rng: np.random.Generator, strength_hu: float, asymmetry: float) -> Band:
    """Draw a streak between two of the dense bones, dark more often than bright."""
    first, second = rng.permutation(len(_ANCHORS))[:2]
    start, end = (np.array(_ANCHORS[i]) + 3.0 * rng.standard_normal(2) for i in (first, second))
    sign = -1.0 if rng.random() < 0.7 else 0.6
    return Band(
        (float(start[0]), float(start[1])),
        (float(end[0]), float(end[1])),
        float(rng.uniform(*_STREAK_Z_MM)),
        width_mm=float(rng.uniform(1.5, 3.5)),
        height_mm=float(rng.uniform(3, 6)),
        hu=sign * strength_hu * float(rng.uniform(0.4, 1.0)),
        slope=float(np.clip(asymmetry * rng.standard_normal(), -0.8, 0.8)),
    )

"""Parts of a brain whose density changes: soft ellipsoids in MNI space, plain or irregular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, ndtri

from lvo_kedro.simulation.fields import SmoothField, draw_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.simulation.options import SimulationOptions

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Texture:
    """What makes an infarct irregular: a border that wanders, and patches that are spared."""

    border: SmoothField
    irregularity: float
    """Standard deviation of the border relative to the radius."""
    patches: SmoothField
    patchiness: float
    """Part that is spared."""

    def kept(self, mni: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return 1 in affected and 0 in spared patches at MNI positions (..., 3)."""
        if self.patchiness == 0:
            return np.ones(mni.shape[:-1], np.float32)
        return np.asarray(expit(6 * (self.patches.at(mni) - np.float32(ndtri(self.patchiness)))))


def draw_texture(rng: np.random.Generator, options: SimulationOptions) -> Texture | None:
    """Draw how a patient's infarcts are irregular; None if they are plain ellipsoids."""
    if options.lesion_irregularity == options.lesion_patchiness == 0:
        return None
    return Texture(
        draw_field(rng, 14.0), options.lesion_irregularity,
        draw_field(rng, 9.0), options.lesion_patchiness,
    )  # fmt: skip


@dataclass(frozen=True)
class Zone:
    """A soft-edged ellipsoid in MNI space, on one side only, whose density changes."""

    centre: Triple
    radii: Triple
    kind: str
    """``loss``: HU are subtracted; ``fill``: the tissue becomes ``hu``."""
    hu: float
    softness: float = 0.18
    """Width of the border relative to the radius."""
    white_share: float = 0.7
    """Loss of white matter relative to that of grey matter."""
    texture: Texture | None = None
    """None: a plain ellipsoid."""

    def weight(self, mni: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return 0 to 1 at MNI positions (..., 3)."""
        offset = (mni - np.array(self.centre, np.float32)) / np.array(self.radii, np.float32)
        level = (1.0 - np.sqrt(np.square(offset).sum(-1))) / self.softness
        if self.texture:
            near = level > -1 - 4 * self.texture.irregularity / self.softness
            shift = self.texture.irregularity / self.softness
            level[near] += shift * self.texture.border.at(mni[near])
        weight = 1.0 / (1.0 + np.exp(-np.clip(4 * level, -30, 30)))
        if self.texture:
            weight[near] *= self.texture.kept(mni[near])
        same_side = mni[..., 0] * np.sign(self.centre[0]) > 0
        return np.asarray(weight * same_side, dtype=np.float32)


def join_weights(weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the union of fuzzy sets: 1 - product of (1 - weight)."""
    rest = np.ones_like(weights[0])
    for weight in weights:
        rest = rest * (1 - weight)
    return 1 - rest

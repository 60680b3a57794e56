"""Sides of the head that differ: petalia, ventricles, sulci and bone, drawn for each patient.

Right-frontal and left-occipital petalia and the torque of the midline are the common pattern
(LeMay 1976, Annals of the New York Academy of Sciences 280; Toga and Thompson 2003, Nature Reviews
Neuroscience 4); how far each goes, and whether it is reversed, is drawn. The sizes are this
simulator's, not measured ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.simulation import template
from lvo_kedro.simulation.fields import SmoothField, draw_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.simulation.options import SimulationOptions

_FRONTAL: Final = (30.0, 58.0, 8.0)
_OCCIPITAL: Final = (-28.0, -92.0, 4.0)
_POLE_MM: Final = (22.0, 26.0, 32.0)
_SYLVIAN: Final = (44.0, 0.0, 2.0)
_SYLVIAN_MM: Final = (14.0, 24.0, 14.0)
_VENTRICLES: Final = (0.0, -8.0, 14.0)
_VENTRICLES_MM: Final = (22.0, 38.0, 20.0)
_TORQUE: Final = 0.4
"""Shift of the midline relative to the petalia beside it."""
_BONE_MM: Final = 6.0
"""Distance from the inner table over which the skull is stretched."""
_THINNEST_MM: Final = 2.5
"""No more than this is taken from the skull or added to it."""


@dataclass(frozen=True)
class Asymmetry:
    """How one patient's sides differ."""

    frontal_mm: float
    """Protrusion of the right frontal pole; negative: of the left."""
    occipital_mm: float
    """Protrusion of the left occipital pole; negative: of the right."""
    ventricles: float
    """Relative widening of the right lateral ventricle, and narrowing of the left."""
    sulci: float
    """Atrophy of the right hemisphere less that of the left, halved."""
    sylvian: tuple[float, float]
    """Atrophy about the left and the right Sylvian fissure."""
    sulci_field: SmoothField
    sulci_strength: float
    skull_mm: float
    """Bone added on the right and taken from the left."""
    skull_field: SmoothField
    skull_strength_mm: float

    def displacement(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is added to a head's coordinates.

        Args:
            points: (X, Y, Z, 3) mm with MNI's axes.

        Returns:
            (3, X, Y, Z) mm, in the sense of
            :attr:`HeadMap.displacement <lvo_kedro.simulation.HeadMap.displacement>`.
        """
        frontal, occipital = (_bump(points, pole, _POLE_MM) for pole in (_FRONTAL, _OCCIPITAL))
        field = np.zeros((3, *points.shape[:-1]))
        field[1] = self.occipital_mm * occipital - self.frontal_mm * frontal
        for protrusion, pole in ((self.frontal_mm, _FRONTAL), (self.occipital_mm, _OCCIPITAL)):
            midline = _bump(points, (0.0, pole[1], pole[2]), _POLE_MM)
            field[0] += np.sign(pole[0]) * _TORQUE * protrusion * midline
        side = np.tanh(points[..., 0] / 10.0)
        near = self.ventricles * side * _bump(points, _VENTRICLES, _VENTRICLES_MM)
        return field - np.moveaxis((points - np.array(_VENTRICLES)) * near[..., None], -1, 0)

    def extra_atrophy(self, mni: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is added to the patient's atrophy at MNI positions (..., 3) in mm."""
        extra = self.sulci * np.tanh(mni[..., 0] / 20.0)
        extra += self.sulci_strength * self.sulci_field.at(mni)
        for sign, strength in zip((-1.0, 1.0), self.sylvian, strict=True):
            extra += strength * _bump(mni, (sign * _SYLVIAN[0], *_SYLVIAN[1:]), _SYLVIAN_MM)
        return np.asarray(extra, dtype=np.float32)

    def bone_positions(self, mni: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return where skull and scalp are to be read for MNI positions (..., 3) in mm.

        The vault is stretched or pressed from its inner table outwards; what lies within, and
        the skull base, stays.
        """
        thicker = self.skull_mm * np.tanh(mni[..., 0] / 30.0)
        thicker = thicker + self.skull_strength_mm * self.skull_field.at(mni)
        vault = np.clip((mni[..., 2] + 20.0) / 20.0, 0, 1)
        share = np.clip(template.inner_skull_distance(mni) / _BONE_MM, 0, 1)
        moved = np.clip(thicker, -_THINNEST_MM, _THINNEST_MM) * vault * share
        outwards = mni - template.CENTRE
        outwards = outwards / np.maximum(np.linalg.norm(outwards, axis=-1, keepdims=True), 1.0)
        return np.asarray(mni - moved[..., None] * outwards, dtype=np.float32)


def draw_asymmetry(rng: np.random.Generator, options: SimulationOptions) -> Asymmetry | None:
    """Draw how a patient's sides differ.

    Args:
        rng: Random stream of this subject alone.
        options: Strengths; None is returned if all are zero.
    """
    strengths = (options.ventricle_asymmetry, options.sulcal_asymmetry, options.skull_asymmetry_mm)
    if not any((*options.petalia_mm, *strengths)):
        return None
    frontal, occipital = rng.uniform(*options.petalia_mm, 2)
    ventricles, sulci, left, right, skull = np.clip(rng.standard_normal(5), -2, 2)
    return Asymmetry(
        frontal_mm=float(frontal),
        occipital_mm=float(occipital),
        ventricles=float(ventricles) * options.ventricle_asymmetry,
        sulci=float(sulci) * options.sulcal_asymmetry / 2,
        sylvian=(2 * left * options.sulcal_asymmetry, 2 * right * options.sulcal_asymmetry),
        sulci_field=draw_field(rng, 30.0),
        sulci_strength=options.sulcal_asymmetry,
        skull_mm=float(skull) * options.skull_asymmetry_mm,
        skull_field=draw_field(rng, 60.0),
        skull_strength_mm=options.skull_asymmetry_mm,
    )


def _bump(
    points: NDArray[np.floating],
    centre: tuple[float, float, float],
    size_mm: tuple[float, float, float],
) -> NDArray[np.floating]:
    """Return a Gaussian of height one at points (..., 3)."""
    offset = (points - np.array(centre, points.dtype)) / np.array(size_mm, points.dtype)
    return np.asarray(np.exp(-np.square(offset).sum(-1) / 2))

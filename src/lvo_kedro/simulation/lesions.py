"""What is wrong with a simulated brain, as fields over MNI positions and spots in the scan.

The territory here is the simulator's own; the priors' atlas does not know it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.simulation.template import tissue_points
from lvo_kedro.simulation.zones import Triple, Zone, draw_texture, join_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.simulation.arteries import Artery
    from lvo_kedro.simulation.options import SimulationOptions
    from lvo_kedro.vocabulary import SegmentClass, Side

_DEEP: Final = ((27.0, 0.0, 4.0), (12.0, 22.0, 15.0))
_SUPERIOR: Final = ((50.0, 8.0, 26.0), (24.0, 36.0, 30.0))
_INFERIOR: Final = ((55.0, -33.0, 6.0), (22.0, 34.0, 27.0))
_ANTERIOR: Final = ((8.0, 38.0, 32.0), (12.0, 32.0, 28.0))
TERRITORY: Final = (_DEEP, _SUPERIOR, _INFERIOR)
"""Centres and radii (MNI mm, right side) of the ellipsoids that make the MCA territory."""

_OLD_INFARCT_SITES: Final[tuple[tuple[Triple, float], ...]] = (
    # centre on the right (MNI mm), typical radius (mm)
    ((14.0, -82.0, 6.0), 12.0),  # posterior cerebral artery
    ((10.0, 45.0, 30.0), 10.0),  # anterior cerebral artery
    ((28.0, -66.0, -36.0), 11.0),  # cerebellum
    ((44.0, -62.0, 34.0), 10.0),  # posterior border zone
    ((36.0, 36.0, 32.0), 9.0),  # anterior border zone
    ((14.0, -16.0, 8.0), 4.0),  # thalamus
    ((26.0, 4.0, 4.0), 4.0),  # putamen
    ((24.0, -8.0, 26.0), 4.5),  # corona radiata
)


_BORDER_ZONES: Final[tuple[Triple, ...]] = (
    (44.0, -62.0, 34.0), (36.0, 36.0, 32.0), (26.0, 2.0, 34.0), (28.0, -38.0, 32.0),
)  # fmt: skip
"""Between the territories (MNI mm, right): posterior, anterior, and two in white matter."""
_IN_BORDER_ZONE: Final = 0.3
"""Part of the lesions anywhere that lie in a border zone."""


def _on(side: Side, centre: Triple) -> Triple:
    return (-centre[0] if side == "left" else centre[0], centre[1], centre[2])


def mca_territory(mni: NDArray[np.float32], side: Side | None = None) -> NDArray[np.float32]:
    """Return how far MNI positions (..., 3) belong to the territory, 0 to 1; None is both sides."""
    sides: tuple[Side, ...] = (side,) if side else ("left", "right")
    return join_weights(
        [
            Zone(_on(s, centre), radii, "loss", 0.0).weight(mni)
            for s in sides
            for centre, radii in TERRITORY
        ]
    )


def draw_ischaemia(
    rng: np.random.Generator,
    shape: np.random.Generator,
    options: SimulationOptions,
    *,
    side: Side,
    segment: SegmentClass,
    branch: str,
) -> list[Zone]:
    """Draw the fresh infarct of an occlusion: the part of the territory behind the clot.

    ``shape`` is the random stream of its visibility, place and texture.
    """
    loss = rng.uniform(*options.hypodensity_hu)
    part = rng.uniform(*options.territory_part)
    proximal, anterior = rng.random() < 0.5, rng.random() < 0.25
    cortical = [_INFERIOR] if branch == "M2 inferior" else [_SUPERIOR]
    if segment not in ("M2", "M1+M2"):
        cortical = [_SUPERIOR, _INFERIOR]
    deep = segment.startswith("C7") or (segment.startswith("M1") and proximal)
    zones = cortical + ([_DEEP] if deep else [])
    zones += [_ANTERIOR] if segment.startswith("C7") and anterior else []
    if shape.random() < options.invisible_infarct:
        return []
    texture = draw_texture(shape, options)
    infarct = []
    for centre, radii in zones:
        place = _scattered(shape, centre, radii, options.infarct_scatter * (1 - np.cbrt(part)))
        zone = _jittered(rng, side, (place, radii), part, loss)
        infarct.append(replace(zone, white_share=options.white_matter_loss, texture=texture))
    return infarct


def _scattered(rng: np.random.Generator, centre: Triple, radii: Triple, reach: float) -> Triple:
    """Return any place of an ellipsoid that is ``reach`` times as large."""
    direction = rng.standard_normal(3)
    away = np.cbrt(rng.random()) * reach * direction / np.linalg.norm(direction)
    return _triple(np.array(centre) + np.array(radii) * away)


def _jittered(
    rng: np.random.Generator, side: Side, place: tuple[Triple, Triple], part: float, loss: float
) -> Zone:
    centre, radii = place
    x, y, z = np.array(centre) + 3.0 * rng.standard_normal(3)
    a, b, c = np.array(radii) * np.cbrt(part) * rng.uniform(0.9, 1.1, 3)
    return Zone(_on(side, (x, y, z)), (a, b, c), "loss", loss)


def draw_distractors(
    rng: np.random.Generator, shape: np.random.Generator, options: SimulationOptions
) -> list[Zone]:
    """Draw old infarcts and a small fresh one: independent of any occlusion."""
    zones = (
        _draw_anywhere(rng, options) if options.lesions_anywhere else _draw_at_sites(rng, options)
    )
    texture = draw_texture(shape, options)
    return [replace(z, white_share=options.white_matter_loss, texture=texture) for z in zones]


def _draw_anywhere(rng: np.random.Generator, options: SimulationOptions) -> list[Zone]:
    count = int(rng.integers(1, 3)) * int(rng.random() < options.old_infarct)
    zones = [
        _blob(rng, float(np.exp(rng.uniform(np.log(4), np.log(18)))), "fill", rng.uniform(10, 18))
        for _ in range(count)
    ]
    fresh = _blob(rng, rng.uniform(7, 18), "loss", rng.uniform(2, 8))
    return zones + ([fresh] if rng.random() < options.mimic else [])


def _blob(rng: np.random.Generator, size_mm: float, kind: str, hu: float) -> Zone:
    """Draw a lesion at any place of the brain, or in a border zone."""
    places = tissue_points()
    anywhere = places[int(rng.integers(len(places)))]
    centre = np.array(_BORDER_ZONES[int(rng.integers(len(_BORDER_ZONES)))])
    centre = (centre + 4.0 * rng.standard_normal(3)) * [rng.choice([-1.0, 1.0]), 1, 1]
    if rng.random() >= _IN_BORDER_ZONE:
        centre = anywhere
    return Zone(_triple(centre), _triple(size_mm * rng.uniform(0.6, 1.5, 3)), kind, hu)


def _draw_at_sites(rng: np.random.Generator, options: SimulationOptions) -> list[Zone]:
    zones = []
    count = int(rng.integers(1, 3)) * int(rng.random() < options.old_infarct)
    for centre, size in [_OLD_INFARCT_SITES[i] for i in rng.permutation(8)[:count]]:
        side: Side = "left" if rng.random() < 0.5 else "right"
        radii = size * rng.uniform(0.7, 1.2, 3)
        zones.append(Zone(_on(side, centre), _triple(radii), "fill", rng.uniform(10, 18)))
    side = "left" if rng.random() < 0.5 else "right"
    chosen = (_SUPERIOR, _INFERIOR, _DEEP)[int(rng.integers(3))]
    loss = rng.uniform(2, 6)
    small = _jittered(rng, side, chosen, 0.15, loss)
    return zones + ([small] if rng.random() < options.mimic else [])


def _triple(values: NDArray[np.float64]) -> Triple:
    return (float(values[0]), float(values[1]), float(values[2]))


def haematoma(side: Side, volume_ml: float) -> Zone:
    """Return a deep haematoma of the given volume in MNI space."""
    radius = (3 * volume_ml * 1000 / (4 * np.pi * 1.4)) ** (1 / 3)
    return Zone(_on(side, (30.0, -4.0, 8.0)), (radius, 1.4 * radius, radius), "fill", 65.0, 0.08)


@dataclass(frozen=True)
class Calcification:
    """A small calcified plaque."""

    centre: NDArray[np.float64]
    """(3,) world mm."""
    radius: float
    """mm"""
    hu: float


def draw_calcifications(
    rng: np.random.Generator, arteries: list[Artery], options: SimulationOptions
) -> list[Calcification]:
    """Draw plaques on the walls of the carotid arteries; the lumen stays free."""
    plaques = []
    for artery in arteries:
        present, count = rng.random() < options.calcification, int(rng.integers(1, 4))
        if artery.name != "C7":
            continue
        for _ in range(count):
            at = int(rng.integers(0, len(artery.points) // 2))
            direction = rng.standard_normal(3)
            radius, hu = rng.uniform(0.5, 0.9), rng.uniform(200, 450)
            away = direction / np.linalg.norm(direction) * (artery.radius[at] + radius)
            if present:
                plaques.append(Calcification(artery.points[at] + away, radius, hu))
    return plaques

"""What lies where: the densities of a head on a grid, and the truth about its brain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from lvo_kedro.simulation import arteries as vessel_tree
from lvo_kedro.simulation import lesions, template
from lvo_kedro.simulation.head import HeadMap, fill_lattice
from lvo_kedro.simulation.zones import Zone, join_weights
from lvo_kedro.vocabulary import HEMISPHERES, Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.simulation.asymmetry import Asymmetry

EVERY: Final = 4
"""Smooth maps are computed at every fourth voxel and interpolated."""
_SULCI: Final = 0.45
"""Part of tissue below which a voxel of a brain of atrophy 1 is all fluid."""
_WIDEST: Final = 1.2
"""Largest local atrophy."""


def _sample(
    values: NDArray[np.float32], index: NDArray[np.float32], fill: float = 0.0
) -> NDArray[np.float32]:
    """Interpolate linearly at template indices (..., 3)."""
    coordinates = np.moveaxis(index, -1, 0)
    if np.isnan(fill):
        return ndimage.map_coordinates(values, coordinates, order=1, mode="nearest")
    return ndimage.map_coordinates(values, coordinates, order=1, mode="constant", cval=fill)


def render_tissue(
    head: HeadMap,
    grid: Grid,
    zones: list[Zone],
    *,
    atrophy: float,
    opened: Side | None = None,
    asymmetry: Asymmetry | None = None,
) -> NDArray[np.float32]:
    """Return true densities (X, Y, Z; HU) of everything but vessels and plaques.

    Args:
        head: Where the head lies on ``grid``.
        grid: The planes that are scanned.
        zones: What is wrong with the brain.
        atrophy: 0 to 1, the whole brain's.
        opened: Side over which the skull is missing.
        asymmetry: How sulci and bone differ from place to place.
    """
    maps = template.load_head_template()
    lattice = head.on_lattice(grid, EVERY)
    mni = bone = fill_lattice(lattice, grid.shape, EVERY)
    if asymmetry:
        bone = fill_lattice(asymmetry.bone_positions(lattice), grid.shape, EVERY)
    hu = _sample(maps.surroundings, bone - maps.origin, fill=np.nan)
    if opened:
        _open_skull(hu, mni, opened)
    inside = np.abs(hu - template.CSF_HU) < 25  # the rest holds no brain: two thirds of the work
    local: float | NDArray[np.float32] = atrophy
    if asymmetry:
        extra = fill_lattice(asymmetry.extra_atrophy(lattice), grid.shape, EVERY)[inside]
        local = np.clip(np.float32(atrophy) + extra, 0, _WIDEST)
    hu[inside] = _brain_density(mni[inside], hu[inside], _SULCI * local, zones)
    return hu


def _brain_density(
    mni: NDArray[np.float32],
    fluid: NDArray[np.float32],
    least: float | NDArray[np.float32],
    zones: list[Zone],
) -> NDArray[np.float32]:
    """Return the density of places (N,) with tissue and ``fluid``.

    Less tissue than ``least`` counts as none: sulci widen.
    """
    maps = template.load_head_template()
    grey, white = _sample(maps.grey, mni - maps.origin), _sample(maps.white, mni - maps.origin)
    tissue = np.maximum(grey + white, 1e-3)
    kept = np.clip((tissue - least) / (1 - least), 0, 1) / tissue
    grey, white = grey * kept, white * kept
    values = grey * template.GREY_HU + white * template.WHITE_HU + (1 - grey - white) * fluid
    for zone in zones:
        weight = zone.weight(mni)
        if zone.kind == "loss":
            values -= weight * zone.hu * (grey + zone.white_share * white)
        else:
            values += weight * (zone.hu - values)
    return np.asarray(values)


def _open_skull(hu: NDArray[np.float32], mni: NDArray[np.float32], side: Side) -> None:
    x = -65.0 if side == "left" else 65.0
    window = Zone((x, -5.0, 38.0), (45.0, 62.0, 42.0), "fill", 0.0).weight(mni) > 0.5
    hu[window & (hu > 120)] = template.SOFT_TISSUE_HU


def paint_plaques(
    hu: NDArray[np.float32], grid: Grid, plaques: list[lesions.Calcification]
) -> None:
    """Draw plaques into ``hu`` (X, Y, Z on ``grid``)."""
    edge = float(np.mean(grid.spacing))
    for plaque in plaques:
        index, distance, _ = vessel_tree.near_points(
            grid, plaque.centre[None], plaque.radius + edge
        )
        share = np.clip((plaque.radius - distance) / edge + 0.5, 0, 1)
        hu[index] += share * (plaque.hu - hu[index])


def known_truth(mni: NDArray[np.float32], ischaemia: list[Zone]) -> dict[str, NDArray[np.generic]]:
    """Return what is known of the brain, as (X, Y, Z) arrays.

    Args:
        mni: (X, Y, Z, 3) MNI position (mm) of every voxel of the scan.
        ischaemia: The occlusion's fresh infarct.
    """
    maps = template.load_head_template()
    brain = _sample(maps.brain, mni - maps.origin) > 0.5
    sides = np.where(mni[..., 0] < 0, HEMISPHERES["left"], HEMISPHERES["right"])
    territory = np.zeros(brain.shape, np.float32)
    territory[brain] = lesions.mca_territory(mni[brain])
    infarct = np.zeros(brain.shape, np.uint8)
    if ischaemia:
        weights = join_weights([zone.weight(mni[brain]) for zone in ischaemia])
        infarct[brain] = weights > 0.5
    return {
        "brain_mask": brain.astype(np.uint8),
        "hemispheres": np.where(brain, sides, 0).astype(np.uint8),
        "infarct_mask": infarct,
        "territory_probability": territory,
    }

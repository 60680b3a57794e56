"""A head with arteries, territory and an infarct on a known side, on any grid."""

from __future__ import annotations

import numpy as np

from lvo_kedro.features import SideFeatures, measure_sides
from lvo_kedro.imaging.geometry import grid_of, make_image, world_axis
from lvo_kedro.vocabulary import HEMISPHERES

from ..localization.conftest import Head, draw_head, grid_with

QUALITY = {"brain_median_hu": 32.0, "noise_hu": 4.0, "slice_thickness_mm": 2.0, "child": None}


def maps_of(
    head: Head, infarct: str = "", seed: int = 0, at: tuple[float, float, float] = (45, 10, 15)
) -> dict:
    """Priors of a head; the infarct is a ball of 12 mm about ``at`` (right side), 6 HU darker."""
    grid = head.hemispheres
    x, y, z = (world_axis(grid_of(head.ncct), axis).astype(float) for axis in range(3))
    sides = np.asarray(grid.dataobj)
    difference = np.random.default_rng(seed).normal(0, 1, grid.shape)
    for sign, side in ((-1, "left"), (1, "right")):
        ball = (x - sign * at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2 < 12**2
        if infarct:
            difference = difference + np.where(ball, -6.0 if side == infarct else 6.0, 0)
    territory = (np.abs(x) > 15) & (np.abs(x) < 65) & (np.abs(y) < 45) & (np.abs(z) < 35)
    images = {
        "territory_probability": territory.astype(np.float32) + np.zeros(grid.shape, np.float32),
        "signed_difference": difference.astype(np.float32),
    }
    made = {name: make_image(data, grid.affine) for name, data in images.items()}
    assert set(np.unique(sides)) <= {0, *HEMISPHERES.values()}
    return made | {"hemispheres": grid}


def measured(
    segments: tuple[str, ...] = (),
    side: str = "left",
    *,
    seed: int = 0,
    axes: str = "RAS",
    infarct: str = "",
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> SideFeatures:
    """Features of a head with noise."""
    head = draw_head(grid_with(axes, spacing=(2.0, 2.0, 2.0), turn=turn), segments, side)
    noise = np.random.default_rng(seed).normal(0, 4, head.ncct.shape)
    ncct = make_image((np.asarray(head.ncct.dataobj) + noise).astype(np.float32), head.ncct.affine)
    brain = make_image((np.asarray(head.hemispheres.dataobj) > 0).astype(np.uint8), ncct.affine)
    return measure_sides(ncct, head.vessels, brain, maps_of(head, infarct, seed), quality=QUALITY)

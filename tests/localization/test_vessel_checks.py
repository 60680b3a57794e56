"""Sides of vessel labels, and what is not plausible about them."""

from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import midplane_of
from lvo_kedro.localization import check_vessels, split_by_side

from .conftest import ORIENTATIONS, draw_head, grid_with


@pytest.mark.parametrize("axes", ORIENTATIONS[::5])
def test_sides_come_from_the_world(axes: str) -> None:
    head = draw_head(grid_with(axes, turn=(0, 0, 6)), (), "left")
    sides = split_by_side(head.vessels, head.hemispheres)
    for side, sign in (("left", -1), ("right", 1)):
        index = np.argwhere(np.asarray(sides[side].dataobj) > 0)
        x = (index @ head.vessels.affine[:3, :3].T + head.vessels.affine[:3, 3])[:, 0]
        assert (np.sign(x) == sign).all()


def test_plausibility() -> None:
    head = draw_head(grid_with(), ())
    plane = midplane_of(head.hemispheres)
    assert check_vessels(head.vessels, plane) == []
    data = np.asarray(head.vessels.dataobj).copy()
    left = np.asarray(split_by_side(head.vessels, plane)["left"].dataobj)
    data[left == 2] = 0
    assert check_vessels(make_image(data, head.vessels.affine), plane) == ["left M1 not found"]
    data[data == 0] = 3
    assert any("ml" in f for f in check_vessels(make_image(data, head.vessels.affine), plane))

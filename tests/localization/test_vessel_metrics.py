from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.localization import check_vessels, measure_vessels, midplane_of, split_by_side

from .conftest import ORIENTATIONS, draw_head, grid_with


def tube(shift: int = 0, length: int = 30, spacing=(1.0, 1.0, 1.0)):
    data = np.zeros((40, 20, 20), dtype=np.uint8)
    data[5 : 5 + length, 8 + shift : 13 + shift, 8:13] = 1
    return make_image(data, np.diag([*spacing, 1.0]))


def row(found, truth):
    return measure_vessels(found, truth, {"M1": 1}).iloc[0]


def test_perfect_agreement() -> None:
    result = row(tube(), tube())
    assert result["dice"] == result["cldice"] == 1
    assert result["hd95_mm"] == result["msd_mm"] == result["volume_error"] == 0
    assert not result["missing"]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 2.5, 1.0)])
def test_a_shifted_tube(spacing) -> None:
    result = row(tube(1, spacing=spacing), tube(spacing=spacing))
    assert result["dice"] == pytest.approx(0.8)
    assert result["cldice"] == pytest.approx(1)  # the centre line is still inside
    assert result["hd95_mm"] == pytest.approx(spacing[1])
    assert 0 < result["msd_mm"] < spacing[1]
    assert result["volume_error"] == 0


def test_half_a_tube() -> None:
    result = row(tube(length=15), tube())
    assert result["dice"] == pytest.approx(2 / 3)
    assert result["volume_error"] == pytest.approx(-0.5)
    assert result["hd95_mm"] > 10


def test_missing_and_absent_labels() -> None:
    empty = make_image(np.zeros((40, 20, 20), dtype=np.uint8), np.eye(4))
    result = row(empty, tube())
    assert result["missing"]
    assert result["dice"] == 0
    assert np.isnan(result["hd95_mm"])
    assert result["volume_error"] == -1
    nothing = row(empty, empty)
    assert np.isnan(nothing["dice"])
    assert not nothing["missing"]


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

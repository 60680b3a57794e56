"""A plane shows the patient's left on the viewer's right, however the image is stored."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lvo_kedro.imaging.geometry import Grid, make_image, world_axis
from lvo_kedro.imaging.planes import WORLD_AXES, level_of, view_of
from lvo_kedro.imaging.resampling import resample

ORIENTATIONS = [
    np.column_stack([axes, signs])
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
AFFINE = np.array([[2.0, 0, 0, -70], [0, 2.5, 0, -90], [0, 0, 4, -50], [0, 0, 0, 1]])
SHAPE = (71, 73, 26)
CENTRE = np.array([-40.0, 30.0, 22.0])  # the patient's left, front, high
HALF = np.array([11.0, 13.0, 9.0])


def marked(affine=AFFINE, shape=SHAPE):
    """A body of 20 HU with a bright block in the left upper front, drawn by world coordinates."""
    grid = Grid(shape, np.asarray(affine))
    world = [world_axis(grid, axis) for axis in range(3)]
    inside = np.ones(shape, dtype=bool)
    body = np.ones(shape, dtype=bool)
    for x, centre, half in zip(world, CENTRE, HALF, strict=True):
        inside &= np.abs(x - centre) <= half
        body &= np.abs(x) <= 65
    return make_image(np.where(inside, 80, np.where(body, 20, -1000)).astype(np.int16), affine)


def oblique():
    """The same body on a grid turned about all three axes."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (20, -10, 15), degrees=True).as_matrix() * 2.0
    affine[:3, 3] = -affine[:3, :3] @ np.array([50.0, 50, 50])
    return marked(affine, (101, 101, 101))


def place_of_mark(view, pixels):
    """World mm across and up of the bright block, from where its pixels stand in the picture."""
    rows, columns = np.nonzero(pixels > 60)
    left, right, bottom, top = view.extent
    count = pixels.shape
    return (
        left + (right - left) * (columns.mean() + 0.5) / count[1],
        top + (bottom - top) * (rows.mean() + 0.5) / count[0],
    )


@pytest.mark.parametrize("plane", WORLD_AXES)
@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=lambda o: "".join(map(str, o.ravel())))
def test_all_48_array_orders_give_the_same_picture(plane, orientation):
    image = marked()
    through = WORLD_AXES[plane][2]
    view = view_of(image, plane, CENTRE[through])
    stored = image.as_reoriented(orientation)
    again = view_of(stored, plane, CENTRE[through])
    assert again.grid.shape == view.grid.shape
    np.testing.assert_allclose(again.extent, view.extent, atol=1e-4)
    assert again.letters == view.letters
    pixels = again.sample(stored, fill=-1000)
    np.testing.assert_allclose(pixels, view.sample(image, fill=-1000), atol=0.5)
    rows, columns = np.nonzero(pixels > 60)
    middle = (np.array(pixels.shape) - 1) / 2
    # in the picture: high up, and on the viewer's right (left of him in the sagittal plane)
    assert rows.max() < middle[0]
    side = "left" if plane == "sagittal" else "right"
    assert columns.max() < middle[1] if side == "left" else columns.min() > middle[1]
    assert again.letters[side] == {"axial": "L", "coronal": "L", "sagittal": "A"}[plane]
    assert again.letters["top"] == {"axial": "A", "coronal": "S", "sagittal": "S"}[plane]


@pytest.mark.parametrize("plane", WORLD_AXES)
@pytest.mark.parametrize("make", [marked, oblique])
def test_the_mark_stands_at_its_world_coordinates(plane, make):
    image = make()
    across, up, through = WORLD_AXES[plane]
    view = view_of(image, plane, CENTRE[through])
    found = place_of_mark(view, view.sample(image, fill=-1000))
    np.testing.assert_allclose(found, CENTRE[[across, up]], atol=1.5)


def test_an_oblique_scan_gives_the_picture_of_a_straight_one():
    view = view_of(marked(), "axial", CENTRE[2])
    straight, turned = (view.sample(image, fill=-1000) for image in (marked(), oblique()))
    inside = (straight > 0) & (turned > 0)
    assert inside.mean() > 0.6
    assert ((straight > 50) == (turned > 50))[inside].mean() > 0.97


def test_values_on_the_scans_own_grid_are_kept():
    affine = np.diag([2.0, 2.0, 4.0, 1.0])
    data = np.random.default_rng(0).integers(0, 100, (9, 11, 5)).astype(np.int16)
    image = make_image(data, affine)
    view = view_of(image, "axial", 8.0)
    np.testing.assert_allclose(view.sample(image), data[::-1, ::-1, 2].T, atol=1e-3)


def test_a_view_can_be_of_what_is_marked_alone():
    image = marked()
    block = make_image(np.asarray(image.dataobj) > 60, image.affine)
    view = view_of(block, "coronal", marked_only=True, margin=10.0)
    across, up, through = WORLD_AXES["coronal"]
    assert view.at == pytest.approx(CENTRE[through], abs=2.5)
    np.testing.assert_allclose(view.low, (CENTRE - HALF)[[across, up]] - 10, atol=4)
    np.testing.assert_allclose(view.high, (CENTRE + HALF)[[across, up]] + 10, atol=4)


def test_nothing_marked_is_no_view():
    with pytest.raises(ValueError, match="nothing is marked"):
        view_of(make_image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), marked_only=True)


@pytest.mark.parametrize("make", [marked, oblique])
def test_the_level_of_a_mark_is_in_world_mm(make):
    image = make()
    block = make_image((np.asarray(image.dataobj) > 60).astype(np.uint8), image.affine)
    assert abs(level_of(block) - CENTRE[2]) <= HALF[2]
    assert level_of(make_image(np.zeros((3, 3, 3), np.uint8), np.eye(4))) is None


def test_another_grid_lies_in_the_same_place():
    image = marked()
    coarse = resample(image, Grid((30, 30, 30), np.diag([5.0, 5, 5, 1]) + np.array(
        [[0, 0, 0, -75], [0, 0, 0, -75], [0, 0, 0, -75], [0, 0, 0, 0]])), order=0)  # fmt: skip
    view = view_of(image, "axial", CENTRE[2])
    found = place_of_mark(view, view.sample(coarse, order=0))
    np.testing.assert_allclose(found, CENTRE[:2], atol=3)

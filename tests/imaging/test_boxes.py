"""Boxes of masks, and where they lie on other grids."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.imaging.boxes import bounding_box, box_corners, covering_box, whole_box
from lvo_kedro.imaging.geometry import Grid

OBLIQUE = np.array([[0.9, -0.4, 0.0, 12], [0.5, 0.8, 0.3, -7], [0.1, -0.2, 2.9, 30], [0, 0, 0, 1]])


def mask(*, order: str = "C") -> np.ndarray:
    filled = np.zeros((9, 8, 7), dtype=bool, order=order)
    filled[2, 3, 1] = filled[5, 0, 4] = True
    return filled


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_box_is_the_smallest_that_holds_the_mask(order: str) -> None:
    assert bounding_box(mask(order=order)) == (slice(2, 6), slice(0, 4), slice(1, 5))


def test_a_margin_ends_at_the_array() -> None:
    assert bounding_box(mask(), margin=2) == (slice(0, 8), slice(0, 6), slice(0, 7))
    assert bounding_box(mask(), (0, 9, 1)) == (slice(2, 6), slice(0, 8), slice(0, 6))


def test_nothing_has_no_box() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        bounding_box(np.zeros((2, 3, 4), dtype=bool))


def test_corners_are_voxel_centres_in_the_world() -> None:
    box = (slice(2, 6), slice(0, 4), slice(1, 5))
    corners = box_corners(OBLIQUE, box, margin=0.5)
    index = apply_affine(np.linalg.inv(OBLIQUE), corners)
    assert index.shape == (8, 3)
    np.testing.assert_allclose(index.min(axis=0), [1.5, -0.5, 0.5])
    np.testing.assert_allclose(index.max(axis=0), [5.5, 3.5, 4.5])


def test_a_box_covers_its_own_corners_and_no_more() -> None:
    grid = Grid((9, 8, 7), OBLIQUE)
    box = bounding_box(mask())
    assert covering_box(box_corners(OBLIQUE, box), grid) == box
    wider = (slice(1, 7), slice(0, 5), slice(0, 6))
    assert covering_box(box_corners(OBLIQUE, box), grid, margin=1) == wider
    assert covering_box(box_corners(OBLIQUE, box, margin=0.1), grid) == wider


def test_every_point_lies_between_centres_of_the_covering_box() -> None:
    grid = Grid((60, 50, 40), np.diag([2.0, 2.0, 3.0, 1.0]) - 10 * np.eye(4, k=3))
    points = box_corners(OBLIQUE, (slice(10, 30), slice(40, 60), slice(2, 9)))
    box = covering_box(points, grid)
    ends = box_corners(grid.affine, box)
    assert (points >= ends.min(axis=0) - 1e-6).all()
    assert (points <= ends.max(axis=0) + 1e-6).all()


def test_points_beyond_a_grid_give_its_nearest_voxels() -> None:
    grid = Grid((4, 5, 6), np.eye(4))
    far = np.array([[-20.0, 2.0, 99.0]])
    assert covering_box(far, grid) == (slice(0, 1), slice(2, 3), slice(5, 6))


def test_part_of_a_grid_keeps_its_voxels_in_place() -> None:
    grid = Grid((9, 8, 7), OBLIQUE)
    box = bounding_box(mask())
    part = grid.part(box)
    assert part.shape == (4, 4, 4)
    there = apply_affine(grid.affine, [3, 2, 4])
    np.testing.assert_allclose(apply_affine(part.affine, [1, 2, 3]), there)
    assert grid.part(whole_box(grid.shape)).shape == grid.shape

"""The rules of the difference map, on values known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.imaging.geometry import Grid, make_image
from lvo_kedro.priors.asymmetry import apply_rules, median_in_mm, signed_difference
from lvo_kedro.priors.engine import grid_points
from lvo_kedro.priors.grids import change_grid
from lvo_kedro.priors.options import DifferenceOptions


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (30.0, 36.0, -6.0),
        (36.0, 30.0, 6.0),
        (14.9, 36.0, 0.0),  # fluid here
        (36.0, 14.9, 0.0),  # fluid there
        (15.0, 36.0, -21.0),
        (36.0, 0.0, 0.0),  # outside the brain there
        (110.0, 35.0, 0.0),  # calcified
        (105.0, 35.0, 70.0),
        (35.0, 110.0, 0.0),
    ],
)
def test_rules(here, there, expected):
    one = np.full((1, 1, 1), here, dtype=np.float32)
    other = np.full((1, 1, 1), there, dtype=np.float32)
    assert apply_rules(one, other, DifferenceOptions())[0, 0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(("spacing", "size"), [(0.5, 11), (1.0, 5), (1.5, 3), (2.0, 3), (6.0, 1)])
def test_median_is_in_mm(spacing, size):
    values = np.zeros((15, 15, 15), dtype=np.float32)
    half = size // 2
    values[7 - half : 8 + half, 7 - half : 8 + half, 7 - half : 8 + half] = 1.0
    kept = median_in_mm(values, spacing, 5.0)
    assert kept[7, 7, 7] == 1.0
    if half:  # a cube one voxel smaller in each direction does not survive
        values[:] = 0.0
        values[7 - half : 7 + half, 7 - half : 7 + half, 7 - half : 7 + half] = 1.0
        lost = (2 * half) ** 3 < size**3 / 2
        assert (median_in_mm(values, spacing, 5.0)[7, 7, 7] == 0.0) == lost


def mirrored_difference(left: float, right: float):
    """Difference map of two plain half balls that meet at x = 0."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -39.0
    grid = Grid((40, 40, 40), affine)
    points = grid_points(grid)
    brain = np.linalg.norm(points, axis=0) < 34
    values = np.where(points[0] < 0, left, right).astype(np.float32)
    counterpart = points * np.array([-1, 1, 1], dtype=np.float32).reshape(3, 1, 1, 1)
    scan = make_image(np.where(brain, values, -1000).astype(np.float32), affine)
    mask = make_image(brain, affine)
    signed, found = signed_difference(scan, mask, counterpart, grid, DifferenceOptions())
    signed = change_grid(signed, found, grid)
    inner = np.linalg.norm(points, axis=0) < 26
    far = np.abs(points[0]) > 8
    return signed, (points[0] < 0) & inner & far, (points[0] > 0) & inner & far, brain


def test_both_sides_are_covered_with_opposite_signs():
    signed, left, right, brain = mirrored_difference(28.0, 36.0)
    np.testing.assert_allclose(signed[left], -8.0, atol=0.01)
    np.testing.assert_allclose(signed[right], 8.0, atol=0.01)
    assert np.abs(signed[~brain]).max() < 8.01


def test_fluid_on_one_side_is_zero_on_both():
    signed, left, right, _ = mirrored_difference(10.0, 36.0)
    assert not signed[left].any() and not signed[right].any()

"""The rules of the difference map, on values known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.errors import RegistrationError
from lvo_kedro.imaging.geometry import Grid, make_image
from lvo_kedro.imaging.resampling import change_grid
from lvo_kedro.priors import load_atlas
from lvo_kedro.priors.asymmetry import (
    apply_rules,
    average_blocks,
    find_counterparts,
    median_in_mm,
    signed_difference,
)
from lvo_kedro.priors.engine import grid_points, sample
from lvo_kedro.priors.options import DifferenceOptions
from lvo_kedro.priors.registration import align, prepare_atlas, prepare_scan
from tests.priors.phantoms import COARSE, make_phantom


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


@pytest.mark.parametrize(
    ("spacing", "edge_mm", "size"),
    [
        ((0.5, 0.5, 0.5), 4.5, (9, 9, 9)),
        ((1.0, 1.0, 1.0), 5.0, (5, 5, 5)),
        ((1.0, 1.0, 1.0), 3.0, (3, 3, 3)),
        ((0.5, 1.0, 5.0), 4.5, (9, 5, 3)),  # thick slices: still a 3D median
        ((6.0, 6.0, 6.0), 5.0, (3, 3, 3)),
    ],
)
def test_median_is_in_mm(spacing, edge_mm, size):
    grid = Grid((21, 21, 21), np.diag([*spacing, 1.0]))
    values = np.random.default_rng(3).normal(size=grid.shape).astype(np.float32)
    box = tuple(slice(10 - n // 2, 11 + n // 2) for n in size)
    median = median_in_mm(values, grid, edge_mm)
    assert median[10, 10, 10] == np.median(values[box])
    np.testing.assert_array_equal(median_in_mm(values, grid, 0.0), values)


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


def test_counterparts_lie_on_the_other_side_and_lead_back():
    phantom = make_phantom(turn=(8, -6, 12), shift=(9, 0, 0))
    scan = prepare_scan(phantom.ncct, phantom.mask, COARSE.spacing_mm)
    atlas = prepare_atlas(load_atlas(), COARSE.spacing_mm)
    alignment = align(scan, atlas, COARSE)
    side = sample(atlas.side, atlas.grid, alignment.points, mode="nearest")
    there = find_counterparts(scan, side, atlas, alignment, COARSE)
    clear = (scan.brain > 0.9) & (np.abs(side) > COARSE.spacing_mm)
    opposite = sample(side, scan.grid, there)
    assert (np.sign(opposite) == -np.sign(side))[clear].mean() > 0.99
    back = np.stack([sample(part, scan.grid, there) for part in there])
    away = np.linalg.norm(back - grid_points(scan.grid), axis=0)[clear]
    assert np.median(away) < 1.0
    assert np.percentile(away, 95) < 0.5 * COARSE.spacing_mm


def test_a_brain_on_one_side_only_has_no_counterpart():
    phantom = make_phantom()
    scan = prepare_scan(phantom.ncct, phantom.mask, COARSE.spacing_mm)
    atlas = prepare_atlas(load_atlas(), COARSE.spacing_mm)
    one_sided = np.full(scan.grid.shape, -5.0, dtype=np.float32)
    with pytest.raises(RegistrationError, match="one side of the midline only"):
        find_counterparts(scan, one_sided, atlas, align(scan, atlas, COARSE), COARSE)


def test_blocks_average_whole_voxels_of_any_scan():
    """3 x 3 x 1 voxels of a sheared scan: means of the brain in each, nothing interpolated."""
    affine = np.diag([0.4, 0.4, 4.0, 1.0])
    affine[1, 2], affine[:3, 3] = 0.7, (-5.0, -7.0, 3.0)
    values = np.random.default_rng(5).normal(35.0, 4.0, (15, 18, 4)).astype(np.float32)
    brain = np.zeros(values.shape, dtype=bool)
    brain[3:14, 2:17, 1:3] = True
    hounsfield, inside, grid = average_blocks(
        make_image(values, affine), make_image(brain, affine), 1.2
    )
    first = np.round(np.linalg.inv(affine) @ grid.affine @ np.array([1, 1, 1, 1]), 6)
    np.testing.assert_allclose(first[:3], (4.0, 3.0, 1.0))  # centre of the first block of brain
    assert hounsfield[1, 1, 1] == pytest.approx(values[3:6, 2:5, 1].mean(), rel=1e-5)
    assert inside[1:5, 1:6, 1:3].all()
    assert hounsfield[4, 1, 2] == pytest.approx(values[12:14, 2:5, 2].mean(), rel=1e-5)
    assert not inside[[0, -1]].any()
    assert (hounsfield[~inside] == 0.0).all()

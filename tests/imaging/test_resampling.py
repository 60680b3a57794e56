"""What all packages do with grids: sampling, and smoothing before it where voxels are larger."""

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.imaging.geometry import Grid, world_axis
from lvo_kedro.imaging.resampling import (
    FWHM_PER_SIGMA,
    block_grid,
    block_mean,
    change_grid,
    interpolate,
    matching_sigma,
    smooth,
)

FINE = Grid((40, 36, 32), np.diag([0.5, 0.5, 1.0, 1.0]))
COARSE = Grid((10, 9, 16), np.diag([2.0, 2.0, 2.0, 1.0]))
TURNED = Grid(
    (9, 8, 14), np.array([[1.9, -0.5, 0, 3], [0.5, 1.9, 0, 1], [0, 0, 2, 1], [0, 0, 0, 1]])
)


def ramp(grid: Grid) -> np.ndarray:
    return world_axis(grid, 0) - 2 * world_axis(grid, 1) + 0.5 * world_axis(grid, 2)


@pytest.mark.parametrize("target", [COARSE, TURNED])
def test_a_ramp_stays_what_it_is_in_the_world(target: Grid) -> None:
    inside = (slice(2, 6), slice(2, 6), slice(2, 9))
    for values in (
        interpolate(ramp(FINE), FINE, target),
        change_grid(ramp(FINE), FINE, target),
    ):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values[inside], ramp(target)[inside], atol=1e-3)


def test_border_planes_count_as_inside() -> None:
    grid = Grid(
        (5, 6, 7), np.array([[0.1, 0, 0, 0.3], [0, 0.7, 0, -0.1], [0, 0, 1.1, 9], [0, 0, 0, 1]])
    )
    moved = grid.part((slice(1, 5), slice(0, 6), slice(2, 7)))
    values = np.ones(grid.shape, dtype=np.float32)
    assert (interpolate(values, grid, moved, fill=-1000.0) == 1).all()


def test_beyond_the_source_is_the_fill_and_labels_stay_labels() -> None:
    away = Grid((2, 2, 2), np.diag([0.5, 0.5, 1.0, 1.0]) + np.eye(4, k=3) * 500)
    assert (interpolate(ramp(FINE), FINE, away, fill=-7.0) == -7).all()
    assert (change_grid(ramp(FINE), FINE, away, fill=-7.0) == -7).all()
    labels = (ramp(FINE) > 0).astype(np.uint8) * 3
    nearest = interpolate(labels, FINE, TURNED, order=0)
    assert nearest.dtype == np.uint8
    assert set(np.unique(nearest)) == {0, 3}


def test_a_voxel_grows_to_the_wanted_width() -> None:
    sigma = matching_sigma([0.5, 2.0, 3.0], 2.0)
    assert sigma[0] * 0.5 * FWHM_PER_SIGMA == pytest.approx(np.sqrt(2.0**2 - 0.5**2))
    assert (sigma[1:] == 0).all()  # as coarse, or coarser already
    np.testing.assert_array_equal(matching_sigma([1, 1, 1], [2, 1, 4]) > 0, [True, False, True])


def test_no_noise_is_picked_from_single_voxels() -> None:
    noise = np.random.default_rng(0).normal(0, 10, FINE.shape).astype(np.float32)
    picked = interpolate(noise, FINE, TURNED)
    smoothed = interpolate(smooth(noise, matching_sigma(FINE.spacing, 2.0)), FINE, TURNED)
    for averaged in (smoothed, change_grid(noise, FINE, COARSE), change_grid(noise, FINE, TURNED)):
        assert averaged.std() < 0.5 * picked.std()


def test_what_lies_beyond_the_edge_goes_on_or_is_nothing() -> None:
    ones, sigma = np.ones((6, 6, 6)), np.array([2.0, 0.0, 0.0])
    assert smooth(ones, sigma).min() == pytest.approx(1)
    assert smooth(ones, sigma, beyond="constant").min() < 0.7
    np.testing.assert_array_equal(smooth(ones, np.full(3, 0.1)), ones)


def test_blocks_are_means_of_whole_voxels_where_these_lie() -> None:
    rng = np.random.default_rng(1)
    values, factor = rng.integers(-1000, 3000, (13, 9, 8)).astype(np.float32), np.array([3, 2, 1])
    means, grid = block_mean(values, factor), block_grid(Grid((13, 9, 8), TURNED.affine), factor)
    assert means.shape == grid.shape == (4, 4, 8)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means[1, 2, 5], values[3:6, 4:6, 5].mean(), rtol=1e-6)
    centre = apply_affine(TURNED.affine, [4, 4.5, 5])
    np.testing.assert_allclose(apply_affine(grid.affine, [1, 2, 5]), centre)
    assert (block_mean(np.full((9, 9, 9), -15.0), [3, 3, 3]) == -15).all()

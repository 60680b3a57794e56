"""Grids: all axis orders and signs, oblique, sheared, anisotropic."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.imaging.geometry import (
    Grid,
    box_overlap,
    grid_of,
    is_sheared,
    isotropic_grid,
    make_image,
    straight_grid,
    to_ras,
    world_axis,
)
from lvo_kedro.imaging.resampling import resample, straighten

SPACING = np.array([2.0, 1.5, 4.0])
ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def rotation(degrees: float, axis: int) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.eye(4)
    a, b = [i for i in range(3) if i != axis]
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    return turn


OBLIQUE = rotation(20, 0) @ rotation(-15, 1) @ rotation(35, 2)
TILT = np.array([[1, 0, 0, 0], [0, 1, -0.35, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def smooth_image(affine: np.ndarray, shape: tuple[int, int, int] = (40, 50, 30)) -> nib.Nifti1Image:
    """Linear in world coordinates, so that linear interpolation reproduces it exactly."""
    grid = Grid(shape, affine)
    x, y, z = (world_axis(grid, axis) for axis in range(3))
    return make_image((x + 2 * y - 3 * z).astype(np.float32), affine)


def placed(order: tuple, signs: tuple, world: np.ndarray = np.eye(4)) -> np.ndarray:
    affine = np.zeros((4, 4))
    for axis, (target, sign) in enumerate(zip(order, signs, strict=True)):
        affine[target, axis] = sign * SPACING[axis]
    affine[:, 3] = [5, -7, 11, 1]
    return world @ affine


def test_there_are_48_orientations() -> None:
    assert len({"".join(nib.aff2axcodes(placed(*o))) for o in ORIENTATIONS}) == 48


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_ras_and_resampling_keep_every_value_at_its_place(order: tuple, signs: tuple) -> None:
    for world in (np.eye(4), OBLIQUE, TILT):
        image = smooth_image(placed(order, signs, world), (12, 14, 10))
        ras = to_ras(image)
        if world is not OBLIQUE:
            assert nib.aff2axcodes(ras.affine) == ("R", "A", "S")
        again = smooth_image(ras.affine, ras.shape)
        assert np.allclose(ras.get_fdata(), again.get_fdata(), atol=1e-3)
        back = resample(ras, grid_of(image), fill=-1e6)
        assert np.allclose(back.get_fdata(), image.get_fdata(), atol=1e-3)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_labels_stay_on_their_side(order: tuple, signs: tuple) -> None:
    grid = Grid((30, 30, 30), placed(order, signs, OBLIQUE))
    centre = apply_affine(grid.affine, [14.5] * 3)
    sides = make_image((world_axis(grid, 0) > centre[0]).astype(np.uint8) + 1, grid.affine)
    target = isotropic_grid(sides, 2.0)
    moved = resample(sides, target, order=0)
    labels = np.asarray(moved.dataobj)
    assert moved.get_data_dtype() == np.uint8
    assert world_axis(target, 0)[labels == 2].min() > centre[0] - 4
    assert world_axis(target, 0)[labels == 1].max() < centre[0] + 4


def test_resampling_keeps_planes_on_the_border() -> None:
    image = smooth_image(placed((0, 1, 2), (1, 1, 1), OBLIQUE))
    same = Grid(image.shape, image.affine + 1e-12)
    moved = image.affine.copy()
    moved[:3, 3] -= 1e-9
    for affine in (same.affine, moved):
        assert resample(image, Grid(image.shape, affine), fill=-1e6).get_fdata().min() > -1e5


def test_resampling_round_trip_of_labels() -> None:
    labels = np.zeros((20, 24, 12), np.uint8)
    labels[5:15, 6:18, 3:9] = 3
    image = make_image(labels, placed((1, 2, 0), (-1, 1, -1)))
    fine = resample(image, isotropic_grid(image, 0.5), order=0)
    back = resample(fine, grid_of(image), order=0)
    assert np.array_equal(np.asarray(back.dataobj), labels)


@pytest.mark.parametrize("world", [np.eye(4), OBLIQUE, OBLIQUE @ TILT])
def test_straighten_moves_nothing_in_the_world(world: np.ndarray) -> None:
    for order, signs in ORIENTATIONS[::7]:
        affine = world @ np.array(TILT if not is_sheared(world) else np.eye(4))
        image = smooth_image(placed(order, signs, affine), (30, 32, 20))
        assert is_sheared(image.affine)
        straight = straighten(image, fill=np.nan)
        assert not is_sheared(straight.affine)
        values = straight.get_fdata()
        expected = smooth_image(straight.affine, straight.shape).get_fdata()
        known = np.isfinite(values)
        assert known.mean() > 0.4
        assert np.allclose(values[known], expected[known], atol=2e-3)


def test_straighten_agrees_with_general_resampling() -> None:
    rng = np.random.default_rng(0)
    affine = TILT @ np.diag([0.5, 0.5, 4.0, 1.0])
    image = make_image(rng.normal(size=(20, 30, 12)).astype(np.float32), affine)
    quick = straighten(image, -5.0).get_fdata()
    general = resample(image, straight_grid(image), fill=-5.0).get_fdata()
    both = (quick > -5) & (general > -5)  # which of the border voxels count is a matter of rounding
    assert np.allclose(quick[both], general[both], atol=1e-4)
    assert both.sum() > 0.99 * (quick > -5).sum()


def test_straighten_returns_a_straight_image_as_it_is() -> None:
    image = smooth_image(placed((2, 0, 1), (1, -1, 1), OBLIQUE))
    assert straighten(image) is image


@pytest.mark.parametrize("world", [np.eye(4), OBLIQUE, TILT])
def test_isotropic_grid_covers_the_mask(world: np.ndarray) -> None:
    data = np.zeros((30, 30, 30), np.uint8)
    data[4:17, 9:22, 11:13] = 1
    mask = make_image(data, placed((1, 0, 2), (1, -1, 1), world))
    for spacing, margin in ((2.0, 0.0), (3.1, 5.0)):
        grid = isotropic_grid(mask, spacing, mask=mask, margin=margin)
        assert np.allclose(grid.spacing, spacing)
        assert not is_sheared(grid.affine)
        inside = apply_affine(np.linalg.inv(grid.affine) @ mask.affine, np.argwhere(data) + 0.0)
        assert inside.min() > margin / spacing - 1e-3
        assert np.all(inside < np.array(grid.shape) - 1 - margin / spacing + 1e-3)


def test_an_empty_mask_has_no_grid() -> None:
    mask = make_image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    with pytest.raises(ValueError, match="empty"):
        isotropic_grid(mask, 1.0, mask=mask)


def test_voxel_volume_holds_for_sheared_grids() -> None:
    affine = placed((2, 1, 0), (1, -1, 1), OBLIQUE @ TILT)
    assert Grid((1, 1, 1), affine).voxel_volume_ml == pytest.approx(SPACING.prod() / 1000)


def test_made_images_carry_geometry_alone() -> None:
    image = make_image(np.ones((3, 4, 5), bool), placed((0, 1, 2), (1, 1, 1)))
    assert image.get_data_dtype() == np.uint8
    assert image.header["descrip"].item() == b""
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)


def test_box_overlap() -> None:
    image = smooth_image(np.eye(4), (20, 20, 20))
    shifted = np.eye(4)
    shifted[0, 3] = 10
    assert box_overlap(image, image) == 1.0
    assert box_overlap(image, smooth_image(shifted, (20, 20, 20))) == pytest.approx(0.5, abs=0.05)
    shifted[0, 3] = 300
    assert box_overlap(image, smooth_image(shifted, (20, 20, 20))) == 0.0

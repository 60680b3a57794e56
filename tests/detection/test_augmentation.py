"""Random changes: known moves, neutral values, nothing invented outside the head."""

from __future__ import annotations

import pytest
import torch

from lvo_kedro.detection import AugmentationOptions, augment

NAMES = ("ncct", "vessels", "territory", "signed_difference")
NONE = AugmentationOptions.none()


def batch(count: int = 6) -> torch.Tensor:
    x = torch.zeros(count, 4, 24, 20, 16)
    x[:, 3] = 0.5
    generator = torch.Generator().manual_seed(0)
    x[:, :, 8:20, 6:14, 4:12] = torch.rand(count, 4, 12, 8, 8, generator=generator) * 0.6 + 0.2
    return x


def run(options: AugmentationOptions, seed: int = 0, x: torch.Tensor | None = None) -> torch.Tensor:
    return augment(
        batch() if x is None else x, NAMES, 3.0, options, torch.Generator().manual_seed(seed)
    )


def test_no_augmentation_is_no_change():
    torch.testing.assert_close(run(NONE), batch())


def test_a_sure_flip_mirrors_all_channels_with_or_without_interpolation():
    for rotation in (0.0, 1e-4):
        options = NONE.model_copy(update={"flip": 1.0, "rotation_degrees": rotation})
        torch.testing.assert_close(run(options), batch().flip(2), atol=1e-3, rtol=0)


def test_half_of_the_cases_are_flipped():
    x = batch(200)
    changed = run(NONE.model_copy(update={"flip": 0.5}), x=x)
    flipped = ((changed - x).abs() > 0.01).flatten(1).any(1)
    assert 70 < flipped.sum() < 130


def test_a_turn_keeps_distances_on_a_grid_of_unequal_edges():
    """A bar along x, turned by up to 40 degrees in a long grid, keeps its length and width."""
    x = torch.zeros(20, 1, 64, 40, 20)
    x[:, :, 22:42, 18:22, 8:12] = 1
    options = NONE.model_copy(update={"rotation_degrees": 40.0})
    turned = augment(x, ("territory",), 3.0, options, torch.Generator().manual_seed(1))
    volume = turned.sum(dim=(1, 2, 3, 4)) / x[0].sum()
    assert ((volume > 0.93) & (volume < 1.07)).all()


def test_shifts_are_at_most_as_stated():
    x = torch.zeros(30, 1, 32, 32, 32)
    x[:, :, 16, 16, 16] = 1
    options = NONE.model_copy(update={"shift_mm": 6.0})  # two voxels
    moved = augment(x, ("territory",), 3.0, options, torch.Generator().manual_seed(1))
    index = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    centre = torch.stack([(m[0] * index).sum(dim=(1, 2, 3)) / m.sum() for m in moved])
    distance = (centre - 16).abs()
    assert distance.max() <= 2.01
    assert distance.max() > 1.2


def middle_plane(x: torch.Tensor) -> torch.Tensor:
    """Mean x of a slab in the middle, at each y and z: (case, y, z)."""
    index = torch.arange(x.shape[2], dtype=torch.float32)[:, None, None]
    return (x[:, 0] * index).sum(dim=1) / x[:, 0].sum(dim=1)


def slab_moved(**changes: float) -> torch.Tensor:
    x = torch.zeros(12, 1, 32, 24, 24)
    x[:, :, 14:18] = 1
    options = NONE.model_copy(update=changes)
    moved = augment(x, ("territory",), 3.0, options, torch.Generator().manual_seed(1))
    return middle_plane(moved)[:, 6:18, 6:18]  # where nothing came in from outside


def test_turns_around_x_leave_the_midline_where_it_is():
    at_rest = slab_moved(rotation_degrees=20.0, tilt_degrees=0.0)
    torch.testing.assert_close(at_rest, torch.full_like(at_rest, 15.5), atol=1e-3, rtol=0)


def test_turns_around_y_and_z_tilt_it_up_to_the_stated_angle():
    tilted = slab_moved(rotation_degrees=0.0, tilt_degrees=8.0)
    slopes = [
        (tilted.select(axis, 11) - tilted.select(axis, 0)).abs().amax(dim=1) / 11 for axis in (1, 2)
    ]
    degrees = torch.rad2deg(torch.atan(torch.stack(slopes)))
    assert (degrees.amax(dim=1) > 4).all()  # both axes are turned about
    assert degrees.max() < 8.5


def test_a_bar_is_turned_around_x_whatever_the_tilt():
    """Along z, in the middle of x and y: only turns around x move its ends along y."""
    x = torch.zeros(12, 1, 20, 32, 32)
    x[:, :, 8:12, 14:18] = 1
    options = NONE.model_copy(update={"rotation_degrees": 20.0, "tilt_degrees": 0.0})
    moved = augment(x, ("territory",), 3.0, options, torch.Generator().manual_seed(1))
    index = torch.arange(32.0)[:, None]
    at = (moved[:, 0, 10] * index).sum(dim=1) / moved[:, 0, 10].sum(dim=1)  # (case, z)
    degrees = torch.rad2deg(torch.atan((at[:, 24] - at[:, 7]) / 17)).abs()
    assert 10 < degrees.max() < 20.5


@pytest.mark.parametrize(("across", "along"), [(3.0, 9.0), (9.0, 0.0)])
def test_shifts_across_the_midline_have_a_range_of_their_own(across, along):
    x = torch.zeros(30, 1, 32, 32, 32)
    x[:, :, 16, 16, 16] = 1
    options = NONE.model_copy(update={"shift_mm": along, "shift_across_mm": across})
    moved = augment(x, ("territory",), 3.0, options, torch.Generator().manual_seed(1))
    index = torch.stack(torch.meshgrid(*[torch.arange(32.0)] * 3, indexing="ij"))
    centre = torch.stack([(m[0] * index).sum(dim=(1, 2, 3)) / m.sum() for m in moved])
    furthest = (centre - 16).abs().amax(dim=0) * 3.0
    assert (furthest <= torch.tensor([across, along, along]) + 0.01).all()
    assert (furthest >= 0.7 * torch.tensor([across, along, along])).all()


def test_without_ranges_of_their_own_tilt_and_shift_across_are_those_of_all_axes():
    plain = AugmentationOptions(rotation_degrees=6, shift_mm=4)
    named = AugmentationOptions(rotation_degrees=6, shift_mm=4, tilt_degrees=6, shift_across_mm=4)
    assert torch.equal(run(plain, 3), run(named, 3))
    assert not torch.equal(run(plain, 3), run(named.model_copy(update={"tilt_degrees": 1}), 3))


def test_density_changes_touch_brain_and_vessels_only():
    changed = run(NONE.model_copy(update={"hu_shift": 5.0, "hu_noise": 2.0}))
    x = batch()
    torch.testing.assert_close(changed[:, 2:], x[:, 2:])
    assert (changed[:, :2][x[:, :2] == 0] == 0).all()
    assert (changed[:, :2] - x[:, :2]).abs().max() > 2 / 70


def test_what_enters_from_outside_is_neutral():
    options = NONE.model_copy(update={"shift_mm": 30.0, "rotation_degrees": 20.0})
    changed = run(options, x=torch.full((8, 4, 24, 20, 16), 0.5))
    assert (changed[:, 3] - 0.5).abs().max() < 1e-5
    assert changed[:, 0].min() == 0


def test_dropped_channels_take_their_neutral_value():
    changed = run(NONE.model_copy(update={"channel_dropout": 1.0}), x=batch(40))
    blank = torch.stack(
        [(changed[:, c] == value).flatten(1).all(1) for c, value in enumerate((0, 0, 0, 0.5))], 1
    )
    assert (blank.sum(1) == 1).all()
    assert (blank.sum(0) > 0).all()


def test_the_only_channel_is_never_dropped():
    x = batch()[:, :1]
    options = NONE.model_copy(update={"channel_dropout": 1.0})
    assert torch.equal(augment(x, ("ncct",), 3.0, options, torch.Generator()), x)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_decides_everything(seed):
    first, second = (run(AugmentationOptions(), seed) for _ in range(2))
    assert torch.equal(first, second)
    assert first.min() >= 0 and first.max() <= 1
    assert not torch.equal(first, run(AugmentationOptions(), seed + 1))

"""Normalisations by hand, grids, sides in every orientation, and channels that are missing."""

from __future__ import annotations

from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lvo_kedro.detection import CHANNELS, ChannelOptions, flip_sides, plan_grid, stack_channels
from lvo_kedro.detection.channels import normalize_ncct, normalize_nonzero
from lvo_kedro.errors import CaseError, ScanError
from lvo_kedro.imaging.geometry import Grid, make_image
from lvo_kedro.imaging.sampling import Sampler
from tests.lengths import one_of

from ..localization.conftest import CLOT, PATENT, draw_head, grid_with
from .conftest import make_case, reorient

ORIENTATIONS = [
    "".join(codes) for order in permutations(("RL", "AP", "SI")) for codes in product(*order)
]
SMALL = ChannelOptions(
    channels=CHANNELS,
    spacing_mm=4.0,
    shape=(32, 36, 28),
)


def changed(priors: SimpleNamespace, **attributes: object) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(priors), **attributes})


def test_ncct_outside_the_window_is_0_and_the_rest_spans_0_to_1():
    hu = np.array([-1000.0, -0.1, 0.0, 10.0, 40.0, 70.0, 70.1, 900.0])
    np.testing.assert_allclose(normalize_ncct(hu), [0, 0, 0, 0, 0.5, 1, 0, 0])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0, 2, 4, 6], [0, 0, 0.5, 1]),
        ([0, 0, 0], [0, 0, 0]),
        ([0, 5, 5], [0, 1, 1]),
    ],
)
def test_min_max_is_over_non_zero_values(given, expected):
    np.testing.assert_allclose(normalize_nonzero(np.array(given, dtype=float)), expected)


def test_published_channels_by_hand(case):
    ncct, vessels, priors = case
    stacked = stack_channels(ncct, vessels, priors, "published")
    assert stacked.shape == (4, 512, 512, 200)
    assert stacked.dtype == torch.float32
    start = [(full - own) // 2 for full, own in zip((512, 512, 200), ncct.shape, strict=True)]
    inner = stacked[
        (slice(None), *(slice(a, a + n) for a, n in zip(start, ncct.shape, strict=True)))
    ]
    hu = ncct.get_fdata()
    # non-zero HU within 0-70 are 35 (brain), 40 and 60 (vessels): 35 -> 0, 40 -> 0.2, 60 -> 1
    scaled = np.select([hu == 40, hu == 60], [0.2, 1.0], 0.0)
    np.testing.assert_allclose(inner[0], scaled, atol=1e-6)
    np.testing.assert_allclose(inner[1], scaled * (vessels.get_fdata() > 0), atol=1e-6)
    np.testing.assert_allclose(inner[2], priors.territory_probability.get_fdata(), atol=1e-6)
    np.testing.assert_allclose(inner[3], priors.difference.get_fdata() / 6.0, atol=1e-6)
    assert stacked.sum().item() == pytest.approx(inner.sum().item())


def test_published_grid_keeps_world_positions(case):
    ncct, _, priors = case
    grid = plan_grid(ncct, priors, ChannelOptions(grid="published"))
    start = [(full - own) // 2 for full, own in zip(grid.shape, ncct.shape, strict=True)]
    np.testing.assert_allclose(grid.affine @ [*start, 1], ncct.affine @ [0, 0, 0, 1], atol=1e-9)


def test_no_signed_difference_is_a_half_also_in_the_padding(case, monkeypatch):
    monkeypatch.setattr("lvo_kedro.detection.grids.PUBLISHED_SHAPE", (64, 64, 64))
    ncct, _, priors = case
    options = ChannelOptions(channels=("signed_difference",), grid="published")
    stacked = stack_channels(ncct, None, priors, "published", options=options)
    assert stacked[0, 0, 0, 0] == 0.5
    # +-6 HU of +-30
    assert sorted(stacked.unique().tolist()) == pytest.approx([0.4, 0.5, 0.6])


def test_hypodensity_on_the_published_grid_is_the_darker_side_alone(case, monkeypatch):
    monkeypatch.setattr("lvo_kedro.detection.grids.PUBLISHED_SHAPE", (64, 64, 64))
    ncct, _, priors = case
    options = ChannelOptions(channels=("hypodensity",), grid="published")
    stacked = stack_channels(ncct, None, priors, "published", options=options)
    assert sorted(stacked.unique().tolist()) == [0, 1]  # 6 HU is the scan's largest
    assert stacked[0, 32:].max() == 0


def test_a_scan_too_large_for_the_published_grid_says_so():
    image = make_image(np.zeros((8, 8, 201), np.int16), np.eye(4))
    with pytest.raises(ScanError, match=r"201.*at most \(512, 512, 200\).*brain"):
        stack_channels(image, None, None, "published")


def test_channels_come_in_the_configured_order(case):
    ncct, vessels, priors = case
    both = stack_channels(ncct, vessels, priors, options=SMALL)
    names = ("signed_difference", "ncct")
    options = SMALL.model_copy(update={"channels": names})
    some = stack_channels(ncct, None, priors, options=options)
    assert torch.equal(some, both[[4, 0]])


def test_brain_channels_have_the_stated_values(case):
    ncct, vessels, priors = case
    x = stack_channels(ncct, vessels, priors, options=SMALL)
    assert x.shape == (len(CHANNELS), *SMALL.shape)
    assert 0 <= x.min() and x.max() <= 1
    brain = x[0] > 0
    assert x[0][brain].median().item() == pytest.approx(35 / 70)
    assert x[2][brain].median().item() == pytest.approx(0.4, abs=1e-3)
    assert x[3][brain].median().item() == pytest.approx(6 / 30, abs=1e-3)
    right = x[4, 16:][brain[16:]].median().item()
    assert right == pytest.approx(0.5 + 6 / 60, abs=1e-3)
    # the left is darker by 6 HU, the right is not darker than it
    assert x[5, :15][brain[:15]].median().item() == pytest.approx(6 / 30, abs=1e-3)
    assert x[5, 17:].max() == 0


@pytest.mark.parametrize("pooling", ["mean", "maximum"])
def test_a_thin_dense_vessel_is_not_diluted(case, pooling):
    ncct, vessels, priors = case
    options = SMALL.model_copy(update={"vessel_pooling": pooling, "spacing_mm": 6.0})
    vessel = stack_channels(ncct, vessels, priors, options=options)[1]
    assert vessel.max().item() == pytest.approx(60 / 70, abs=0.02)


def test_calcium_in_a_vessel_is_left_out(case):
    ncct, vessels, priors = case
    hu = ncct.get_fdata()
    spots = np.argwhere(hu == 60)[::4]
    hu[tuple(spots.T)] = 400
    calcified = make_image(hu.astype(np.float32), ncct.affine)
    vessel = stack_channels(calcified, vessels, priors, options=SMALL)[1]
    assert vessel.max().item() == pytest.approx(60 / 70, abs=0.02)


@pytest.mark.parametrize("side", ["left", "right"])
def test_hyperdensity_is_what_the_clot_has_above_the_patients_blood(side):
    head = draw_head(grid_with("LPS", spacing=(2.0, 2.0, 2.0)), ("M1",), side)
    priors = SimpleNamespace(hemispheres=head.hemispheres)
    options = SMALL.model_copy(
        update={"channels": ("hyperdensity",), "hyperdensity_range_hu": 50.0, "spacing_mm": 4.0}
    )
    shown = stack_channels(head.ncct, head.vessels, priors, options=options)[0]
    half = shown.shape[0] // 2
    here, there = shown[half:].max(), shown[:half].max()
    if side == "left":
        here, there = there, here
    assert here.item() == pytest.approx((CLOT - PATENT) / 50, abs=0.08)
    assert there.item() < 0.1
    empty = make_image(np.zeros(head.ncct.shape, np.uint8), head.ncct.affine)
    assert not stack_channels(head.ncct, empty, priors, options=options).any()


@pytest.mark.parametrize("codes", one_of(5, ORIENTATIONS))
def test_sides_are_kept_in_every_orientation(case, codes):
    ncct, vessels, priors = case
    turned = SimpleNamespace(
        **{
            name: reorient(image, codes)
            for name, image in vars(priors).items()
            if name != "quality"
        }
    )
    there = stack_channels(reorient(ncct, codes), reorient(vessels, codes), turned, options=SMALL)
    torch.testing.assert_close(there, stack_channels(ncct, vessels, priors, options=SMALL))
    half = SMALL.shape[0] // 2
    assert there[1, half:].max() > there[1, :half].max() + 0.2  # the dense vessel is on the right


def test_midline_frame_straightens_a_turned_and_shifted_head():
    straight = stack_channels(*make_case(), options=SMALL)
    turned = stack_channels(*make_case(angle=12, shift=7.0), options=SMALL)
    native = SMALL.model_copy(update={"frame": "native"})
    askew = stack_channels(*make_case(angle=12, shift=7.0), options=native)
    error = (turned[1:2] - straight[1:2]).abs().mean()
    assert error < 0.35 * (askew[1:2] - straight[1:2]).abs().mean()
    middle = SMALL.shape[0] / 2 - 0.5
    signed = turned[4]
    left, right = signed < 0.45, signed > 0.55
    assert left.nonzero()[:, 0].max() < middle < right.nonzero()[:, 0].min() + 1


def test_flipping_twice_is_no_change_and_once_moves_the_side(case):
    ncct, vessels, priors = case
    x = stack_channels(ncct, vessels, priors, options=SMALL)[None]
    assert torch.equal(flip_sides(flip_sides(x)), x)
    assert flip_sides(x)[0, 1, :16].max() > flip_sides(x)[0, 1, 16:].max()


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("territory", "territory_probability"),
        ("difference", "difference"),
        ("signed_difference", "signed_difference"),
        ("hypodensity", "signed_difference"),
    ],
)
@pytest.mark.parametrize("grid", ["published", "brain"])
def test_a_missing_prior_is_an_error_that_names_it(case, name, attribute, grid):
    ncct, vessels, priors = case
    options = SMALL.model_copy(update={"channels": ("ncct", name)})
    with pytest.raises(CaseError, match=f"found no {name};"):
        stack_channels(ncct, vessels, changed(priors, **{attribute: None}), grid, options=options)


def test_missing_vessels_are_an_error(case):
    ncct, _, priors = case
    with pytest.raises(CaseError, match="found no vessels;"):
        stack_channels(ncct, None, priors)


def test_nan_wrong_grid_and_wrong_range_are_errors(case):
    ncct, vessels, priors = case
    bad = priors.difference.get_fdata()
    bad[3, 3, 3] = np.nan
    with pytest.raises(CaseError, match="difference with NaN"):
        stack_channels(
            ncct, vessels, changed(priors, difference=make_image(bad, ncct.affine)), options=SMALL
        )
    moved = make_image(np.asarray(vessels.dataobj), ncct.affine + _shift(3.0))
    with pytest.raises(CaseError, match=r"vessels of .* not those of the NCCT"):
        stack_channels(ncct, moved, priors, options=SMALL)
    percent = make_image(priors.territory_probability.get_fdata() * 100, ncct.affine)
    with pytest.raises(CaseError, match="territory values from 0 to 40"):
        stack_channels(ncct, vessels, changed(priors, territory_probability=percent), options=SMALL)


def _shift(mm: float) -> np.ndarray:
    shift = np.zeros((4, 4))
    shift[0, 3] = mm
    return shift


def test_a_file_cut_off_is_an_error_and_not_zeros(case, tmp_path):
    import nibabel as nib

    ncct, vessels, priors = case
    nib.save(vessels, tmp_path / "vessels.nii")
    content = (tmp_path / "vessels.nii").read_bytes()
    (tmp_path / "vessels.nii").write_bytes(content[: len(content) // 2])
    with pytest.raises(CaseError, match="vessels that cannot be read"):
        stack_channels(ncct, nib.load(tmp_path / "vessels.nii"), priors, options=SMALL)


def test_an_empty_brain_is_an_error(case):
    ncct, vessels, priors = case
    empty = make_image(np.zeros(ncct.shape, np.uint8), ncct.affine)
    with pytest.raises(ScanError, match="empty brain"):
        stack_channels(ncct, vessels, priors, options=SMALL, brain_mask=empty)
    with pytest.raises(ScanError, match="two hemispheres"):
        stack_channels(ncct, vessels, changed(priors, hemispheres=empty), options=SMALL,
                       brain_mask=priors.hemispheres)  # fmt: skip


def test_unknown_or_repeated_channels_are_refused():
    for channels in (("ncct", "ncct"), (), ("perfusion",)):
        with pytest.raises(ValueError, match="channels"):
            ChannelOptions(channels=channels)


def test_resampling_does_not_alias():
    """A checkerboard of 0 and 100 at 1 mm is 50 everywhere at 4 mm."""
    data = (np.indices((40, 40, 40)).sum(0) % 2 * 100).astype(np.float32)
    target = Grid((5, 5, 5), np.diag([4.0, 4.0, 4.0, 1.0]))
    target.affine[:3, 3] = 10.3
    sampled = Sampler(Grid((40, 40, 40), np.eye(4)), target).linear(data)
    np.testing.assert_allclose(sampled, 50, atol=1)

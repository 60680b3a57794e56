"""Compact samples: error, neutral padding, memory mapping, damage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lvo_kedro.detection import (
    blank_channel,
    decode_channels,
    encode_channels,
    open_sample,
    sample_grid,
    save_sample,
)
from lvo_kedro.errors import CaseError
from lvo_kedro.imaging.geometry import Grid

NAMES = ("ncct", "territory", "signed_difference")
GRID = Grid((12, 14, 10), np.array([[2.0, 0.1, 0, 5], [0, 2, 0, -7], [0, 0, 2, 9], [0, 0, 0, 1]]))


@pytest.fixture
def channels() -> torch.Tensor:
    x = torch.zeros(3, *GRID.shape)
    x[2] = 0.5
    x[:, 3:9, 2:12, 4:8] = torch.rand(3, 6, 10, 4, generator=torch.Generator().manual_seed(0))
    return x


def test_the_error_is_at_most_1_in_255(channels):
    decoded = decode_channels(encode_channels(channels, NAMES, GRID))
    assert decoded.dtype == torch.float32
    assert (decoded - channels).abs().max() <= 1 / 508 + 1e-6


def test_only_the_filled_box_is_stored_and_the_rest_is_exact(channels):
    sample = encode_channels(channels, NAMES, GRID)
    assert sample["values"].dtype == torch.uint8
    assert sample["values"].shape == (3, 6, 10, 4)
    decoded = decode_channels(sample)
    assert (decoded[:2, :3] == 0).all()
    assert (decoded[2, :3] == 0.5).all()


def test_grid_and_order_of_channels_survive_the_disk(channels, tmp_path):
    save_sample(tmp_path / "a" / "case.safetensors", encode_channels(channels, NAMES, GRID))
    sample = open_sample(tmp_path / "a" / "case.safetensors")
    assert sample_grid(sample).shape == GRID.shape
    np.testing.assert_array_equal(sample_grid(sample).affine, GRID.affine)
    two = decode_channels(sample, ("signed_difference", "ncct"))
    assert torch.equal(two, decode_channels(sample)[[2, 0]])
    assert not list((tmp_path / "a").glob(".*"))


def test_a_channel_that_is_not_stored_is_an_error(channels):
    with pytest.raises(CaseError, match="difference"):
        decode_channels(encode_channels(channels, NAMES, GRID), ("ncct", "difference"))


def test_values_out_of_range_are_refused(channels):
    for bad in (-0.1, 1.1, float("nan")):
        channels[0, 0, 0, 0] = bad
        with pytest.raises(CaseError, match=r"\[0, 1\]"):
            encode_channels(channels, NAMES, GRID)


def test_an_empty_case_is_stored(channels):
    empty = torch.zeros(1, *GRID.shape)
    assert torch.equal(decode_channels(encode_channels(empty, ("vessels",), GRID)), empty)


def test_a_damaged_file_is_named(channels, tmp_path):
    path = tmp_path / "case.safetensors"
    save_sample(path, encode_channels(channels, NAMES, GRID))
    path.write_bytes(path.read_bytes()[:-50])
    for broken in (path, tmp_path / "none.safetensors"):
        with pytest.raises(CaseError, match=broken.name):
            open_sample(broken)


def test_a_blanked_channel_says_nothing_and_the_others_stay(channels):
    sample = encode_channels(channels, NAMES, GRID)
    for name, value in (("ncct", 0.0), ("signed_difference", 0.5)):
        blank = decode_channels(blank_channel(sample, name))
        place = NAMES.index(name)
        assert (blank[place] == value).all()
        others = [k for k in range(3) if k != place]
        assert torch.equal(blank[others], decode_channels(sample)[others])
    assert np.allclose(sample_grid(blank_channel(sample, "ncct")).affine, GRID.affine)
    with pytest.raises(CaseError, match="vessels"):
        blank_channel(sample, "vessels")

"""Compact samples on disk: one memory-mapped safetensors file per case.

A sample is a dictionary of tensors: ``values`` (uint8, only the box in which any channel says
something), ``scale`` (value of one step, per channel), ``codes`` (positions in ``CHANNELS``),
``start`` and ``shape`` (where the box lies in the whole grid) and ``affine`` (voxel to world, mm).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lvo_kedro.artifacts import replacing
from lvo_kedro.detection.channels import neutral
from lvo_kedro.detection.options import CHANNELS, ChannelName
from lvo_kedro.errors import CaseError
from lvo_kedro.imaging.boxes import bounding_box, whole_box
from lvo_kedro.imaging.geometry import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STEPS = 254
"""Steps between 0 and 1: an even number, so that 0.5 (no difference) is stored exactly."""

Sample = dict[str, Tensor]
"""A case's stored channels: tensors by name, as :func:`encode_channels` makes them."""


def encode_channels(channels: Tensor, names: Sequence[ChannelName], grid: Grid) -> Sample:
    """Make the compact sample of a case.

    Args:
        channels: float32 of shape (channel, x, y, z) in [0, 1].
        names: What the channels are, in order.
        grid: Where they are sampled.

    Returns:
        Tensors for a safetensors file; the error is at most 1/508.

    Raises:
        CaseError: Values outside [0, 1], or names that do not fit.
    """
    if len(names) != len(channels) or tuple(channels.shape[1:]) != tuple(grid.shape):
        raise CaseError(
            f"channels of shape {tuple(channels.shape)} for {tuple(names)} on {grid.shape}",
            "one name per channel on the grid's voxels",
            "stack the channels again",
        )
    low, high = float(channels.min()), float(channels.max())
    if not (low >= 0 and high <= 1):
        raise CaseError(f"values from {low} to {high}", "values in [0, 1]", "normalize them first")
    steps = (channels * STEPS).round().to(torch.uint8)
    empty = (neutral(tuple(names)) * STEPS).round().to(torch.uint8)
    filled = (steps != empty).any(dim=0).numpy()
    box = bounding_box(filled) if filled.any() else whole_box((1, 1, 1))
    return {
        "values": steps[(slice(None), *box)].contiguous(),
        "scale": torch.full((len(names),), 1 / STEPS, dtype=torch.float32),
        "codes": torch.tensor([CHANNELS.index(name) for name in names], dtype=torch.uint8),
        "start": torch.tensor([part.start for part in box], dtype=torch.int32),
        "shape": torch.tensor(grid.shape, dtype=torch.int32),
        "affine": torch.from_numpy(np.asarray(grid.affine, dtype=np.float64).copy()),
    }


def decode_channels(
    sample: Mapping[str, Tensor], channels: Sequence[ChannelName] | None = None
) -> Tensor:
    """Return the channels of a compact sample: float32 of shape (channel, x, y, z).

    Args:
        sample: As :func:`encode_channels` made it.
        channels: Which, in which order; None for all in stored order.

    Raises:
        CaseError: A channel that the sample does not hold.
    """
    names = channel_names(sample)
    wanted = tuple(channels or names)
    absent = [name for name in wanted if name not in names]
    if absent:
        raise CaseError(
            f"a sample with {', '.join(names)}",
            f"the channels {', '.join(wanted)}",
            f"make the samples again with {', '.join(absent)}",
        )
    index = [names.index(name) for name in wanted]
    shape = [int(n) for n in sample["shape"]]
    full = neutral(wanted).expand(len(wanted), *shape).clone()
    start, size = sample["start"].tolist(), sample["values"].shape[1:]
    box = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
    scale = sample["scale"][index][:, None, None, None]
    full[(slice(None), *box)] = sample["values"][index].to(torch.float32) * scale
    return full


def channel_names(sample: Mapping[str, Tensor]) -> tuple[ChannelName, ...]:
    """Return the names of a sample's channels in stored order."""
    return tuple(CHANNELS[int(code)] for code in sample["codes"])


def sample_grid(sample: Mapping[str, Tensor]) -> Grid:
    """Return the grid on which a sample lies.

    Args:
        sample: Of :func:`open_sample` or :func:`~lvo_kedro.detection.encode_channels`.
    """
    x, y, z = (int(n) for n in sample["shape"])
    return Grid((x, y, z), sample["affine"].numpy().astype(np.float64))


def save_sample(path: Path, sample: Sample) -> None:
    """Write a compact sample; a reader never meets half a file.

    Args:
        path: A ``.safetensors`` file.
        sample: Of :func:`~lvo_kedro.detection.encode_channels`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        save_file(sample, str(part))


def open_sample(path: Path) -> Sample:
    """Return a sample whose values stay on the disk until they are touched.

    Args:
        path: What :func:`save_sample` wrote.

    Raises:
        CaseError: Missing, cut off, or not a sample.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            sample = {name: file.get_tensor(name) for name in file.keys()}
        channel_names(sample), sample["values"], sample["start"], sample["affine"]
    except (OSError, SafetensorError, KeyError, IndexError) as error:
        raise CaseError(
            f"{path}, which is no sample ({type(error).__name__}: {error})",
            "a safetensors file made by `encode_channels`",
            "make the case's channels again",
        ) from error
    return sample

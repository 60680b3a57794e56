"""Random changes of a batch, on the device where it lies, in one pass of interpolation (MONAI)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from lvo_kedro.detection.channels import neutral
from lvo_kedro.detection.options import HU_WINDOW, AugmentationOptions, ChannelName

if TYPE_CHECKING:
    from collections.abc import Sequence

HU_CHANNELS: tuple[ChannelName, ...] = ("ncct", "vessels")
"""Channels in which one unit is the whole HU window."""


def flip_sides(batch: Tensor) -> Tensor:
    """Exchange left and right in a batch of shape (batch, channel, x, y, z).

    A signed difference is "this side minus the opposite one": its values move, their sign stays.

    Args:
        batch: Cases on a grid whose x axis runs across the head, its middle on the midline.

    Returns:
        A copy with the x axis turned round.
    """
    return batch.flip(2)


def augment(
    batch: Tensor,
    channels: Sequence[ChannelName],
    spacing_mm: float,
    options: AugmentationOptions,
    generator: torch.Generator,
) -> Tensor:
    """Return a randomly changed copy of ``batch``.

    Args:
        batch: float32 of shape (batch, channel, x, y, z) in [0, 1].
        channels: What the channels are.
        spacing_mm: Edge of a voxel.
        options: Ranges and probabilities.
        generator: Of the CPU.

    Returns:
        A new tensor of the same shape, type and range.
    """
    empty = neutral(tuple(channels)).to(batch.device)
    batch = _move(batch - empty, spacing_mm, options, generator) + empty
    batch = _change_density(batch, channels, options, generator)
    dropped = _dropped(batch.shape[0], batch.shape[1], options.channel_dropout, generator)
    batch = torch.where(dropped.to(batch.device), empty, batch)
    return batch.clamp_(0, 1)


def _uniform(
    shape: tuple[int, ...], half_width: float | Tensor, generator: torch.Generator
) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * half_width


def _move(
    batch: Tensor, spacing_mm: float, options: AugmentationOptions, generator: torch.Generator
) -> Tensor:
    """Flip, turn, scale and shift; what enters from outside is 0."""
    # imported late: it takes half as long as all the rest together
    from monai.transforms import Affine  # noqa: PLC0415
    from monai.utils import convert_to_tensor  # noqa: PLC0415

    count = len(batch)
    flipped = torch.rand(count, generator=generator) < options.flip
    turns = torch.deg2rad(_uniform((count, 3), torch.tensor(options.turns_degrees), generator))
    sizes = 1 + _uniform((count,), options.scaling, generator)
    widths = torch.tensor([width / spacing_mm for width in options.shifts_mm])
    shifts = _uniform((count, 3), widths, generator)
    if not (any(options.turns_degrees) or options.scaling or any(options.shifts_mm)):
        chosen = flipped.to(batch.device)[:, None, None, None, None]
        return torch.where(chosen, flip_sides(batch), batch)
    sizes = sizes[:, None].repeat(1, 3)
    sizes[:, 0] *= torch.where(flipped, -1.0, 1.0)
    moved = [
        Affine(
            rotate_params=turn,
            translate_params=shift,
            scale_params=size,
            padding_mode="zeros",
            device=batch.device,
            image_only=True,
        )(case)
        for case, turn, shift, size in zip(
            batch, turns.tolist(), shifts.tolist(), sizes.tolist(), strict=True
        )
    ]
    return torch.stack([convert_to_tensor(case) for case in moved])


def _change_density(
    batch: Tensor,
    channels: Sequence[ChannelName],
    options: AugmentationOptions,
    generator: torch.Generator,
) -> Tensor:
    """Shift brain and vessels by the same HU and add noise, where there is brain or vessel."""
    unit = HU_WINDOW[1] - HU_WINDOW[0]
    seed = int(torch.randint(2**62, (), generator=generator))
    there = torch.Generator(batch.device).manual_seed(seed)  # noise is too much to carry over
    shift = _uniform((len(batch), 1, 1, 1), options.hu_shift / unit, generator).to(batch.device)
    for index, name in enumerate(channels):
        if name not in HU_CHANNELS or not (options.hu_shift or options.hu_noise):
            continue
        values = batch[:, index]
        noise = torch.randn(values.shape, generator=there, device=batch.device)
        changed = values + shift + noise * (options.hu_noise / unit)
        batch[:, index] = torch.where(values > 0, changed, values)
    return batch


def _dropped(count: int, channels: int, probability: float, generator: torch.Generator) -> Tensor:
    """Choose at most one channel per sample to blank; never the only one."""
    hit = torch.rand(count, generator=generator) < probability * (channels > 1)
    which = torch.randint(channels, (count,), generator=generator)
    mask = functional.one_hot(which, channels).bool() & hit[:, None]
    return mask[:, :, None, None, None]

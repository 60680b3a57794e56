"""Augmentation that costs little time, and the axes that may be flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import (
    DownsampleSegForDSTransform,
)
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform

if TYPE_CHECKING:
    from lvo_kedro.nnunet.options import Mirroring


def quick_transforms(
    mirror_axes: tuple[int, ...], deep_supervision_scales: Any, *, light: bool
) -> ComposeTransforms:
    """Return the part of nnU-Net's augmentation that costs little time.

    Args:
        mirror_axes: The network's axes that may be flipped.
        deep_supervision_scales: Of the lower resolutions, as nnU-Net hands them on; or None.
        light: Noise and brightness too, not flips alone.
    """
    steps: list[Any] = []
    if light:
        noise = GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True)
        bright = MultiplicativeBrightnessTransform(
            BGContrast((0.85, 1.15)), synchronize_channels=False, p_per_channel=1
        )
        steps += [RandomTransform(noise, 0.1), RandomTransform(bright, 0.15)]
    if mirror_axes:
        steps.append(MirrorTransform(allowed_axes=mirror_axes))
    steps.append(RemoveLabelTansform(-1, 0))
    if deep_supervision_scales is not None:
        steps.append(DownsampleSegForDSTransform(ds_scales=deep_supervision_scales))
    return ComposeTransforms(steps)


def axes_to_mirror(
    mirroring: Mirroring, transpose_forward: list[int], all_axes: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the network's axes that may be flipped; frames are RAS+, so x comes last."""
    if mirroring == "all":
        return tuple(all_axes)
    if mirroring == "none":
        return ()
    return (transpose_forward.index(2) - (3 - len(all_axes)),)

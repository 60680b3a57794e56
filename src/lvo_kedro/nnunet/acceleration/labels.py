"""From logits to labels on the grid before nnU-Net's resampling, without storing resampled logits.

nnU-Net resamples all channels to the full grid and then takes the largest. Here a few slices at a
time are interpolated (with the same weights) and only the winner is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from nnunetv2.preprocessing.resampling.default_resampling import (
    determine_do_sep_z_and_axis,
    resample_data_or_seg_to_shape,
)
from torch.nn import functional

from lvo_kedro.nnunet import export

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from numpy.typing import NDArray

_SLICES = 8


def labels_from_logits(
    logits: torch.Tensor, network: nnUNetPredictor, properties: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Return labels (z, y, x) on the grid that nnU-Net was given.

    Args:
        logits: (labels, z, y, x) on nnU-Net's grid, its axes transposed as planned.
        network: Knows plans and configuration.
        properties: What nnU-Net's preprocessing noted about the image.
    """
    shape = properties["shape_after_cropping_and_before_resampling"]
    across = _interpolation_across_slices(network, properties)
    if tuple(logits.shape[1:]) != tuple(shape) and across is None:
        return export.labels_of(logits, network, properties)
    full = np.zeros(properties["shape_before_cropping"], dtype=np.uint8)
    box = tuple(slice(low, high) for low, high in properties["bbox_used_for_cropping"])
    full[box] = _winners(logits, shape, nearest=across == "nearest")
    return full.transpose(network.plans_manager.transpose_backward)


def _interpolation_across_slices(
    network: nnUNetPredictor, properties: Mapping[str, Any]
) -> Literal["linear", "nearest"] | None:
    """Return how nnU-Net would interpolate along its first axis, if linearly along the others.

    Thick slices are not interpolated but repeated. None where it would do something else.
    """
    plans, configuration = network.plans_manager, network.configuration_manager
    resampling = configuration.resampling_fn_probabilities
    if getattr(resampling, "func", None) is not resample_data_or_seg_to_shape:
        return None
    settings = resampling.keywords
    to = [properties["spacing"][axis] for axis in plans.transpose_forward]
    planned = list(configuration.spacing)
    now = planned if len(planned) == len(to) else [to[0], *planned]
    apart, axis = determine_do_sep_z_and_axis(settings["force_separate_z"], now, to)
    if settings["order"] != 1:
        return None
    if not apart:
        return "linear"
    return "nearest" if axis == 0 and settings["order_z"] == 0 else None


def _winners(
    logits: torch.Tensor, shape: Sequence[int], *, nearest: bool = False
) -> NDArray[np.uint8]:
    if tuple(logits.shape[1:]) == tuple(shape):
        return logits.argmax(dim=0).to(torch.uint8).numpy()
    winners = np.empty(tuple(shape), dtype=np.uint8)
    depth = logits.shape[1]
    position = (torch.arange(shape[0]) + 0.5) * (depth / shape[0]) - 0.5
    position = ((position + 0.5).floor() if nearest else position).clamp(0, depth - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=depth - 1)
    weight = (position - below)[:, None, None]
    for start in range(0, shape[0], _SLICES):
        part = slice(start, start + _SLICES)
        slab = torch.lerp(
            logits[:, below[part]].float(), logits[:, above[part]].float(), weight[part]
        )
        fine = functional.interpolate(slab, size=tuple(shape[1:]), mode="bilinear")
        winners[part] = fine.argmax(dim=0).to(torch.uint8).numpy()
    return winners

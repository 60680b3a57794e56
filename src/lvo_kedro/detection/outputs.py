"""What networks give for batches and for stored cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvo_kedro.detection.augmentation import flip_sides
from lvo_kedro.detection.data import SampleReader, in_groups
from lvo_kedro.detection.halves import Network, target_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@torch.no_grad()
def network_outputs(
    network: Network,
    reader: SampleReader,
    cases: Sequence[str],
    batch_size: int,
    flip: bool = False,
) -> Tensor:
    """Return the outputs for cases, read and computed batch by batch.

    Args:
        network: In evaluation mode.
        reader: Of the cases' samples.
        cases: Ids; at least one.
        batch_size: Cases per forward pass.
        flip: See :func:`batch_outputs`.

    Returns:
        float32 of shape (case, 1) or (case, 2) on the CPU, in the order of ``cases``.
    """
    groups = in_groups(cases, batch_size)
    return torch.cat([batch_outputs(network, batch, flip) for batch in reader.batches(groups)])


@torch.no_grad()
def batch_outputs(network: Network, batch: Tensor, flip: bool) -> Tensor:
    """Return the outputs for a batch.

    Args:
        network: In evaluation mode.
        batch: (case, channel, x, y, z) in [0, 1].
        flip: Average the logit with that of the mirrored case; a network of halves gives that the
            same two utilities, so it is not asked again.

    Returns:
        float32 of shape (case, 1) or (case, 2) on the CPU.
    """
    first = next(network.parameters())
    layout = torch.channels_last_3d
    if not first.is_contiguous(memory_format=layout):
        layout = torch.contiguous_format
    batch = batch.to(first.device).contiguous(memory_format=layout)
    outputs: Tensor = network(batch).float()
    if flip and target_of(network) == "case":
        mirrored = flip_sides(batch).contiguous(memory_format=layout)
        outputs = (outputs + network(mirrored).float()) / 2
    return outputs.cpu()

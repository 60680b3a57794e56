"""What a network's outputs mean for a case, and what they cost in training.

A network gives a case one logit, or a utility for its left and its right side (the order of
:data:`~lvo_kedro.vocabulary.SIDES`); that of no occlusion is 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence


def case_logits(outputs: Tensor) -> Tensor:
    """Return the logit of an occlusion on either side.

    Args:
        outputs: (case, 1) or (case, 2).

    Returns:
        Shape (case,). Its sigmoid is the softmax's probability of left plus that of right.
    """
    return outputs[:, 0] if outputs.shape[1] == 1 else torch.logsumexp(outputs, dim=1)


def loss_of(
    outputs: Tensor, labels: Sequence[int], sides: Sequence[str], weight: float | None = None
) -> Tensor:
    """Return the mean cross-entropy of a batch.

    Args:
        outputs: (case, 1) or (case, 2), of any precision; the loss is computed in float32.
        labels: 1 with, 0 without occlusion.
        sides: Of each case; read where there are two outputs. A case with an occlusion and no side
            counts with its marginal likelihood, -log(p_left + p_right).
        weight: Of a case with an occlusion; that of others is 1. The mean is over cases.

    Returns:
        A scalar on the device of ``outputs``.
    """
    occluded = torch.tensor([float(label) for label in labels], device=outputs.device)
    scale = None if weight is None else torch.tensor(weight, device=outputs.device)
    outputs = outputs.float()
    if outputs.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(
            outputs[:, 0], occluded, pos_weight=scale
        )
    answers = torch.log_softmax(functional.pad(outputs, (0, 1)), dim=1)  # the last is nothing
    right = [
        [bool(label) and side in ("", name) for name in SIDES] + [not label]
        for label, side in zip(labels, sides, strict=True)
    ]
    wrong = ~torch.tensor(right, device=outputs.device)
    losses = -torch.logsumexp(answers.masked_fill(wrong, -torch.inf), dim=1)
    if scale is not None:
        losses = torch.where(occluded > 0, losses * scale, losses)
    return losses.mean()


def positive_weight(labels: Sequence[int]) -> float:
    """Return the weight at which cases with an occlusion count as much as the others together."""
    return (len(labels) - sum(labels)) / sum(labels)


def chance_loss(labels: Sequence[int], sides: Sequence[str], balance: str) -> float:
    """Return the training loss of giving every case the same answer, the best of those.

    Args:
        labels: 1 with, 0 without occlusion, of the training cases.
        sides: Of each case, or nothing where the network gives one logit: what it must tell apart.
        balance: How they are sampled and weighted (``TrainingOptions.balance``).

    Returns:
        log 2 for one logit and balanced classes; with sides, the entropy of the three answers.
    """
    share = 0.5 if balance == "sample" else sum(labels) / len(labels)
    occluded = share * positive_weight(labels) if balance == "weight" else share
    each = occluded / sum(labels)
    return _entropy(occluded, 1 - share) + _entropy(*(each * list(sides).count(s) for s in SIDES))


def _entropy(*masses: float) -> float:
    """Return the entropy of a division of masses, times their sum."""
    whole = sum(masses)
    return -sum(mass * math.log(mass / whole) for mass in masses if mass > 0)

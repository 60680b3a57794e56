"""What of given weights fits a network: by names, shapes, and what labels and channels mean."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from lvo_kedro.vocabulary import Target
    from lvo_kedro.weights.given import Kind, Weights

logger = logging.getLogger(__name__)

_SHOWN = 5
_HEADS = ".seg_layers."
"""In the names of nnU-Net's layers that give a map a label."""
READS: Final[dict[Target, str]] = {"case": "whole heads", "sides": "halves of heads"}
"""What a detector sees, by what it answers."""


class Shape(NamedTuple):
    """What goes into a network and what comes out.

    Attributes:
        kind: Of network.
        labels: Names in the order of their values, without background; None where there are none.
        channels: Names, in order.
        target: What a detector answers.
    """

    kind: Kind
    labels: tuple[str, ...] | None
    channels: tuple[str, ...]
    target: Target = "case"


def put_into(network: nn.Module, weights: Weights, shape: Shape) -> None:
    """Replace a network's random weights by given ones, in place.

    Args:
        network: On any device.
        weights: Their layers that do not fit are left out where the user allows it.
        shape: Of the network.

    Raises:
        ModelError: Layers that do not fit, or none that does; names them.
    """
    own = network.state_dict()
    fitting, left_out = _fit(weights, own, shape)
    with torch.no_grad():
        for name, value in fitting.items():
            own[name].copy_(value)
    logger.info("starting from '%s' (sha256 %s)", weights.name, weights.sha256)
    if weights.kind is None:
        logger.warning("'%s' says nothing of labels and channels: shapes alone fit", weights.name)
    if left_out:
        text = "%d layers of '%s' do not fit and start at random: %s"
        logger.warning(text, len(left_out), weights.name, _listing(left_out))


def start_record(weights: Weights, own: Mapping[str, Tensor], shape: Shape) -> dict[str, Any]:
    """Return what a model's record says of the weights that its training started from.

    Args:
        weights: Those.
        own: The model's own tensors, trained or not.
        shape: Of the model's network.
    """
    _, left_out = _fit(weights, own, shape)
    return {
        "name": weights.name,
        **weights.identity,
        "left_out": list(left_out),
        "judged_by": "shapes alone" if weights.kind is None else "shapes, labels and channels",
        "spacing_mm": weights.spacing_mm,
        "trained_on": dict(weights.trained_on),
        "statement": weights.statement,
    }


def _fit(
    weights: Weights, own: Mapping[str, Tensor], shape: Shape
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors that fit, and why each of the others does not.

    nnU-Net's networks list a tensor under several names: it counts once, under the first.
    """
    if weights.kind not in (None, shape.kind):
        raise ModelError(
            f"start_from '{weights.name}', weights of a {weights.kind} network",
            f"those of a {shape.kind} network",
            "correct start_from",
        )
    if weights.kind == "detection" and weights.target != shape.target:
        raise ModelError(
            f"start_from '{weights.name}', weights of a network that reads {READS[weights.target]} "
            f"(target: {weights.target})",
            f"those of one that reads {READS[shape.target]} (target: {shape.target})",
            f"set `detector.target: {weights.target}`, or take other weights",
        )
    first: dict[int, str] = {}
    names = {name: first.setdefault(value.data_ptr(), name) for name, value in own.items()}
    given: dict[str, Tensor] = {}
    strange: dict[str, str] = {}
    seen: set[int] = set()
    for name, value in weights.tensors().items():
        if name in names:
            given.setdefault(names[name], value)
        elif value.data_ptr() not in seen:
            strange[name] = "no such layer in this network"
        seen.add(value.data_ptr())
    misfits = strange | _other_meaning(weights, own, shape)
    for name in first.values():
        if name not in given:
            misfits.setdefault(name, "not in the weights")
        elif given[name].shape != own[name].shape:
            sizes = f"{_size(given[name])} instead of {_size(own[name])}"
            misfits.setdefault(name, sizes)
    fitting = {name: value for name, value in given.items() if name not in misfits}
    learned = any(value.ndim > 1 for value in fitting.values())
    if misfits and not (weights.start.leave_out and learned):
        raise _misfit(weights, shape, misfits, learned)
    return fitting, misfits


def _other_meaning(weights: Weights, own: Mapping[str, Tensor], shape: Shape) -> dict[str, str]:
    """Return the layers whose labels or channels are others, whatever their shapes."""
    found: dict[str, str] = {}
    if weights.labels is not None and weights.labels != shape.labels:
        why = f"labels {_words(weights.labels)} instead of {_words(shape.labels)}"
        found |= {name: why for name in own if _HEADS in name}
    if weights.channels is not None and weights.channels != shape.channels:
        why = f"channels {_words(weights.channels)} instead of {_words(shape.channels)}"
        entry = next(name for name, value in own.items() if value.ndim > 3).rpartition(".")[0]
        found |= {name: why for name in own if name.rpartition(".")[0] == entry}
    return found


def _misfit(
    weights: Weights, shape: Shape, misfits: Mapping[str, str], learned: bool
) -> ModelError:
    labels = "" if shape.labels is None else f"labels {_words(shape.labels)} and "
    remedy = "train with the options that the weights were trained with, or take other weights"
    if learned:
        remedy += "; with start_from.leave_out: true these layers start at random"
    return ModelError(
        f"start_from '{weights.name}' of which {len(misfits)} layers do not fit"
        f"{'' if learned else ', and none does'}: {_listing(misfits)}",
        f"the layers of this network, {labels}channels {_words(shape.channels)}",
        remedy,
    )


def _listing(misfits: Mapping[str, str]) -> str:
    shown = [f"{name} ({why})" for name, why in list(misfits.items())[:_SHOWN]]
    more = len(misfits) - _SHOWN
    return "; ".join([*shown, f"and {more} more"] if more > 0 else shown)


def _words(names: Sequence[str] | None) -> str:
    return ", ".join(names or ()) or "none"


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"

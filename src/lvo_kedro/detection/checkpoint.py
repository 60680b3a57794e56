"""Checkpoints to resume a training from: tensors and plain values, nothing that runs code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lvo_kedro.artifacts import replacing

if TYPE_CHECKING:
    from pathlib import Path

    from lvo_kedro.detection.steps import State

CHECKPOINT = "resume.pt"

_PLAIN = ("epoch", "best", "best_epoch", "looks_since", "best_weights", "history")
_STATEFUL = ("network", "optimizer", "scaler")


def save_checkpoint(folder: Path, state: State, fingerprint: dict[str, Any]) -> None:
    """Write the state so that it is there whole or not at all."""
    content = {name: getattr(state, name) for name in _PLAIN}
    content |= {name: getattr(state, name).state_dict() for name in _STATEFUL}
    content["average"] = None if state.average is None else state.average.state_dict()
    content["fingerprint"] = fingerprint
    with replacing(folder / CHECKPOINT) as part:
        torch.save(content, part)


def resume(folder: Path, state: State, fingerprint: dict[str, Any]) -> None:
    """Take over the checkpoint in ``folder``, if it is one of the same training."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content["fingerprint"] != fingerprint:
        return
    for name in _PLAIN:
        setattr(state, name, content[name])
    for name in _STATEFUL:
        getattr(state, name).load_state_dict(content[name])
    if state.average is not None:
        state.average.load_state_dict(content["average"])

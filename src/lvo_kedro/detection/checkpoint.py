"""Checkpoints to resume a training from: tensors and plain values, nothing that runs code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lvo_kedro.artifacts import replacing
from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lvo_kedro.detection.steps import State

CHECKPOINT = "resume.pt"

_PLAIN = ("epoch", "best", "best_epoch", "looks_since", "best_weights", "history")
_STATEFUL = ("network", "optimizer", "scaler")


def refuse_other(folder: Path, there: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> None:
    """Raise ModelError where what is in a folder comes from other inputs than those given."""
    other = [name for name in {**fingerprint, **there} if there.get(name) != fingerprint.get(name)]
    if other:
        raise ModelError(
            f"a training in {folder} with other {', '.join(other)}",
            "nothing, or what the same training left",
            "train in an empty folder, or remove this one if it is no longer needed",
        )


def save_checkpoint(folder: Path, state: State, fingerprint: dict[str, Any]) -> None:
    """Write the state so that it is there whole or not at all."""
    content = {name: getattr(state, name) for name in _PLAIN}
    content |= {name: getattr(state, name).state_dict() for name in _STATEFUL}
    content["average"] = None if state.average is None else state.average.state_dict()
    content["fingerprint"] = fingerprint
    with replacing(folder / CHECKPOINT) as part:
        torch.save(content, part)


def resume(folder: Path, state: State, fingerprint: dict[str, Any]) -> None:
    """Take over the checkpoint in ``folder``, if there is one.

    Raises:
        ModelError: It is one of another training.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return
    content = torch.load(path, map_location="cpu", weights_only=True)
    refuse_other(folder, content["fingerprint"], fingerprint)
    for name in _PLAIN:
        setattr(state, name, content[name])
    for name in _STATEFUL:
        getattr(state, name).load_state_dict(content[name])
    if state.average is not None:
        state.average.load_state_dict(content["average"])

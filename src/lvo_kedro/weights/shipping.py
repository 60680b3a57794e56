"""Weights as one safetensors file that says itself what they are, half the size of a model's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from lvo_kedro.artifacts import replacing
from lvo_kedro.options import StartOptions
from lvo_kedro.weights.given import Weights, find_start, read_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def write_weights(
    path: Path,
    model: Path,
    *,
    trained_on: Mapping[str, str] | str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Weights:
    """Write a trained model's weights as a file to start from, in half precision.

    The header says what the model's own description says: kind, labels, channels, voxel spacing,
    architecture, what a detector answers, and the content hashes of the scans that it was trained
    on, with their case ids.

    Args:
        path: ``<name>.safetensors``.
        model: Model folder: any that ``start_from`` takes.
        trained_on: Instead of the model's own record: content hash of each scan by case id, or a
            statement in words, for instance that all heads were simulated. A statement takes the
            ids and hashes out of the file; what it says cannot be checked against a cohort.
        facts: Anything else for a data sheet: licence, date, measured values. Plain values.

    Returns:
        What :func:`~lvo_kedro.weights.read_weights` now says about the file.

    Raises:
        ModelError: The model cannot be read, or ``path`` is no safetensors file.
    """
    source = read(model)
    header: dict[str, Any] = {
        "kind": source.kind,
        "labels": source.labels,
        "channels": source.channels,
        "spacing_mm": source.spacing_mm,
        "architecture": dict(source.architecture),
        "trained_on": dict(source.trained_on),
        "statement": source.statement,
        "facts": dict(facts or {}),
    }
    if source.kind == "detection":
        header |= {"target": source.target}
    if isinstance(trained_on, str):
        header |= {"trained_on": {}, "statement": trained_on}
    elif trained_on is not None:
        header |= {"trained_on": dict(trained_on)}
    with replacing(path) as part:
        save_file(
            {name: _halved(value) for name, value in _once(source.tensors()).items()},
            str(part),
            metadata={name: json.dumps(value) for name, value in header.items()},
        )
    return read(path)


def read(path: Path) -> Weights:
    """Read what is known about the weights of a file or model folder."""
    start = find_start(StartOptions(weights=str(path.absolute())))
    if start is None:
        raise RuntimeError("options that name weights have a start")
    return read_weights(start)


def _once(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keep the first name of each tensor; nnU-Net's networks list most of them several times."""
    first: dict[int, str] = {}
    return {n: v for n, v in tensors.items() if first.setdefault(v.data_ptr(), n) == n}


def _halved(value: Tensor) -> Tensor:
    """Halve a tensor's precision, unless its numbers would leave half precision's range."""
    if not value.is_floating_point():
        return value.contiguous()
    half = value.half()
    fits = torch.isfinite(half).all() or not torch.isfinite(value).all()
    return (half if fits else value).contiguous()

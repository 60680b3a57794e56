"""Checkpoints that torch wrote, from anywhere: read as tensors and plain values, never executed."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_SCALAR: Any = np.float64(0).__reduce__()[0]
_NUMBERS = ("float16", "float32", "float64", "int32", "int64", "bool")
_SAFE: list[Any] = [
    # NumPy 2 has moved its modules; a file names the place of the NumPy that wrote it
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("_core", "core")),
    np.dtype,
    *(type(np.dtype(name)) for name in _NUMBERS),
]
"""What nnU-Net's log of losses is made of: NumPy's numbers, which run no code of the file's."""


def read_checkpoint(path: Path, owner: str) -> Any:
    """Return what nnU-Net (or this project) stored with torch, on the CPU.

    Args:
        path: The file.
        owner: Whose it is, as an error begins: folders above the file may name a patient.

    Raises:
        ModelError: The file is damaged, or holds what could run code.
    """
    try:
        with torch.serialization.safe_globals(_SAFE):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ModelError(
            f"{owner} whose {path.name} is damaged, or holds more than "
            "tensors, numbers and text; nothing in it was executed",
            "a checkpoint as nnU-Net writes it",
            "copy it again; or, if you trust its origin, load it yourself and save its "
            "network_weights alone, as torch.save({'network_weights': ...}, file)",
        ) from error
    except Exception as error:  # what a damaged file makes of the reader's stack can be any
        raise unreadable(path, owner, error) from error


def unreadable(path: Path, owner: str, error: Exception) -> ModelError:
    """Return what is said of a file of weights that cannot be read."""
    return ModelError(
        f"{owner} whose {path.name} cannot be read as weights ({type(error).__name__})",
        "a whole file of tensors",
        "copy it again",
    )

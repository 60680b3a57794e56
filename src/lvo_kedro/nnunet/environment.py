"""nnU-Net's surroundings, for the length of one call.

nnU-Net reads its folders and switches from environment variables whenever it uses them, and it
prints. Inside :func:`nnunet_environment` the variables point to our folders and the prints go to
the log; afterwards everything is as it was, so a user's own nnU-Net set-up is never touched.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lvo_kedro.nnunet.options import NnUNetOptions

logger = logging.getLogger(__name__)

DATASET = "Dataset001_lvo"
"""Every prepared dataset has its own folders, so that one name and number serve them all."""

PLANS = "nnUNetPlans"


@contextmanager
def nnunet_environment(
    folder: Path, augmentation_workers: int = 0, compile_network: bool = False
) -> Iterator[None]:
    """Let nnU-Net work below ``folder`` (``raw`` and ``preprocessed``) and speak to the log.

    Results go to a temporary folder: whatever is to stay is written by us.
    """
    with tempfile.TemporaryDirectory(prefix="lvo-nnunet-") as results, ExitStack() as stack:
        variables = {
            "nnUNet_raw": str(folder / "raw"),
            "nnUNet_preprocessed": str(folder / "preprocessed"),
            "nnUNet_results": results,
            "nnUNet_n_proc_DA": str(augmentation_workers),
            "nnUNet_compile": "t" if compile_network else "f",
            "nnUNet_wandb_enabled": "0",
        }
        stack.enter_context(_variables(variables))
        stack.enter_context(quiet())
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Turn the ``print`` of every nnU-Net module into a debug message.

    Standard output itself is left alone, because log handlers may write to it.
    """
    modules = [m for name, m in list(sys.modules.items()) if name.startswith("nnunetv2")]
    spoken = [module for module in modules if "print" not in vars(module)]
    for module in spoken:
        vars(module)["print"] = _to_log
    try:
        yield
    finally:
        for module in spoken:
            del vars(module)["print"]


@contextmanager
def own_random_state() -> Iterator[None]:
    """Give the caller's random generators (Python, NumPy, torch) back as they were."""
    python, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_state)


def seed_everything(*parts: int) -> None:
    """Seed Python, NumPy and torch from several whole numbers."""
    seed = int(np.random.SeedSequence(parts).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def device_name(options: NnUNetOptions) -> str:
    """Return the device to compute on.

    Raises:
        ModelError: Where CUDA is asked for and absent.
    """
    cuda = torch.cuda.is_available()
    if options.device.startswith("cuda") and not cuda:
        raise ModelError(
            f"device {options.device!r} and no usable GPU", "a device that is there", "use 'auto'"
        )
    return ("cuda" if cuda else "cpu") if options.device == "auto" else options.device


def _to_log(*words: object, **_: Any) -> None:
    text = " ".join(str(word) for word in words).strip()
    if text:
        logger.debug(text)


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

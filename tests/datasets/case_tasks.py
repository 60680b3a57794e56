"""What worker processes do in tests of cases: a module of its own, since they import it quickly."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from lvo_kedro.errors import ScanError


def measure(value: int, trace: Path) -> dict[str, object]:
    with trace.open("a") as stream:
        stream.write(f"{value}\n")
    image = nib.Nifti1Image(np.full((2, 2, 2), value, np.int16), np.eye(4), dtype=np.int16)
    return {"scan": image, "quality": {"value": value}}


def refuse(value: int) -> dict[str, object]:
    raise ScanError(f"{value} slices", "at least 10", "export the whole series")


class Trace:
    """A file that tasks write to, which has no influence on results."""

    fingerprint = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, mode: str):
        return self.path.open(mode)

    def lines(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []


def meet(other: str, *, folder: Path) -> dict[str, object]:
    """Finish only while ``other`` is at work too."""
    (folder / "here").touch()
    patience = time.monotonic() + 60
    while not (folder.parent / other / "here").exists():
        if time.monotonic() > patience:
            raise TimeoutError(f"{other} never came")
        time.sleep(0.02)
    return {}


def die(victim: str, name: str, trace: Trace) -> dict[str, object]:
    """End the process, as the system does where memory runs out."""
    with trace.open("a") as stream:
        stream.write(f"{name}\n")
    if name == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"quality": {"name": name}}


_KEPT: list[bytearray] = []


def grow(size: int) -> dict[str, object]:
    _KEPT.append(bytearray(b"1" * size))
    time.sleep(1.1)  # loky looks at a worker once a second
    return {"quality": {"process": os.getpid()}}


def count_threads() -> dict[str, object]:
    import torch

    return {"quality": {"threads": torch.get_num_threads()}}

"""The device that computes, and its memory."""

from __future__ import annotations

import os
import sys

import torch


def pick_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory used so far: the device's, or on a CPU the process's (MB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if os.name == "nt":
        import psutil  # noqa: PLC0415 - installed there alone

        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource  # noqa: PLC0415 - not on Windows

    unit = 1 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

"""What workers of a cluster do in tests: they import it, so it stands in a module of its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np


def compute(number: int, seconds: float = 0.0) -> dict[str, Any]:
    """Numbers that depend on the case alone, after a while."""
    time.sleep(seconds)
    values = np.random.default_rng(number).normal(size=(50, 50))
    return {"result": {"number": number, "norm": float(np.linalg.svd(values)[1][0])}}


def wait_once(number: int, marks: Path) -> dict[str, Any]:
    """The first attempt says who it is, and waits to be killed; the next one ends."""
    mark = marks / f"attempt_{len(list(marks.glob('attempt_*')))}"
    mark.write_text(str(os.getpid()))
    if mark.name == "attempt_0":
        time.sleep(300)
    return compute(number)


def die() -> dict[str, Any]:
    """End the worker, as the system does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}

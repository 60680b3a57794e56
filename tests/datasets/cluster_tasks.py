"""What workers of a cluster do in tests: they import it, so it stands in a module of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np


def compute(number: int, seconds: float = 0.0) -> dict[str, Any]:
    """Numbers that depend on the case alone, after a while."""
    time.sleep(seconds)
    values = np.random.default_rng(number).normal(size=(50, 50))
    return {"result": {"number": number, "norm": float(np.linalg.svd(values)[1][0])}}


def spin(number: int, rounds: int) -> dict[str, Any]:
    """Keep a core busy with plain Python."""
    total = number
    for step in range(rounds):
        total = (total * 31 + step) % 1_000_003
    return {"result": {"number": number, "total": total}}


def wait_once(number: int, marks: Path) -> dict[str, Any]:
    """The first attempt says who it is, and waits to be killed; the next one ends."""
    mark = marks / f"attempt_{len(list(marks.glob('attempt_*')))}"
    mark.write_text(str(os.getpid()))
    if mark.name == "attempt_0":
        time.sleep(300)
    return compute(number)

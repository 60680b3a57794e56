"""The process beside a run that ends what is left of it; see :mod:`lvo_kedro.stopping`.

``python -m lvo_kedro.guard RUN SIGNALS FOLDER TRACKING`` with the pipe of the run's signals as
standard input. It does nothing at all while the run goes on.
"""

from __future__ import annotations

import importlib
import os
import select
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lvo_kedro.stopping import DONE, LAST_WORD, end_processes

if TYPE_CHECKING:
    from types import ModuleType

PATIENCE = 3.5
"""Seconds that a run has to end by itself once it was told to stop."""
INTERVAL = 0.5


def watch(run: int, signals: list[int], folder: Path, tracking: Path) -> None:
    """Wait until a run has ended, and see to it that it does.

    Args:
        run: Its process, the parent of this one.
        signals: Those that tell it to stop.
        folder: Its temporary files, by which what it started is recognised.
        tracking: Where open runs are listed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    told, deadline = 0, float("inf")
    while os.getppid() == run and time.monotonic() < deadline:
        ready, _, _ = select.select([0], [], [], INTERVAL)
        word = os.read(0, 1) if ready else b""
        if word == DONE:
            os._exit(0)  # an import that has begun need not end
        if ready and not word:  # the run has ended, without a word
            break
        if word and word[0] in signals and not told:
            told, deadline = word[0], time.monotonic() + PATIENCE
            threading.Thread(target=_load_tracking, daemon=True).start()
    _end(run, told)
    end_processes(folder)
    if told:
        sys.stderr.write(f"{LAST_WORD}\n")
    _load_tracking().close_left_runs(tracking, patience=2)
    shutil.rmtree(folder, ignore_errors=True)


def _end(run: int, told: int) -> None:
    """End a run that did not: by the signal again, which it no longer handles, or for good."""
    for number in (told or signal.SIGKILL, signal.SIGKILL):
        if os.getppid() != run:
            return
        with suppress(ProcessLookupError):
            os.kill(run, number)
        end = time.monotonic() + 1
        while os.getppid() == run and time.monotonic() < end:
            time.sleep(0.05)


def _load_tracking() -> ModuleType:
    """Import what closes a run: it takes seconds, and is seldom needed."""
    return importlib.import_module("lvo_kedro.tracking_recovery")


if __name__ == "__main__":
    process, numbers, *folders = sys.argv[1:]
    watch(int(process), [int(n) for n in numbers.split(",") if n], *map(Path, folders))

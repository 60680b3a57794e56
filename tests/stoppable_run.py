"""A run of two workers that never end, made of what surrounds a real one, for a test to stop.

``python -m tests.stoppable_run DATA MANNER``. In the manner ``stuck`` the main process is in
compiled code that lets no other thread run, as a registration is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import joblib
import numpy as np

from lvo_kedro.datasets.workers import _prepare_worker
from lvo_kedro.lock import working_on
from lvo_kedro.stopping import Stoppable, when_stopped
from lvo_kedro.tracking import FoldLog, TrackingOptions, end_run, start_tracking


def work(number: int, _: np.ndarray, data: Path) -> None:
    """Sleep, or keep a core busy, with a temporary folder and a child process."""
    with tempfile.TemporaryDirectory(prefix="lvo-") as folder:
        subprocess.Popen(["sleep", "600"])  # noqa: S607
        (data / f"worker_{number}").write_text(folder)
        while not number:
            sum(range(1000))
        time.sleep(600)


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("manner")
def run(data: Path, manner: str) -> None:
    """Work until somebody stops it."""
    options = TrackingOptions(folder="mlflow")
    run = Stoppable(data / "mlflow")
    run.begin()
    lock = working_on(data, "test", writes=True)
    lock.__enter__()
    when_stopped(lambda: lock.__exit__(None, None, None))
    start_tracking(options, data, "test", {})
    when_stopped(lambda: end_run("KILLED"))
    FoldLog("detectors", "fold_0", 1)({"train_loss": 1.0}, 0)
    if manner == "stuck":
        (data / "ready").touch()
        sum(range(10**13))
    jobs = (joblib.delayed(work)(n, np.zeros(10**6), data) for n in range(2))
    with joblib.parallel_config("loky", initializer=_prepare_worker, initargs=(os.getpid(),)):
        for _ in joblib.Parallel(n_jobs=2, return_as="generator_unordered")(jobs):
            pass


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sys.exit(run())

"""A run that is told to stop ends within seconds, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from lvo_kedro.lock import RUNS, working_on
from lvo_kedro.stopping import LAST_WORD, Stoppable, scratch

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 10.0
"""Seconds within which everything must have ended."""
MARK = "LVO_TEST_RUN"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


class Run:
    """A run in a process group of its own, with all that it starts."""

    def __init__(self, folder: Path, manner: str) -> None:
        self.data = folder / "data"
        self.temporary = folder / "tmp"
        self.data.mkdir()
        self.temporary.mkdir()
        variables = {MARK: str(folder), "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "tests.stoppable_run", str(self.data), manner],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | variables,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        ready = ["ready"] if manner == "stuck" else ["worker_0", "worker_1"]
        end = time.monotonic() + 120
        while not all((self.data / name).exists() for name in ready):
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.05)

    def alive(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK) == str(self.data.parent)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def shared_memory(self) -> list[str]:
        names = os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else []  # noqa: S108
        return [
            name for name in names if str(self.process.pid) in name.replace("_", "-").split("-")
        ]

    def statuses(self) -> list[str]:
        with closing(sqlite3.connect(self.data / "mlflow" / "mlflow.db")) as connection:
            return [status for (status,) in connection.execute("SELECT status FROM runs")]

    def wait(self) -> tuple[int, float, str]:
        """Return status, seconds and words, once nothing lives that the run has started."""
        start = time.monotonic()
        _, said = self.process.communicate(timeout=30)
        while self.alive() and time.monotonic() < start + 30:
            time.sleep(0.05)
        return self.process.returncode, time.monotonic() - start, said


@pytest.fixture
def started(tmp_path):
    runs = []

    def start(manner: str) -> Run:
        runs.append(Run(tmp_path, manner))
        return runs[-1]

    yield start
    for run in runs:
        for process in run.alive():
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "manner", "everybody"),
    [
        pytest.param(signal.SIGTERM, "workers", False, marks=pytest.mark.long),
        # a terminal sends it to all
        pytest.param(signal.SIGINT, "workers", True, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, "stuck", True, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, "workers", False, marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_stopped_leaves_nothing(started, number, manner, everybody):
    run = started(manner)
    assert len(run.alive()) >= (6 if manner == "workers" else 2)
    assert run.statuses() == ["RUNNING", "RUNNING"]
    (os.killpg if everybody else os.kill)(run.process.pid, number)
    status, seconds, said = run.wait()
    # one that is stuck dies of the signal, which a shell shows as 128 + number as well
    assert status == (-number if manner == "stuck" or number == signal.SIGKILL else 128 + number)
    assert seconds < LIMIT
    assert run.alive() == []
    assert run.shared_memory() == []
    assert list(run.temporary.iterdir()) == []
    assert run.statuses() == ["KILLED", "KILLED"], said
    if number != signal.SIGKILL:
        assert said.splitlines()[-1] == LAST_WORD
        assert "Traceback" not in said
    with working_on(run.data, "the next run", writes=True):
        assert len(list((run.data / RUNS).glob("*.json"))) == 1
    assert list((run.data / "mlflow" / "unfinished").iterdir()) == []


def test_handlers_and_temporary_folder_are_put_back(tmp_path):
    import tempfile

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers], tempfile.gettempdir()
    run = Stoppable(tmp_path)
    run.begin()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(scratch())
    run.end()
    assert ([signal.getsignal(number) for number in numbers], tempfile.gettempdir()) == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As in a terminal: a shell's background jobs ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_without_a_command_line_a_keyboard_interrupt_stays_one(tmp_path):
    run, done = Stoppable(tmp_path), []
    run.begin()
    run.when_stopped(lambda: done.append("last"))
    run.when_stopped(lambda: done.append("first"))
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert done == []
    run.clean_up()  # the next run, or the end of the process
    run.clean_up()
    assert done == ["first", "last"]


def test_what_fails_while_stopping_does_not_keep_the_rest(tmp_path):
    run, done = Stoppable(tmp_path), []
    run.begin()
    run.when_stopped(lambda: done.append("lock"))
    run.when_stopped(lambda: 1 / 0)
    run.clean_up()
    assert done == ["lock"]

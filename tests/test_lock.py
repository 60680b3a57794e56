"""Who may work on a data folder at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from lvo_kedro.lock import DOOR, RUNS, BusyError, UnlockableError, working_on

OTHER = """
import sys
from pathlib import Path
from lvo_kedro.lock import working_on
with working_on(Path(sys.argv[1]), sys.argv[2], writes=sys.argv[3] == "True"):
    print("started", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def elsewhere(data, title, *, writes):
    """Work on the folder in another process, until the block ends or it is killed."""
    command = [sys.executable, "-c", OTHER, str(data), title, str(writes)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # noqa: S603
        assert process.stdout.readline() == "started\n"
        yield process
        process.communicate("end\n")


@pytest.mark.parametrize(
    ("other", "own", "allowed"),
    [(False, False, True), (False, True, False), (True, False, False), (True, True, False)],
)
def test_readers_go_side_by_side_and_a_writer_alone(tmp_path, other, own, allowed):
    with elsewhere(tmp_path, "their run", writes=other) as process:
        if allowed:
            with working_on(tmp_path, "own run", writes=own):
                pass
        else:
            with (
                pytest.raises(BusyError) as caught,
                working_on(tmp_path, "own run", writes=own),
            ):
                pytest.fail("started beside another run")
            said = str(caught.value)
            for part in ("'own run'", "their run, since 2", f"process {process.pid} on ", "Wait"):
                assert part in said
    with working_on(tmp_path, "own run", writes=own):
        pass


def test_a_run_that_is_killed_leaves_no_lock(tmp_path):
    with elsewhere(tmp_path, "their run", writes=True) as process:
        process.kill()
        process.wait()
        with working_on(tmp_path, "own run", writes=True):
            assert len(list((tmp_path / RUNS).glob("*.json"))) == 1
    assert [path.name for path in (tmp_path / RUNS).iterdir()] == [DOOR]


def test_a_process_that_a_run_started_does_not_hold_its_lock(tmp_path):
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    with elsewhere(tmp_path, "their run", writes=True):
        pass
    ready, end = os.pipe(), os.pipe()
    with working_on(tmp_path, "own run", writes=True):
        child = os.fork()
        if not child:
            os.write(ready[1], b".")
            os.read(end[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
    with elsewhere(tmp_path, "their run", writes=True):
        os.write(end[1], b".")
    os.waitpid(child, 0)


def test_a_failure_leaves_no_lock(tmp_path):
    with pytest.raises(KeyError), working_on(tmp_path, "own run", writes=True):
        raise KeyError
    with elsewhere(tmp_path, "their run", writes=True):
        pass


def test_runs_of_one_process_see_each_other(tmp_path):
    with working_on(tmp_path, "score", writes=False), working_on(tmp_path, "again", writes=False):
        with pytest.raises(BusyError), working_on(tmp_path, "training", writes=True):
            pytest.fail("started beside another run")


def test_locks_allow_whom_the_data_folder_allows(tmp_path):
    tmp_path.chmod(0o770)
    with working_on(tmp_path, "own run", writes=False):
        modes = {path.suffix: path.stat().st_mode & 0o777 for path in (tmp_path / RUNS).iterdir()}
        assert modes == {"": 0o660, ".lock": 0o660, ".json": 0o660}
        assert (tmp_path / RUNS).stat().st_mode & 0o777 == 0o770


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
@pytest.mark.parametrize("name", [DOOR, "."])
def test_a_lock_that_belongs_to_somebody_else_is_a_clear_error(tmp_path, name):
    with working_on(tmp_path, "own run", writes=True):
        pass
    (tmp_path / RUNS / name).chmod(0o444 if name == DOOR else 0o555)
    with pytest.raises(UnlockableError, match="must be able to write to it"):
        with working_on(tmp_path, "own run", writes=False):
            pytest.fail("started without a lock")


def test_a_file_system_without_locks_is_a_clear_error(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(UnlockableError, match="Function not implemented"):
        with working_on(tmp_path, "own run", writes=False):
            pytest.fail("started without a lock")

"""What keeps a run from starting, or ends it, is said in a few words with what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from click import ClickException

from lvo_kedro.disk import StorageError, storage_error
from lvo_kedro.lock import RUNS, working_on
from lvo_kedro.run_hooks import UnknownParameterError
from lvo_kedro.stopping import Stoppable
from tests.pipelines.side_by_side import REGISTRY, registry


@pytest.fixture
def project(empty, monkeypatch):
    """An empty project whose pipelines take no time; what happens meanwhile is the test's."""

    def meanwhile(action=lambda: None):
        monkeypatch.setitem(sys.modules, REGISTRY, registry(action))
        return empty

    return meanwhile


def add(file: Path, text: str) -> None:
    with file.open("a") as stream:
        stream.write(text)


def test_a_misspelt_block_is_an_error_that_names_it(project):
    tiny = project()
    with pytest.raises(UnknownParameterError) as caught:
        tiny.run(detectr={"epochs": 3})
    said = caught.value.message
    assert "detectr (did you mean detector?)" in said
    assert "--params" in said
    add(tiny.folder / "conf" / "tiny" / "parameters.yml", "fodls: {count: 3}\n_mine: 1\n")
    with pytest.raises(UnknownParameterError, match=r"fodls \(did you mean folds\?\)") as caught:
        tiny.run()
    assert "_mine" not in caught.value.message
    assert "conf/tiny/parameters" in caught.value.message
    assert not (tiny.data / "mlflow").exists()


def test_a_misspelt_global_is_an_error_that_names_it(project):
    tiny = project()
    add(tiny.folder / "conf" / "tiny" / "globals.yml", "worker: 3\n_root: /mnt\n")
    with pytest.raises(UnknownParameterError, match=r"worker \(did you mean workers\?\)"):
        tiny.run()


def test_names_that_something_takes_are_no_error(project):
    tiny = project()
    tiny.run(detector={"epochs": 3}, permutation_1={"seed": 4})
    assert (tiny.data / "mlflow" / "mlflow.db").is_file()


def test_a_damaged_tracking_database_is_a_clear_error(project):
    tiny = project()
    (tiny.data / "mlflow").mkdir(parents=True)
    (tiny.data / "mlflow" / "mlflow.db").write_bytes(b"no database " * 1000)
    with pytest.raises(StorageError) as caught:
        tiny.run()
    assert "file is not a database" in caught.value.message
    assert str(tiny.data) in caught.value.message
    assert not list((tiny.data / RUNS).glob("*.json"))


def test_a_database_that_cannot_be_opened_is_a_clear_error(project):
    tiny = project()
    (tiny.data / "mlflow" / "mlflow.db").mkdir(parents=True)
    with pytest.raises(ClickException, match="move it away"):
        tiny.run()


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_disk_that_is_full_in_mid_run_is_a_clear_error_and_the_next_run_goes_on(project):
    import resource

    kind = resource.RLIMIT_FSIZE
    before = resource.getrlimit(kind)
    # no file may grow beyond it, and the database is larger
    tiny = project(lambda: resource.setrlimit(kind, (4096, before[1])))
    try:
        with pytest.raises(StorageError) as caught:
            tiny.run()
    finally:
        resource.setrlimit(kind, before)
    assert "Free some" in caught.value.message
    assert "the same command goes on" in caught.value.message
    project().run()
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert sorted(run.info.status for run in runs) == ["FINISHED", "KILLED"]


@pytest.mark.long
def test_a_failure_leaves_no_run_and_no_guard(project):
    def fail() -> None:
        raise ValueError("broken")

    tiny = project(fail)
    guards: list[Stoppable] = []
    with pytest.MonkeyPatch.context() as patch:
        begin = Stoppable.begin
        patch.setattr(Stoppable, "begin", lambda run: guards.append(run) or begin(run))
        with pytest.raises(ValueError, match="broken"):
            tiny.run()
    (run,) = guards
    assert run._guard is None
    (found,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert (found.info.status, found.data.tags["error"]) == ("FAILED", "ValueError")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left for"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
        (sqlite3.OperationalError("database or disk is full"), "no space is left"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "read-only"),
        (sqlite3.DatabaseError("database disk image is malformed"), "move it away"),
    ],
)
def test_the_disk_is_found_behind_other_errors(tmp_path, error, said):
    try:
        try:
            raise error
        except Exception as cause:
            raise ValueError("a page of text") from cause
    except ValueError as outer:
        found = storage_error(outer, tmp_path)
    assert said in found.message
    assert str(tmp_path) in found.message


@pytest.mark.parametrize("error", [OSError("other"), KeyError("x"), pd.errors.EmptyDataError()])
def test_other_errors_are_left_alone(tmp_path, error):
    assert storage_error(error, tmp_path) is None


def test_a_read_only_data_folder_is_said_at_the_start(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match="Mount it for writing"):
        with working_on(tmp_path, "own run", writes=True):
            pytest.fail("started without a lock")

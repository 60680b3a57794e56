"""A drop folder: nothing is taken half, scored twice or lost."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.scoring.watching import DropFolder, stopped_by_signals, watch


@pytest.fixture
def drop(tmp_path):
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


def watched(scorer, folder, count, quiet=0.0):
    """Watch until ``count`` scans came, or nothing comes any more."""
    stop, found = threading.Event(), []
    threading.Timer(5.0 if count else 0.3, stop.set).start()
    for item in watch(scorer, DropFolder(folder, scorer.out, quiet), stop, interval=0.02):
        found.append(item)
        if len(found) == count:
            stop.set()
    return found


def test_what_is_dropped_is_scored_once_also_after_a_restart(scorer, drop):
    (drop / "a.nii").write_text("a")
    (drop / "b.nii").write_text("unfit")
    assert len(watched(scorer, drop, 2)) == 2
    (drop / "renamed.nii").write_text("a")
    assert watched(scorer, drop, 0) == []
    (drop / "c.nii").write_text("c")
    assert [item.scan.name for item in watched(scorer, drop, 1)] == ["c.nii"]
    assert scorer.seen == ["a", "unfit", "c"]


def test_one_that_was_cut_short_by_a_kill_is_scored_by_the_next_watch(scorer, drop):
    (drop / "a.nii").write_text("a")
    left = scorer.out / ".work-killed"
    left.mkdir(parents=True)
    assert len(watched(scorer, drop, 1)) == 1
    assert not left.exists()


def test_nothing_is_taken_while_it_grows(drop, tmp_path):
    folder = DropFolder(drop, tmp_path / "out", quiet=0.15)
    (drop / "series").mkdir()
    assert folder.ready() == []  # nothing in it yet
    for number in range(4):
        (drop / "series" / f"{number}.dcm").write_text("slice")
        assert folder.ready() == []
        time.sleep(0.05)
    time.sleep(0.2)
    assert folder.ready() == [drop / "series"]
    assert folder.ready() == []
    (drop / "series" / "late.dcm").write_text("slice")  # then it is another scan
    assert folder.ready() == []
    time.sleep(0.2)
    assert folder.ready() == [drop / "series"]


def test_a_folder_that_is_away_for_a_moment_does_not_end_the_watch(scorer, drop, tmp_path):
    folder = DropFolder(drop, scorer.out, 0.0)
    drop.rename(tmp_path / "away")
    assert folder.ready() == []
    (tmp_path / "away").rename(drop)
    (drop / "a.nii").write_text("a")
    assert folder.ready() == [drop / "a.nii"]


def test_what_cannot_be_read_now_is_said_and_looked_at_again(scorer, drop, monkeypatch):
    (drop / "a.nii").write_text("a")
    folder = DropFolder(drop, scorer.out, 0.0)

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    assert folder.ready() == [drop / "a.nii"]
    with monkeypatch.context() as patch:
        patch.setattr("lvo_kedro.scoring.watching.scan_id", refuse)
        with pytest.raises(ScanError, match="Permission denied"):
            folder.is_new(drop / "a.nii")
    assert folder.ready() == [drop / "a.nii"]
    assert folder.is_new(drop / "a.nii")


def test_hidden_files_and_links_are_left_alone(drop, tmp_path):
    (tmp_path / "secret.nii").write_text("x")
    os.symlink(tmp_path / "secret.nii", drop / "link.nii")
    (drop / ".part.nii").write_text("x")
    folder = DropFolder(drop, tmp_path / "out", quiet=0.0)
    folder.ready()
    assert folder.ready() == []


def test_a_scan_that_makes_the_scorer_fail_is_not_tried_again_and_again(scorer, drop):
    (drop / "a.nii").write_text("broken")
    assert [item.failed for item in watched(scorer, drop, 1)] == [True]
    stop = threading.Event()
    folder = DropFolder(drop, scorer.out, 0.0)
    threading.Timer(0.3, stop.set).start()
    assert len(list(watch(scorer, folder, stop, interval=0.02))) == 1  # once by each watch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_scan_end_and_a_second_one_does_not(number):
    before = signal.getsignal(number)
    with stopped_by_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before

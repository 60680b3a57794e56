"""A clock that jumps: nothing is lost, nothing is computed twice, no change goes unnoticed."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.datasets.records import read_record

YEAR = 365 * 86400.0


class Clock:
    """The system's clock, which can be set; what runs on beside it cannot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead, true, true_ns = 0.0, time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: true() + self.ahead)
        monkeypatch.setattr(time, "time_ns", lambda: true_ns() + round(self.ahead * 1e9))

    def stamp(self, path: Path) -> None:
        """Give a file the time that it would have had on this clock."""
        os.utime(path, (time.time(), time.time()))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


class Steps:
    """What is done for each case, on a clock that is set before each of them."""

    fingerprint = None

    def __init__(self, clock: Clock, jumps: list[float]) -> None:
        self.clock, self.jumps, self.done = clock, list(jumps), []

    def read(self, scan: Path) -> dict[str, object]:
        if self.jumps:
            self.clock.ahead = self.jumps.pop(0)
        self.done.append(scan.name)
        return {"result": {"text": scan.read_text()}}


def read(scan: Path, steps: Steps) -> dict[str, object]:
    return steps.read(scan)


def run(folder: Path, steps: Steps) -> CaseDataset:
    dataset = CaseDataset(path=str(folder / "out"), files=["result.json"])
    scans = sorted(folder.glob("*.txt"))
    dataset.save({scan.stem: partial(read, scan, steps=steps) for scan in scans})
    return dataset


@pytest.mark.parametrize("jumps", [[-YEAR, 0, YEAR, -2 * YEAR], [YEAR, YEAR, 0, 0], [-1, 1, -1, 1]])
def test_what_is_done_stays_done_however_the_clock_jumps(tmp_path, clock, jumps):
    for name in "abcd":
        (tmp_path / f"{name}.txt").write_text(name)
    steps = Steps(clock, jumps)
    run(tmp_path, steps)
    assert sorted(steps.done) == [f"{name}.txt" for name in "abcd"]
    for ahead in (0.0, YEAR, -YEAR):
        clock.ahead = ahead
        again = Steps(clock, [])
        found = run(tmp_path, again).load()
        assert again.done == []
        assert {name: case["result"]["text"] for name, case in found.items()} == dict(
            zip("abcd", "abcd", strict=True)
        )
    seconds = [read_record(tmp_path / "out" / name)["seconds"] for name in "abcd"]
    assert all(0 <= value < 60 for value in seconds)


@pytest.mark.parametrize("ahead", [-YEAR, -3600, 0, 3600, YEAR])
@pytest.mark.parametrize("keep_time", [True, False])
def test_a_scan_that_changed_is_seen_though_size_and_time_may_be_the_old_ones(
    tmp_path, clock, ahead, keep_time
):
    scan = tmp_path / "a.txt"
    scan.write_text("before")
    old = time.time() - 3600  # long settled: its digest is kept
    os.utime(scan, (old, old))
    run(tmp_path, Steps(clock, []))
    clock.ahead = ahead
    scan.write_text("behind")  # the same size
    if keep_time:
        os.utime(scan, (old, old))
    else:
        clock.stamp(scan)
    steps = Steps(clock, [])
    assert run(tmp_path, steps).load()["a"]["result"]["text"] == "behind"
    assert steps.done == ["a.txt"]

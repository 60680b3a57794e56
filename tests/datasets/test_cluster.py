"""Cases on a real Dask cluster: a scheduler and workers that are processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from kedro.io import DatasetError

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.datasets.records import read_record

from .cluster_tasks import compute, die, wait_once

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(120)]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error", "OMP_NUM_THREADS": "1"}


class Cluster:
    """A scheduler and workers on this machine, each a process."""

    def __init__(self, folder: Path, failures: int = 3) -> None:
        self.folder = folder
        self.settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(failures)}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.file = folder / "scheduler.json"
        self._start("scheduler", "--port", "0", "--no-dashboard")
        while not self.file.is_file():
            time.sleep(0.05)
        self.client = distributed.Client(scheduler_file=str(self.file), set_as_default=False)
        self.address = self.client.scheduler.address

    def _start(self, what: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
        command += ["--host", "127.0.0.1", "--scheduler-file", str(self.file)]
        paths = os.pathsep.join(map(str, (ROOT / "src", ROOT)))
        self.processes.append(
            subprocess.Popen(  # noqa: S603 - our own interpreter
                command,
                cwd=self.folder,
                env=os.environ | QUIET | self.settings | {"PYTHONPATH": paths},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def add_workers(self, count: int) -> None:
        """Start workers of one thread that die for good where they are killed."""
        wanted = len(self.client.scheduler_info()["workers"]) + count
        for _ in range(count):
            self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        self.client.wait_for_workers(wanted, timeout=60)

    def close(self) -> None:
        self.client.close()
        for process in reversed(self.processes):
            process.kill()  # a worker that is asked to end waits long for its scheduler
            process.wait(30)


@contextmanager
def cluster_in(folder: Path, failures: int = 3) -> Iterator[Cluster]:
    folder.mkdir()
    cluster = Cluster(folder, failures)
    try:
        yield cluster
    finally:
        cluster.close()


def dataset(path: Path, **options) -> CaseDataset:
    return CaseDataset(path=str(path), files=["result.json"], **options)


def results(cases: CaseDataset) -> dict[str, dict]:
    loaded = cases.load()
    return {name: case["result"] | {"digest": case.fingerprint} for name, case in loaded.items()}


def seconds_of(cases: CaseDataset, count: int) -> float:
    start = time.monotonic()
    cases.save({f"case{number}": partial(compute, number, 0.5) for number in range(count)})
    return time.monotonic() - start


def test_a_cluster_gives_what_this_machine_gives_and_two_workers_twice_as_fast(tmp_path):
    here = dataset(tmp_path / "here")
    here.save({f"case{number}": partial(compute, number, 0) for number in range(12)})
    with cluster_in(tmp_path / "cluster") as cluster:
        cluster.add_workers(1)
        dataset(tmp_path / "warm", scheduler=cluster.address).save({"a": partial(compute, 0)})
        one = dataset(tmp_path / "one", scheduler=cluster.address)
        alone = seconds_of(one, 12)
        cluster.add_workers(1)
        warm = {f"case{number}": partial(compute, number, 0.5) for number in range(4)}
        dataset(tmp_path / "warm2", scheduler=cluster.address).save(warm)
        two = dataset(tmp_path / "two", scheduler=cluster.address)
        together = seconds_of(two, 12)
    numbers = [{n: r["norm"] for n, r in results(cases).items()} for cases in (here, one, two)]
    assert numbers[0] == numbers[1] == numbers[2]
    assert results(one) == results(two)
    assert alone / together >= 1.7, (alone, together)


def kill_first_attempt(marks: Path) -> None:
    mark = marks / "attempt_0"
    while not (mark.is_file() and mark.read_text()):
        time.sleep(0.05)
    os.kill(int(mark.read_text()), signal.SIGKILL)


def test_a_worker_that_is_killed_costs_its_case_one_more_attempt(tmp_path):
    (marks := tmp_path / "marks").mkdir()
    with cluster_in(tmp_path / "cluster") as cluster:
        cluster.add_workers(2)
        killer = threading.Thread(target=kill_first_attempt, args=(marks,), daemon=True)
        killer.start()
        cases = dataset(tmp_path / "cases", scheduler=cluster.address)
        tasks = {f"case{number}": partial(compute, number) for number in range(6)}
        cases.save({"hit": partial(wait_once, 99, marks), **tasks})
        killer.join(10)
        assert len(cluster.client.scheduler_info()["workers"]) == 1
    assert sorted(mark.name for mark in marks.iterdir()) == ["attempt_0", "attempt_1"]
    assert sorted(cases.load()) == ["case0", "case1", "case2", "case3", "case4", "case5", "hit"]
    assert not cases.load().failed
    assert cases.load()["hit"]["result"] == compute(99)["result"]
    assert not list((tmp_path / "cases").glob(".*.part"))


def test_a_case_that_kills_every_worker_costs_itself_alone(tmp_path):
    # whatever waits at a worker is under suspicion when it dies, so that one failure tells nothing
    with cluster_in(tmp_path / "cluster", failures=2) as cluster:
        cluster.add_workers(4)
        cases = dataset(tmp_path / "cases", scheduler=cluster.address)
        cases.save({"bad": die, **{f"case{n}": partial(compute, n) for n in range(4)}})
    assert sorted(cases.load()) == ["case0", "case1", "case2", "case3"]
    assert "its Dask workers were lost" in cases.load().failed["bad"]


def test_a_scheduler_that_dies_ends_the_run_with_a_word_and_keeps_what_was_done(tmp_path):
    with cluster_in(tmp_path / "cluster") as cluster:
        cluster.add_workers(1)
        cases = dataset(tmp_path / "cases", scheduler=cluster.address)
        done = tmp_path / "cases" / "case0" / "case.json"

        def kill_when_one_is_done() -> None:
            while not done.is_file():
                time.sleep(0.05)
            cluster.processes[0].kill()

        threading.Thread(target=kill_when_one_is_done, daemon=True).start()
        tasks = {f"case{n}": partial(compute, n, 0.0 if n == 0 else 2.0) for n in range(6)}
        with pytest.raises(DatasetError, match=r"scheduler at .* went away; everything that ended"):
            cases.save(tasks)
    attempt = read_record(done.parent)["attempt"]
    again = dataset(tmp_path / "cases")
    again.save(
        {name: partial(compute, n) for n, name in enumerate(tasks)} | {"case0": tasks["case0"]}
    )
    assert read_record(done.parent)["attempt"] == attempt
    assert len(again.load()) == 6

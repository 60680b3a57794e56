"""What a run takes in which nothing is to be done: seconds and memory by the number of cases.

    python -m benchmarks.bookkeeping build/bookkeeping [--cases 20 1000 10000]

Cases with files of a few bytes pass through as many case datasets as the method has, each made from
the one before, the raw file, and options as large as the method's. So all that is measured is
digests, records and lists: what grows with the cohort and computes nothing. Each number of cases is
run in a process of its own: once to compute, once more with nothing to do, and that one counts.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.pipeline_registry import register_pipelines

if TYPE_CHECKING:
    from lvo_kedro.datasets import Case

FILES = ("image.json", "quality.json", "labels.json")


def read(raw: Path, options: NnUNetOptions) -> dict[str, Any]:
    """Stand for a step that reads a user's file."""
    size = raw.stat().st_size
    return {"image": {"size": size}, "quality": {"ok": True}, "labels": {"size": size}}


def go_on(before: Case, options: NnUNetOptions) -> dict[str, Any]:
    """Stand for a step that reads what the one before wrote."""
    return {name: before[name] for name in ("image", "quality", "labels")}


def run(folder: Path, cases: int) -> None:
    """Pass all cases through all datasets."""
    options = NnUNetOptions()
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    tasks = {}
    for number in range(cases):
        raw = folder / "raw" / f"{number}.txt"
        if not raw.exists():
            raw.write_text(str(number))
        tasks[f"case-{number:05d}"] = partial(read, raw, options=options)
    for step in range(steps()):
        dataset = CaseDataset(path=str(folder / f"step-{step:02d}"), files=FILES)
        dataset.save(tasks)
        found = dataset.load()
        tasks = {name: partial(go_on, case, options=options) for name, case in found.items()}


def steps() -> int:
    """Return how many steps of the method have a result for every case."""
    nodes = register_pipelines()["__default__"].only_nodes_with_tags("each_scan").nodes
    return len(nodes)


def main() -> None:
    """Measure each number of cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, nargs="+", default=[20, 1000, 10000])
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        began = time.perf_counter()
        run(given.folder / str(given.once), given.once)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{given.once} {seconds:.1f} {peak:.0f}")
        return
    print(f"{steps()} steps of {len(FILES)} files")
    for count in given.cases:
        command = [sys.executable, "-m", "benchmarks.bookkeeping", str(given.folder)]
        command += ["--once", str(count)]
        for what in ("computed", "nothing to do"):
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
            cases, seconds, peak = done.stdout.split()
            print(f"{cases} cases, {what}: {seconds} s, {peak} MB at most", flush=True)


if __name__ == "__main__":
    main()

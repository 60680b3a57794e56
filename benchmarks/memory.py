"""Memory and seconds of what every pipeline does with all cases together, by number of cases.

    kedro run --env demo --pipelines simulation,__default__
    python -m benchmarks.memory build/memory [--cases 72 1000 10000]

Work on one case takes what that case takes, whatever the cohort (``benchmarks.bookkeeping``
measures the lists beside it). What can grow are the nodes that see all cases: tables, calibration,
evaluation, the report. Here they run on copies of the demo's finished cases under other
ids (hard links; only the content hash of each scan differs, or they would be found to be one
patient's). Each pipeline runs in a process of its own, for each number of cases.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from lvo_kedro.datasets.cases import INDEX, CaseDataset, FoldDataset
from lvo_kedro.pipeline_registry import METHOD

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "demo"
MADE_OF_RAW = {"preprocessing.divide_patients", "preprocessing.check_cohort"}
PIPELINES = [module.__name__.rpartition(".")[2] for module in METHOD]


def copy_cohort(project: Path, count: int) -> None:
    """Make a project whose data folder holds ``count`` finished cases, copies of the demo's."""
    data = project / "data" / "demo"
    data.mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", project)
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, project / name)
    for layer in sorted(DEMO.iterdir()):
        if layer.name.startswith(("0", "atlas")):
            shutil.copytree(layer, data / layer.name)  # tables are written where they are
    cohort = _catalog(project).load("cohort")
    names = {}
    for number in range(count):
        original = cohort["case_id"].iloc[number % len(cohort)]
        first = number < len(cohort)  # models were trained on these
        names[original if first else f"{original}-{number:05d}"] = (original, number)
    for index in sorted(data.rglob(INDEX)):
        if index.parent.name == "gallery":  # a few pictures, however many cases
            continue
        if set(json.loads(index.read_text())["expected"]) & set(cohort["case_id"]):
            _copy_cases(index, names)
    rows = cohort.set_index("case_id").loc[[original for original, _ in names.values()]]
    rows = rows.assign(case_id=list(names))
    rows["patient_id"] = [
        p if n < len(cohort) else f"{p}-{n:05d}" for n, p in enumerate(rows["patient_id"])
    ]
    _catalog(project).save("cohort", rows[cohort.columns].reset_index(drop=True))


def _copy_cases(index: Path, names: dict[str, tuple[str, int]]) -> None:
    there = set(json.loads(index.read_text())["expected"])
    made = {name: source for name, source in names.items() if source[0] in there}
    for name, (original, number) in made.items():
        folder = index.parent / name
        if name == original:
            continue
        shutil.copytree(index.parent / original, folder, copy_function=os.link)
        if (folder / "quality.json").is_file():
            _vary(folder / "quality.json", number)
    index.write_text(json.dumps({"expected": sorted(made)}))


def _vary(quality: Path, number: int) -> None:
    """Give a scan a content hash of its own, in a file of the same size and time."""
    record, before = json.loads(quality.read_text()), quality.stat()
    if "content_hash" in record:
        digest = record["content_hash"]
        text = quality.read_text().replace(digest, f"{number:08x}{digest[8:]}")
        quality.unlink()
        quality.write_text(text)
        os.utime(quality, ns=(before.st_atime_ns, before.st_mtime_ns))


def _catalog(project: Path) -> Any:
    bootstrap_project(project)
    with KedroSession.create(project, env="demo") as session:
        return session.load_context().catalog


def run(project: Path, name: str) -> None:
    """Run the nodes of a pipeline that see all cases; nothing is tracked."""
    catalog = _catalog(project)

    def sees_all(node: Any) -> bool:
        kinds = [catalog.get(output) for output in node.outputs]
        one_by_one = any(
            isinstance(kind, CaseDataset) and not isinstance(kind, FoldDataset) for kind in kinds
        )
        networks = any(isinstance(kind, FoldDataset) for kind in kinds)
        return not one_by_one and not networks and node.name not in MADE_OF_RAW

    nodes = [node for node in pipelines[name].nodes if sees_all(node)]
    began = time.perf_counter()
    SequentialRunner().run(Pipeline(nodes), catalog)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"MEASURED {len(nodes)} {seconds:.1f} {peak:.0f}")


def main() -> None:
    """Measure each pipeline for each number of cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, nargs="+", default=[72, 1000, 10000])
    parser.add_argument("--once", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once:
        run(given.folder.resolve(), given.once)
        return
    for count in given.cases:
        project = (given.folder / str(count)).resolve()
        shutil.rmtree(project, ignore_errors=True)
        copy_cohort(project, count)
        for name in PIPELINES:
            command = [sys.executable, "-m", "benchmarks.memory", str(project), "--once", name]
            ended = subprocess.run(  # noqa: S603 - our own interpreter
                command, cwd=ROOT, capture_output=True, text=True, check=False
            )
            found = [line for line in ended.stdout.splitlines() if line.startswith("MEASURED")]
            if not found:
                sys.exit(ended.stdout[-3000:] + ended.stderr[-3000:])
            nodes, seconds, peak = found[0].split()[1:]
            print(
                f"{count:>6} cases  {name:<24}{nodes:>3} nodes {seconds:>7} s {peak:>6} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()

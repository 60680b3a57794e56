"""What a second Dask worker gains on cases that compute: seconds, and CPU seconds of the cases.

    python -m benchmarks.cluster build/cluster [--cases 12] [--rounds 3]

The work is the project's own: a head is read, checked and masked. Every round takes the same cases
through one worker and through two of a cluster on this machine, and through one process and two
without a cluster, which says how much two cores of this machine give together at all. The cores
have to be idle otherwise.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from distributed import LocalCluster

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.imaging import extract_brain, read_ncct
from lvo_kedro.simulation import SimulationOptions, simulate_case


def mask(path: Path) -> dict[str, Any]:
    """Read a head and mask its brain."""
    began = time.process_time()
    brain = extract_brain(read_ncct(path))
    voxels = int(np.asarray(brain.dataobj).sum())
    return {"result": {"voxels": voxels, "cpu_seconds": time.process_time() - began}}


def seconds(folder: Path, scans: list[Path], **where: Any) -> tuple[float, float, list[int]]:
    """Return seconds by the clock, CPU seconds and results of all scans."""
    shutil.rmtree(folder, ignore_errors=True)
    dataset = CaseDataset(path=str(folder), files=["result.json"], **where)
    began = time.monotonic()
    dataset.save({scan.name.split(".")[0]: partial(mask, scan) for scan in scans})
    ended = time.monotonic() - began
    results = [case["result"] for case in dataset.load().values()]
    return ended, sum(r["cpu_seconds"] for r in results), [r["voxels"] for r in results]


def main() -> None:
    """Measure each way in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    options = SimulationOptions(spacing_mm=0.6, slice_thickness_mm=(2.5,))
    scans = []
    (given.folder / "raw").mkdir(parents=True, exist_ok=True)
    for seed in range(given.cases):
        scans.append(given.folder / "raw" / f"case{seed:02d}.nii")
        if not scans[-1].exists():
            simulate_case(seed, options).ncct.to_filename(scans[-1])
    gains: dict[str, list[float]] = {"cluster": [], "processes": []}
    settings: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=1, **settings) as one, LocalCluster(n_workers=2, **settings) as two:
        ways = {
            "cluster": ({"scheduler": one.scheduler_address}, {"scheduler": two.scheduler_address}),
            "processes": ({"workers": 1, "threads": 1}, {"workers": 2, "threads": 1}),
        }
        for way, places in ways.items():  # imports and caches do not count
            for place in places:
                seconds(given.folder / "warm", scans[:4], **place)
        for _ in range(given.rounds):
            for way, (alone, together) in ways.items():
                first = seconds(given.folder / way / "one", scans, **alone)
                second = seconds(given.folder / way / "two", scans, **together)
                assert first[2] == second[2]
                gains[way].append(first[0] / second[0])
                print(
                    f"{way:<10} one {first[0]:.1f} s ({first[1]:.1f} CPU), "
                    f"two {second[0]:.1f} s ({second[1]:.1f} CPU): {gains[way][-1]:.2f} times"
                )
    for way, found in gains.items():
        print(f"{way}: {statistics.median(found):.2f} times (median of {len(found)})")


if __name__ == "__main__":
    main()

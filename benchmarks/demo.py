"""The demo's seconds per pipeline, on this processor as it is and standing in for an older one.

    python benchmarks/demo.py [--busy 2]

Each time the whole demo runs in a folder of its own. The older processor (``ATEN_CPU_CAPABILITY``,
``ONEDNN_MAX_CPU_ISA``) has AVX2, but neither AVX-512 nor bfloat16. ``--busy`` lets as many other
programs compute beside it. Memory is the most that all its processes held at a time, shared pages
counted once (Linux).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "as it is": {},
    "AVX2 only": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


def main() -> None:
    """Run the demo under each setting and print a row of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, default=0, help="programs that compute beside it")
    parser.add_argument("--only", choices=SETTINGS, help="one setting")
    given = parser.parse_args()
    rows = {}
    for name in [given.only] if given.only else SETTINGS:
        with busy(given.busy), tempfile.TemporaryDirectory() as folder:
            rows[name] = run(Path(folder), SETTINGS[name])
        print(f"{name}: {rows[name]['whole']:.0f} s", flush=True)
    processor = torch.cpu.get_capabilities().get("cpu_name", "unknown")
    print(f"\n{processor}, {os.cpu_count()} cores, {given.busy} busy programs beside; seconds:")
    print(pd.DataFrame(rows).round(0).astype(int).to_string())


def run(folder: Path, switches: dict[str, str]) -> dict[str, float]:
    """Return the seconds of each pipeline and of the whole, and the memory in MB."""
    shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    settings = folder / "conf" / "demo" / "globals.yml"
    data = f"data: {(folder / 'data').as_posix()}"
    settings.write_text(re.sub("^data: .*$", data, settings.read_text(), flags=re.M))
    command = [sys.executable, "-m", "kedro", "run", "--env", "demo"]
    command += ["--pipelines", "simulation,__default__", "--conf-source", str(folder / "conf")]
    began = time.monotonic()
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=ROOT, env=os.environ | switches, stdout=log, stderr=subprocess.STDOUT
        )  # fmt: skip
        memory = watch_memory(process)
        text = (folder / "log").read_text()
    if process.returncode:
        sys.exit(text)
    done = re.search(r"done in [\d:]+ \((.*)\)", text)
    assert done is not None
    parts = dict(part.rsplit(" ", 1) for part in done[1].split(", "))
    seconds = {name: seconds_of(duration) for name, duration in parts.items()}
    return seconds | {"whole": time.monotonic() - began, "memory (MB)": memory}


def seconds_of(duration: str) -> float:
    """Read ``1:05`` and ``1:00:05``."""
    total = 0.0
    for part in duration.split(":"):
        total = 60 * total + float(part)
    return total


def watch_memory(process: subprocess.Popen[str]) -> float:
    """Wait for a process; return the most memory (MB) that it and its children held."""
    most = 0.0
    while process.poll() is None:
        most = max(most, sum(map(proportional_mb, family(process.pid))))
        time.sleep(2)
    return most


def family(process: int) -> Iterator[int]:
    """Yield a process and all that it started."""
    yield process
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = tasks.read_text().split()
        except OSError:  # it has just ended
            continue
        for child in children:
            yield from family(int(child))


def proportional_mb(process: int) -> float:
    """Return a process's memory, of shared pages its part."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^Pss:\s+(\d+)", text, re.M)
    return float(found[1]) / 1e3 if found else 0.0


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep ``count`` programs busy."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()


if __name__ == "__main__":
    main()

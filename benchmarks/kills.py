"""Kill a run of the whole method again and again, and compare what comes of it with a quiet run.

    python -m benchmarks.kills build/kills [--kills 20] [--seed 0]

A small simulated cohort (``tests/pipelines/conf_tiny``) is run once undisturbed and once with its
whole process group killed (SIGKILL) at moments that are spread at random over all its cases and
trainings, and started again each time. Compared are
the contents of all tables, maps, weights, scores and pictures. No case that was done at a kill may
have been computed again at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blosc2
import nibabel as nib
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from lvo_kedro.artifacts import digest_of, sha256_of
from lvo_kedro.datasets.cases import DIGESTS
from lvo_kedro.datasets.records import DONE, RECORD, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = "vessel_network.checkpoint_every=1,occlusion_network.checkpoint_every=1"
OPTIONS += ",detector.checkpoint_every=1,detector.epochs=4,occlusion_network.epochs=3"
RUN = ("run", "--env", "tiny", "--params", OPTIONS)
OF_THE_RUN = {
    "Cohort (SHA-256)",
    "Date",
    "MLflow run",
    "Source revision",
    "seconds",
    "samples_per_second",
    "device",
}
"""Names of what no two runs have in common."""
OF_THE_RUN |= {"peak_memory_mb", "sha256", "files", "purpose", "modified", "attempt"}
SKIPPED = ("mlflow", "logs", ".runs", "08_reporting/gallery")


def make_project(folder: Path) -> None:
    """Copy this project's configuration to a folder that has none yet."""
    if (folder / "conf").is_dir():
        return
    shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copytree(ROOT / "tests" / "pipelines" / "conf_tiny", folder / "conf" / "tiny")
    settings = folder / "conf" / "tiny" / "globals.yml"
    settings.write_text(settings.read_text().replace("workers: 1", "workers: 2", 1))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "src").mkdir()


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Kedro in a process group of its own; its words go to a file."""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    with (folder / "words.log").open("ab") as words:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "kedro", *arguments],
            cwd=folder,
            env=environment,
            stdout=words,
            stderr=words,
            start_new_session=True,
        )


def finish(folder: Path, *arguments: str) -> float:
    """Run Kedro to its end and return the seconds that took."""
    began = time.monotonic()
    if start(folder, *arguments).wait() != 0:
        raise SystemExit(f"a run failed; see {folder / 'words.log'}")
    return time.monotonic() - began


def done_cases(data: Path) -> dict[str, str]:
    """Return which attempt at each finished case its files are of."""
    records = {path.parent: read_record(path.parent) for path in data.rglob(RECORD)}
    return {
        folder.relative_to(data).as_posix(): record.get("attempt", "")
        for folder, record in records.items()
        if record.get("state") == DONE and not folder.name.startswith(".")
    }


def kill(folder: Path, run: Sequence[str], done: int, wait: float) -> None:
    """Start a run and kill it some seconds after so many cases are done."""
    process = start(folder, *run)
    while process.poll() is None and len(done_cases(folder / "data" / "tiny")) < done:
        time.sleep(0.2)
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    if process.wait() >= 0:
        raise SystemExit("the run had ended before it was killed; take another seed")


def content_of(path: Path) -> str:
    """Return a digest of what a file says, without times and names of the run."""
    for ending, reader in READERS.items():
        if path.name.endswith(ending):
            return digest_of(reader(path))
    return sha256_of(path)


def _image(path: Path) -> Any:
    image = nib.load(path)
    return [image.affine.tolist(), np.asarray(image.dataobj).tobytes().hex()]


def _table(path: Path) -> Any:
    table = pd.read_csv(path, dtype=str)
    text = table.drop(columns=[c for c in table if _is_of_the_run(c)]).to_csv()
    return re.sub(r"[^,]*(?=/data/tiny/)", "", text)  # absolute paths of the cohort table


def _tensors(tensors: dict[str, torch.Tensor]) -> Any:
    return {name: tensor.float().numpy().tobytes().hex() for name, tensor in tensors.items()}


def _is_of_the_run(name: str) -> bool:
    return name in OF_THE_RUN or name.startswith(("seconds", "Weights of"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if not _is_of_the_run(name)}
        return {name: _plain(item) for name, item in kept.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


READERS: dict[str, Callable[[Path], Any]] = {
    ".nii.gz": _image,
    ".csv": _table,
    ".json": lambda path: _plain(json.loads(path.read_text(encoding="utf-8"))),
    ".b2nd": lambda path: np.asarray(blosc2.open(str(path))[:]).tobytes().hex(),
    ".safetensors": lambda path: _tensors(load_file(str(path))),
    ".pth": lambda path: _tensors(
        torch.load(path, map_location="cpu", weights_only=True)["network_weights"]
    ),
}
"""What a file says, by its ending."""


def contents(data: Path) -> dict[str, str]:
    """Return the digest of every result, by its path."""
    found = {}
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        name = path.relative_to(data).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(data).parts)
        text = path.suffix in {".html", ".md", ".svg"}  # they name the run or its date
        if (
            not hidden
            and not name.startswith(SKIPPED)
            and not text
            and path.name not in (RECORD, DIGESTS)
        ):
            found[name] = content_of(path)
    return found


def main() -> None:
    """Run, kill, compare; ends with status 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    quiet, killed = given.folder.resolve() / "quiet", given.folder.resolve() / "killed"
    for folder in (quiet, killed):
        make_project(folder)
    if not (quiet / "data").is_dir():
        finish(quiet, "run", "--env", "tiny", "--pipelines", "simulation")
        shutil.copytree(quiet / "data", killed / "data")
    seconds = finish(quiet, *RUN)
    cases = len(done_cases(quiet / "data" / "tiny"))
    print(f"undisturbed: {seconds:.0f} s, {cases} cases and trainings", flush=True)
    rng, again = np.random.default_rng(given.seed), set()
    for number, share in enumerate(np.sort(rng.uniform(0, 1, given.kills))):
        before = done_cases(killed / "data" / "tiny")
        kill(killed, RUN, round(share * (cases - 1)), float(rng.exponential(1.0)))
        after = done_cases(killed / "data" / "tiny")
        again |= {name for name, attempt in before.items() if after.get(name) != attempt}
        print(f"kill {number + 1}: {len(after)} of {cases} done", flush=True)
    before = done_cases(killed / "data" / "tiny")
    finish(killed, *RUN)
    after = done_cases(killed / "data" / "tiny")
    again |= {name for name, attempt in before.items() if after.get(name) != attempt}
    one, other = contents(quiet / "data" / "tiny"), contents(killed / "data" / "tiny")
    differ = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    print(f"{len(one)} results compared, {len(differ)} differ, {len(again)} computed again")
    for name in [*differ, *sorted(again)][:20]:
        print(f"  {name}")
    sys.exit(bool(differ or again))


if __name__ == "__main__":
    main()

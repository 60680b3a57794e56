"""Ten scans with one model: nnU-Net's own command line against our resident predictor.

    python benchmarks/nnunet.py [--data data/demo] [--cases 10]      # after make demo

Whole processes are timed, from start to the last label file written, by the clock and in seconds of
all processors together (which a busy machine changes less). Both get the same files, network,
sliding window and mirroring; our way is timed again without acceleration, and on a CPU in
bfloat16. The network is the demo's fold 0, the scans are its external ones, whole and at their own
spacing, so that both ways have to resample to the network's 2 mm and back.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from lvo_kedro.datasets import RecordTable
from lvo_kedro.imaging.geometry import to_ras
from lvo_kedro.nnunet import NnUNetOptions, load_predictor


def main() -> None:
    """Predict both ways, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/demo"))
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--changes", type=json.loads, default={}, help=argparse.SUPPRESS)
    parser.add_argument("--ours", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    options = NnUNetOptions(device=arguments.device, mirror_prediction="none", **arguments.changes)
    if arguments.ours:
        predict_ours(*(Path(p) for p in arguments.ours), options)
    elif not (arguments.data / "06_models" / "vessels" / "fold_0").is_dir():
        print(f"no finished demo in {arguments.data}: run make demo first")
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), arguments.data, arguments.cases, options)


def compare(folder: Path, data: Path, count: int, options: NnUNetOptions) -> None:
    """Run all ways and print a row of each: seconds, ratio, agreement with nnU-Net's labels."""
    scans, model = folder / "scans", folder / "model"
    names = copy_scans(data, scans, count)
    copy_model(data / "06_models" / "vessels" / "fold_0", model)
    rows = []
    for way, command in commands(scans, model, folder, options).items():
        seconds, cpu_seconds = _time(command)
        row = {"way": way, "seconds": seconds, "cpu_seconds": cpu_seconds}
        rows.append(row | agreement(folder / "nnU-Net", folder / way, names))
    table = pd.DataFrame(rows)
    table.insert(3, "times_faster", table["seconds"].iloc[0] / table["seconds"])
    print(f"{len(names)} scans, {_device(options)}")
    print(table.round(3).to_string(index=False))


def copy_scans(data: Path, scans: Path, count: int) -> list[str]:
    """Write external scans as RAS+ (nnU-Net's command line does not turn them)."""
    scans.mkdir(parents=True)
    cohort = RecordTable(filepath=(data / "02_intermediate" / "cohort.csv").as_posix()).load()
    names = cohort.loc[cohort["split"] == "external", "case_id"].head(count).tolist()
    for name in names:
        ncct = nib.load(data / "02_intermediate" / "scans" / name / "ncct.nii.gz")
        nib.save(to_ras(ncct), scans / f"{name}_0000.nii.gz")
    return names


def copy_model(trained: Path, model: Path) -> None:
    """Copy a model without the frame in which it was trained: the command line knows none."""
    shutil.copytree(trained, model)
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    manifest["options"] |= {"spacing_mm": None, "crop_margin_mm": None}
    (model / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def commands(
    scans: Path, model: Path, folder: Path, options: NnUNetOptions
) -> dict[str, list[str]]:
    """Return the command of each way; the first is nnU-Net's own."""
    theirs = [
        *(str(Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder"),),
        *("-i", str(scans), "-o", str(folder / "nnU-Net"), "-m", str(model), "-f", "0"),
        *("-step_size", str(options.step_size), "-device", _device(options), "--disable_tta"),
    ]
    changes = {"lvo_kedro": {}, "lvo_kedro, not accelerated": {"accelerate": False}}
    if _device(options) == "cpu":
        changes["lvo_kedro, bfloat16"] = {"precision": "bfloat16"}
    ours = [sys.executable, __file__, "--device", options.device]
    ways = {
        way: [
            *(*ours, "--changes", json.dumps(change)),
            *("--ours", str(scans), str(model), str(folder / way)),
        ]
        for way, change in changes.items()
    }
    return {"nnU-Net": theirs, **ways}


def agreement(theirs: Path, ours: Path, names: list[str]) -> dict[str, float]:
    """Return the least share (%) of identical voxels in a scan, and least Dice of any label.

    Most voxels are background, hence the share among those that either way labels as well.
    """
    pairs = [[_array(folder / f"{name}.nii.gz") for folder in (theirs, ours)] for name in names]
    labelled = [(one > 0) | (other > 0) for one, other in pairs]
    return {
        "identical_percent": 100 * min(np.mean(one == other) for one, other in pairs),
        "labelled_identical_percent": 100
        * min(np.mean((one == other)[there]) for (one, other), there in zip(pairs, labelled)),
        "least_dice": min(
            _dice(one == label, other == label)
            for one, other in pairs
            for label in np.union1d(one, other)
            if label > 0
        ),
        "labelled_percent": 100 * float(np.mean([there.mean() for there in labelled])),
    }


def predict_ours(scans: Path, model: Path, output: Path, options: NnUNetOptions) -> None:
    """Predict every scan of a folder: what a process of its own does."""
    output.mkdir(parents=True, exist_ok=True)
    files = {p.name.removesuffix("_0000.nii.gz"): p for p in sorted(scans.glob("*.nii.gz"))}
    predictor = load_predictor([model], options)
    loaders = {name: partial(_load, path) for name, path in files.items()}
    for name, labels in predictor.predict_cases(loaders):
        nib.save(labels, output / f"{name}.nii.gz")


def _load(path: Path) -> tuple[nib.Nifti1Image]:
    return (nib.load(path),)


def _array(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.sum(one & other) / (np.sum(one) + np.sum(other)))


def _time(command: list[str]) -> tuple[float, float]:
    """Return the seconds that a process took, by the clock and on all processors together."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def _device(options: NnUNetOptions) -> str:
    import torch  # noqa: PLC0415 (only the parent process needs it here)

    if options.device != "auto":
        return options.device
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()

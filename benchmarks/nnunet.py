"""Ten scans with one model: nnU-Net's own command line against our resident predictor.

Whole processes are timed, from start to the last label file written, by the clock and in seconds of
all processors together (which a busy machine changes less). Both get the same files, model, sliding
window and mirroring; on a CPU our way is timed again in bfloat16. The model is trained for a moment
on simulated scans: what is compared is speed and equality, not accuracy.

    python benchmarks/nnunet.py                     # ten scans, about ten minutes on two cores
    python benchmarks/nnunet.py --cases 2 --iterations 5
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from lvo_kedro.imaging.geometry import to_ras
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.vocabulary import VESSEL_LABELS

OPTIONS = NnUNetOptions(
    window=(0.0, 100.0),
    patch_size=(32, 64, 64),
    batch_size=2,
    features_per_stage=(16, 32, 64, 128),
    epochs=1,
    validation_iterations=1,
    optimizer="adamw",
    learning_rate=5e-3,
    background_weight=0.1,
    foreground_oversampling=1.0,
    deep_supervision=False,
    augmentation="none",
    mirror_prediction="none",
)


def main() -> None:
    """Train, predict both ways, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bfloat16", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ours", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    options = OPTIONS.model_copy(
        update={
            "device": arguments.device,
            "iterations_per_epoch": arguments.iterations,
            "bfloat16": arguments.bfloat16,
        }
    )
    if arguments.ours:
        predict_ours(*(Path(p) for p in arguments.ours), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), arguments.cases, options)


def compare(folder: Path, count: int, options: NnUNetOptions) -> None:
    """Run all ways and print a row of each: seconds, ratio, agreement with nnU-Net's labels."""
    scans, model = folder / "scans", folder / "model"
    truths = simulate(scans, folder / "labels", count)
    cases = {n: partial(_load, scans / f"{n}_0000.nii.gz", truths[n]) for n in truths}
    names = sorted(cases)
    splits = [{"train": names[:-1], "val": names[-1:]}]
    prepare_dataset(folder / "dataset", cases, VESSEL_LABELS, splits, options)
    train_fold(folder / "dataset", 0, model, options)
    rows = []
    for way, command in commands(scans, model, folder, options).items():
        seconds, cpu_seconds = _time(command)
        row = {"way": way, "seconds": seconds, "cpu_seconds": cpu_seconds}
        rows.append(row | agreement(folder / "nnU-Net", folder / way, names))
    table = pd.DataFrame(rows)
    table.insert(3, "times_faster", table["seconds"].iloc[0] / table["seconds"])
    print(f"{count} scans, {_device(options)}")
    print(table.round(3).to_string(index=False))


def commands(
    scans: Path, model: Path, folder: Path, options: NnUNetOptions
) -> dict[str, list[str]]:
    """Return the command of each way; the first is nnU-Net's own."""
    theirs = [
        *(str(Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder"),),
        *("-i", str(scans), "-o", str(folder / "nnU-Net"), "-m", str(model), "-f", "0"),
        *("-step_size", str(options.step_size), "-device", _device(options), "--disable_tta"),
    ]
    ours = [sys.executable, __file__, "--device", options.device]
    ways = {"lvo_kedro": [*ours, "--ours", str(scans), str(model), str(folder / "lvo_kedro")]}
    if _device(options) == "cpu":
        way = "lvo_kedro, bfloat16"
        ways[way] = [*ours, "--bfloat16", "--ours", str(scans), str(model), str(folder / way)]
    return {"nnU-Net": theirs, **ways}


def agreement(theirs: Path, ours: Path, names: list[str]) -> dict[str, float]:
    """Return the least share (%) of identical voxels in a scan, the same of labelled ones alone.

    Among labelled voxels are all that either way labels.
    """
    pairs = [[_array(folder / f"{name}.nii.gz") for folder in (theirs, ours)] for name in names]
    labelled = [(one > 0) | (other > 0) for one, other in pairs]
    return {
        "identical_percent": 100 * min(np.mean(one == other) for one, other in pairs),
        "labelled_identical_percent": 100
        * min(np.mean((one == other)[there]) for (one, other), there in zip(pairs, labelled)),
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


def simulate(scans: Path, labels: Path, count: int) -> dict[str, Path]:
    """Write simulated scans as RAS+ (nnU-Net's command line does not turn them)."""
    scans.mkdir(parents=True)
    labels.mkdir(parents=True)
    written = {}
    for seed in range(count):
        case = simulate_case(seed, SimulationOptions())
        name = f"case{seed:03d}"
        nib.save(to_ras(case.ncct), scans / f"{name}_0000.nii.gz")
        written[name] = labels / f"{name}.nii.gz"
        nib.save(to_ras(case.vessel_labels), written[name])
    return written


def _load(*paths: Path) -> tuple[nib.Nifti1Image, ...]:
    return tuple(nib.load(path) for path in paths)


def _array(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


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

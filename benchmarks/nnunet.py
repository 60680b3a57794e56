"""Ten scans with one model: nnU-Net's own command line against our resident predictor.

Whole processes are timed, from start to the last label file written, by the clock and in seconds of
all processors together (which a busy machine changes less). Both get the same files,
model, sliding window and mirroring. The model is trained for a moment on simulated scans: what is
compared is speed and equality, not accuracy.

    python benchmarks/nnunet.py                     # ten scans, about five minutes on two cores
    python benchmarks/nnunet.py --cases 2 --iterations 5
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

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
    parser.add_argument("--ours", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    options = OPTIONS.model_copy(
        update={"device": arguments.device, "iterations_per_epoch": arguments.iterations}
    )
    if arguments.ours:
        predict_ours(*(Path(p) for p in arguments.ours), options)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), arguments.cases, options)


def compare(folder: Path, count: int, options: NnUNetOptions) -> None:
    """Run both and print seconds, ratio and the share of identical voxels."""
    scans, model = folder / "scans", folder / "model"
    truths = simulate(scans, folder / "labels", count)
    cases = {n: partial(_load, scans / f"{n}_0000.nii.gz", truths[n]) for n in truths}
    names = sorted(cases)
    splits = [{"train": names[:-1], "val": names[-1:]}]
    prepare_dataset(folder / "dataset", cases, VESSEL_LABELS, splits, options)
    train_fold(folder / "dataset", 0, model, options)
    device = options.device if options.device != "auto" else _device()
    theirs = [
        *(str(Path(sys.executable).parent / "nnUNetv2_predict_from_modelfolder"),),
        *("-i", str(scans), "-o", str(folder / "theirs"), "-m", str(model), "-f", "0"),
        *("-step_size", str(options.step_size), "-device", device, "--disable_tta"),
    ]
    ours = [sys.executable, __file__, "--device", options.device]
    ours += ["--ours", str(scans), str(model), str(folder / "ours")]
    times = {name: _time(c) for name, c in (("nnU-Net", theirs), ("lvo_kedro", ours))}
    seconds, cpu_seconds = ({n: t[i] for n, t in times.items()} for i in (0, 1))
    files = [f"{name}.nii.gz" for name in names]
    same = [
        np.mean(_array(folder / "theirs" / file) == _array(folder / "ours" / file))
        for file in files
    ]
    found = np.mean([(_array(folder / "ours" / file) > 0).mean() for file in files])
    result = {
        "device": device,
        "cases": count,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "cpu_seconds": {name: round(value, 1) for name, value in cpu_seconds.items()},
        "times_faster": round(seconds["nnU-Net"] / seconds["lvo_kedro"], 2),
        "identical_voxels_percent": round(100 * float(min(same)), 3),
        "labelled_voxels_percent": round(100 * float(found), 3),
    }
    print(json.dumps(result, indent=1))


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


def _device() -> str:
    import torch  # noqa: PLC0415 (only the parent process needs it here)

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()

"""The priors as published against this project's, on one scan in one run.

    python benchmarks/priors.py [--scan FILE_OR_FOLDER] [--atlas FOLDER] [--keep FOLDER]

Each way runs in a process of its own, one after the other, from reading the scan to written maps;
the brain mask is made once and given to both. Printed are seconds (wall and processor), peak
memory, agreement inside the brain, and how many cases per minute one and several workers finish.

The published way takes a quarter of an hour. With ``--keep`` its maps and what they cost stay in a
folder, and the next run with the same scan, mask, atlas, threads and version of ANTs takes them
from there and says so.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
from joblib import Parallel, delayed
from scipy.ndimage import gaussian_filter

from lvo_kedro.imaging import extract_brain, read_ncct
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.priors import PriorOptions, compute_priors, load_atlas

SHARED = Path(__file__).resolve().parents[2] / "shared"
MAPS = ("territory_probability", "hemispheres", "difference", "signed_difference")
CASES_PER_WORKER = 3
WAYS = {"published": PriorOptions(variant="published"), "fast": PriorOptions()}


def run_case(way: str, scan: Path, mask: Path, atlas: str, out: Path) -> dict[str, float]:
    """Read, compute and write one case; return what it cost."""
    loaded = load_atlas(atlas or None)
    wall, processor = time.perf_counter(), time.process_time()
    ncct, brain = nib.Nifti1Image.from_filename(scan), nib.Nifti1Image.from_filename(mask)
    priors = compute_priors(ncct, brain, loaded, WAYS[way])
    for name in MAPS:
        nib.save(getattr(priors, name), out / f"{name}.nii.gz")
    return {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Return the most memory that this process held (Linux): ``ru_maxrss`` is its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def run_apart(way: str, files: tuple[Path, Path, str], out: Path, threads: int) -> dict[str, float]:
    """Run one way in a fresh process with so many ITK threads."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    scan, mask, atlas = files
    command = [sys.executable, __file__, "--one", way, str(scan), str(mask), atlas, str(out)]
    environment = dict(os.environ, ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=str(threads))
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)  # noqa: S603
    return json.loads(done.stdout.splitlines()[-1])


def published_or_kept(
    files: tuple[Path, Path, str], out: Path, threads: int
) -> tuple[dict[str, float], str]:
    """Run the published way, or take what an earlier run left in ``out``; and say which."""
    scan, mask, atlas = files
    record, origin = out / "cost.json", fingerprint(scan, mask, atlas, threads)
    if record.is_file():
        kept = json.loads(record.read_text())
        if kept["of"] == origin:
            return kept["cost"], f"KEPT from {kept['when']}, not run again"
        shutil.rmtree(out)
    cost = run_apart("published", files, out, threads)
    when = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes")
    record.write_text(json.dumps({"of": origin, "when": when, "cost": cost}, indent=1))
    return cost, "run now"


def fingerprint(scan: Path, mask: Path, atlas: str, threads: int) -> str:
    """Say what the published way's result depends on."""
    digest = hashlib.sha256(f"{version('antspyx')} {threads}".encode())
    images = [nib.load(scan), nib.load(mask)]
    loaded = load_atlas(atlas or None)
    images += [loaded.template, loaded.territory_probability, loaded.hemispheres]
    for image in images:
        digest.update(np.ascontiguousarray(image.dataobj))
        digest.update(np.asarray(image.affine))
    return digest.hexdigest()


def compare(reference: Path, other: Path, mask: Path) -> dict[str, float]:
    """Agreement of two sets of maps inside the brain; differences are smoothed by 4 mm."""
    brain = np.asarray(nib.load(mask).dataobj) > 0

    def read(folder: Path, name: str) -> np.ndarray:
        return np.asarray(nib.load(folder / f"{name}.nii.gz").dataobj)

    result = {}
    first, second = read(reference, "hemispheres"), read(other, "hemispheres")
    for side, label in (("left", 1), ("right", 2)):
        a, b = (first == label) & brain, (second == label) & brain
        result[f"hemisphere_dice_{side}"] = 2 * (a & b).sum() / (a.sum() + b.sum())
    name = "territory_probability"
    result["territory_r"] = _r(read(reference, name)[brain], read(other, name)[brain])
    covered = brain & (first == 1)  # the published map covers one side
    sigma = 4.0 / np.asarray(grid_of(nib.load(mask)).spacing)
    for name in ("difference", "signed_difference"):
        pair = [
            gaussian_filter(np.where(covered, read(folder, name), 0), sigma)[covered]
            for folder in (reference, other)
        ]
        result[f"{name}_r"] = _r(*pair)
    return result


def throughput(files: tuple[Path, Path, str], workers: int, folder: Path) -> tuple[float, float]:
    """Return cases per minute of so many workers, once warm, and processor seconds per case."""
    outs = [folder / f"case{k}" for k in range(CASES_PER_WORKER * workers)]
    for out in outs:
        out.mkdir(exist_ok=True)
    jobs = [delayed(run_case)("fast", *files, out) for out in outs]
    with Parallel(n_jobs=workers, inner_max_num_threads=1, backend="loky") as pool:
        pool(jobs[:workers])
        began = time.perf_counter()
        costs = pool(jobs)
        seconds = time.perf_counter() - began
    return 60.0 * len(jobs) / seconds, float(np.mean([cost["processor"] for cost in costs]))


def report_throughput(files: tuple[Path, Path, str], workers: int, folder: Path) -> float:
    """Print what several workers do beside one; the better of two rounds each, as others work.

    Returns:
        Seconds per case that several workers take.
    """
    rounds = [[throughput(files, n, folder) for n in (1, workers)] for _ in range(2)]
    (single, alone), (several, beside) = (max(pair) for pair in zip(*rounds, strict=True))
    print(
        f"1 worker {single:.1f} cases/min ({alone:.1f} s of processor each), {workers} workers "
        f"{several:.1f} ({beside:.1f} s): {several / single / workers:.2f} of linear"
    )
    return 60.0 / several


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path, default=SHARED / "data" / "ncct_ge_hispeed_dicom")
    parser.add_argument("--atlas", default=None, help="default: ../shared/atlases, else embedded")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="a folder in which maps are left")
    parser.add_argument("--skip-published", action="store_true")
    parser.add_argument("--skip-throughput", action="store_true")
    arguments = parser.parse_args()
    atlas = arguments.atlas
    if atlas is None:
        atlas = str(SHARED / "atlases") if (SHARED / "atlases").is_dir() else ""
    if not arguments.scan.exists():
        parser.error(f"no scan at {arguments.scan}; give one with --scan")
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        files = prepare(arguments.scan, atlas, folder)
        fast = run_apart("fast", files, folder / "fast", 1)
        report("this project, 1 thread", fast)
        if not arguments.skip_published:
            slow, origin = published_or_kept(files, folder / "published", arguments.threads)
            report(f"as published, {arguments.threads} threads", slow, origin)
            print(
                f"{slow['wall'] / fast['wall']:.0f} times faster by the clock, "
                f"{slow['processor'] / fast['processor']:.0f} times less processor time, "
                f"{slow['peak_mib'] / fast['peak_mib']:.1f} times less memory"
            )
            for key, value in compare(folder / "published", folder / "fast", files[1]).items():
                print(f"  {key:26s} {value:.4f}")
        if not arguments.skip_throughput:
            seconds = report_throughput(files, arguments.threads, folder)
            if not arguments.skip_published:
                gain = slow["wall"] / seconds
                print(f"{gain:.0f} times faster per case in a cohort, both ways on all cores")


def prepare(scan: Path, atlas: str, folder: Path) -> tuple[Path, Path, str]:
    """Write scan and brain mask as NIfTI files that both ways read."""
    ncct = read_ncct(scan)
    began = time.perf_counter()
    mask = extract_brain(ncct)
    seconds = time.perf_counter() - began
    nib.save(ncct, folder / "ncct.nii.gz")
    nib.save(mask, folder / "mask.nii.gz")
    spacing = " x ".join(f"{value:.2f}" for value in grid_of(ncct).spacing)
    print(f"scan {ncct.shape}, {spacing} mm; brain mask for both {seconds:.1f} s", flush=True)
    return folder / "ncct.nii.gz", folder / "mask.nii.gz", atlas


def report(title: str, cost: dict[str, float], origin: str = "run now") -> None:
    """Print one way's cost."""
    print(
        f"{title:26s} {cost['wall']:8.1f} s by the clock, {cost['processor']:8.1f} s of processor, "
        f"{cost['peak_mib']:6.0f} MiB ({origin})",
        flush=True,
    )


def _r(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        chosen, scan_file, mask_file, atlas_name, target = sys.argv[2:]
        task = (chosen, Path(scan_file), Path(mask_file), atlas_name, Path(target))
        if chosen == "fast":  # a cohort's worker has libraries and atlas ready after one case
            run_case(*task)
        cost = run_case(*task)
        print(json.dumps(cost))
    else:
        main()

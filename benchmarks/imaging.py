"""Brain mask on simulated heads: agreement with the truth and CPU time, by condition.

    python benchmarks/imaging.py [--seeds 2] [--real FOLDER_OR_FILE]

The truth is the simulator's brain without the outer film of CSF, so a perfect mask of the inside
of the skull scores about 0.98.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from lvo_kedro.imaging import describe_scan, extract_brain, read_ncct
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.simulation import SimulationOptions, simulate_case

CONDITIONS: dict[str, dict] = {
    "0.6 mm, bone kernel": {
        "spacing_mm": 0.6,
        "slice_thickness_mm": (0.6,),
        "kernel": (-0.9, -0.9),
    },
    "1.25 mm, noise x 3": {"slice_thickness_mm": (1.25,), "noise_hu": (12.0, 12.0)},
    "2.5 mm": {"slice_thickness_mm": (2.5,)},
    "5 mm, soft kernel": {"slice_thickness_mm": (5.0,), "kernel": (0.8, 0.8), "spacing_mm": 0.7},
    "turned 25, pitch 25": {"rotation_deg": 25.0, "pitch_deg": 25.0},
    "tilted gantry, sheared": {"gantry_tilt_deg": 22.0},
    "vertex cut 40 mm": {"cut_vertex_mm": 40.0},
    "base cut 50 mm": {"cut_base_mm": 50.0},
    "craniectomy": {"craniectomy": True},
    "haemorrhage 100 ml": {"haemorrhage_ml": 100.0, "midline_shift_mm": 10.0},
    "atrophy": {"atrophy": (1.0, 1.0)},
    "realistic": {"difficulty": "realistic"},
}


def measure(seed: int, options: SimulationOptions) -> dict[str, float | str]:
    """Simulate one case, mask its brain, compare."""
    case = simulate_case(seed, options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scan.nii.gz")
        nib.save(case.ncct, path)
        start = time.process_time()
        ncct = read_ncct(path)
        read = time.process_time() - start
        start = time.process_time()
        mask = extract_brain(ncct)
        masked = time.process_time() - start
        nib.save(mask, Path(folder, "mask.nii.gz"))
    direct = np.asarray(extract_brain(case.ncct).dataobj) > 0
    truth = np.asarray(case.brain_mask.dataobj) > 0
    volume = grid_of(case.ncct).voxel_volume_ml
    return {
        "dice": 2.0 * float((direct & truth).sum()) / float(direct.sum() + truth.sum()),
        "missed ml": float((truth & ~direct).sum()) * volume,
        "excess ml": float((direct & ~truth).sum()) * volume,
        "read cpu s": read,
        "mask cpu s": masked,
        "shape": "x".join(map(str, ncct.shape)),
        "findings": "; ".join(describe_scan(ncct, mask)["findings"]),
    }


def main() -> None:
    """Print one line per case and a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    scores = []
    for name, fields in CONDITIONS.items():
        for seed in range(arguments.seeds) if arguments.only in name else ():
            row = measure(seed, SimulationOptions(**fields))
            scores.append(float(row["dice"]))
            words = "  ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values())
            print(f"{name:<24} {words}", flush=True)
    print(f"Dice: median {np.median(scores):.3f}, worst {min(scores):.3f}, n {len(scores)}")
    if arguments.real:
        start = time.process_time()
        ncct = read_ncct(arguments.real)
        middle = time.process_time()
        mask = extract_brain(ncct)
        print(f"CPU seconds: read {middle - start:.2f}, mask {time.process_time() - middle:.2f}")
        print(describe_scan(ncct, mask))


if __name__ == "__main__":
    main()

"""What is found that leaves a scan without a call: bleeding and its like, arteries not in the scan.

    python benchmarks/out_of_scope.py [--heads 60] [--bleeding 6] [--real FOLDER_OR_FILE]

Simulated heads: deep haematomas of several volumes; heads without, with dense clots, dense blood
and calcium; blood painted into ventricles, basal cisterns and under the dura, 65 HU; heads whose
lower end is not in the scan. One line per case, then the counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging import (
    QualityLimits,
    extract_brain,
    find_hyperdensity,
    measure_scan,
    read_ncct,
)
from lvo_kedro.imaging.geometry import grid_of, make_image, to_ras
from lvo_kedro.imaging.pose import find_pose
from lvo_kedro.priors import PriorLimits, PriorOptions, compute_priors, load_atlas
from lvo_kedro.simulation import SimulatedCase, SimulationOptions, simulate_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    import nibabel as nib

LIMIT = QualityLimits().min_haemorrhage_ml
VOLUMES_ML = (1.0, 3.0, 10.0, 30.0, 100.0)
THICKNESSES_MM = (1.0, 5.0)
PRESETS = ("realistic", "hard")
DENSE: dict[str, Any] = {
    "clot_hu": (65.0, 75.0),
    "clot_length_mm": (20.0, 20.0),
    "calcification": 1.0,
}
PAINTED = ("ventricles", "cisterns", "subdural 12 mm", "subdural 6 mm")


def hyperdense_ml(ncct: nib.Nifti1Image) -> tuple[float, str]:
    """Return what is found in a scan, and on which side the largest region lies."""
    ncct = to_ras(ncct)
    mask = to_ras(extract_brain(ncct))
    found = find_hyperdensity(ncct, mask, find_pose(ncct, mask).right)
    return sum(found.volumes_ml), found.side


def haematomas(count: int) -> Iterator[tuple[str, float, bool]]:
    """Yield the true volume's name, what is found, and whether the side is right."""
    for volume in VOLUMES_ML:
        for thickness in THICKNESSES_MM:
            for seed in range(count):
                side = ("left", "right")[seed % 2]
                case = simulate_case(
                    seed,
                    SimulationOptions(
                        difficulty=PRESETS[seed // 2 % 2],
                        slice_thickness_mm=(thickness,),
                        haemorrhage_ml=volume,
                        side=side,
                    ),
                )
                ml, found = hyperdense_ml(case.ncct)
                yield f"{volume:g} ml, slices of {thickness:g} mm", ml, found == side


def without_bleeding(count: int) -> Iterator[tuple[str, float, bool]]:
    """Yield heads in which nothing bleeds, half of them with a dense clot."""
    for seed in range(count):
        for thickness in THICKNESSES_MM:
            preset = PRESETS[seed % 2]
            fields = DENSE | {"lvo": seed % 4 < 2, "slice_thickness_mm": (thickness,)}
            case = simulate_case(1000 + seed, SimulationOptions(difficulty=preset, **fields))
            yield f"none, {preset}, {thickness:g} mm", hyperdense_ml(case.ncct)[0], True


def paint(case: SimulatedCase, kind: str) -> tuple[nib.Nifti1Image, float]:
    """Fill a space with blood of 65 HU; returns the scan and the volume painted (ml)."""
    ncct = to_ras(case.ncct)
    data = np.array(ncct.dataobj, dtype=np.float32)
    brain = np.asarray(to_ras(case.brain_mask).dataobj) > 0
    grid = grid_of(ncct)
    mni = case.head.on_grid(grid)
    depth = ndimage.distance_transform_edt(brain, sampling=grid.spacing)
    fluid = brain & (ndimage.gaussian_filter(data, 0.7 / np.array(grid.spacing)) < 18)
    x, y, z = np.moveaxis(mni, -1, 0)
    if kind == "ventricles":
        where = fluid & (depth > 20) & (np.abs(x) < 32) & (z > -5) & (z < 30)
    elif kind == "cisterns":
        where = fluid & (np.abs(x) < 35) & (y > -35) & (y < 20) & (z > -30) & (z < -5)
    else:
        where = brain & (depth < float(kind.split()[1])) & (x > 30) & (z > 10)
    data[where] = 65 + 3 * np.random.default_rng(0).standard_normal(int(where.sum()))
    return make_image(data, ncct.affine), float(where.sum()) * grid.voxel_volume_ml


def painted(count: int) -> Iterator[tuple[str, float, bool]]:
    """Yield heads with blood in other places than the simulator's."""
    for kind in PAINTED:
        for thickness in THICKNESSES_MM:
            for seed in range(count):
                fields = {"slice_thickness_mm": (thickness,), "atrophy": (0.5, 0.8)}
                case = simulate_case(seed, SimulationOptions(difficulty="hard", **fields))
                scan, true = paint(case, kind)
                print(f"  painted {true:.1f} ml")
                yield f"{kind}, {thickness:g} mm", hyperdense_ml(scan)[0], True


def coverage(count: int) -> None:
    """Print how much of the large arteries is in the scan, and how much the registration says."""
    options, atlas = PriorOptions(), load_atlas()
    for cut in (0.0, 20.0, 30.0, 40.0, 50.0):
        for seed in range(count):
            fields = {"slice_thickness_mm": (2.5,), "cut_base_mm": cut}
            case = simulate_case(seed, SimulationOptions(difficulty="realistic", **fields))
            points = np.concatenate([a.points for a in case.arteries if a.name[:2] in ("C7", "M1")])
            index = apply_affine(np.linalg.inv(case.ncct.affine), points)
            inside = (index > -0.5) & (index < np.array(case.ncct.shape) - 0.5)
            ncct = to_ras(case.ncct)
            quality = compute_priors(ncct, to_ras(extract_brain(ncct)), atlas, options).quality
            print(
                f"base cut by {cut:g} mm, seed {seed}: {inside.all(axis=1).mean():.2f} of C7 and "
                f"M1 in the scan; arteries_coverage {quality['arteries_coverage']:.2f}, "
                f"coverage {quality['coverage']:.2f}",
                flush=True,
            )
    print(f"limits: {PriorLimits().arteries_coverage:.2f}, {PriorLimits().coverage:.2f}")


def main() -> None:
    """Print lines and counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=60)
    parser.add_argument("--bleeding", type=int, default=6)
    parser.add_argument("--cut", type=int, default=4)
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    if arguments.real:
        ncct = read_ncct(arguments.real)
        numbers = measure_scan(ncct, extract_brain(ncct))
        print({k: v for k, v in numbers.items() if k.startswith(("hyperdense", "metal"))})
    found: dict[str, list[tuple[float, bool]]] = {}
    parts = (haematomas(arguments.bleeding), painted(2), without_bleeding(arguments.heads))
    for part in parts:
        for name, ml, right in part:
            print(f"{name}: {ml:.2f} ml{'' if right else ', wrong side'}", flush=True)
            found.setdefault(name, []).append((ml, right))
    for name, values in found.items():
        ml = [v for v, _ in values]
        over = [right for v, right in values if v >= LIMIT]
        print(
            f"{name:<28} {len(over)} of {len(ml)} from {LIMIT} ml on, right side in {sum(over)}; "
            f"median {np.median(ml):.1f}, {min(ml):.1f} to {max(ml):.1f} ml"
        )
    coverage(arguments.cut)


if __name__ == "__main__":
    main()

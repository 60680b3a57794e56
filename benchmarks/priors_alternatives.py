"""Ways to register atlas and scan, measured on simulated scans whose truth is known.

    python benchmarks/priors_alternatives.py [CASES]

Heads are turned by up to 20 degrees, off-centre, bent and atrophied; slices are 0.6 to 5 mm thick;
every fourth scan misses the vertex or the base. The brain mask is the project's own. Printed per
way: processor seconds per case, voxels on the wrong side, Dice of the MCA territory (p > 0.5), and
the smoothed signed difference inside fresh infarcts and in the same territory of healthy brains.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import numpy as np
from scipy.ndimage import gaussian_filter

from lvo_kedro.imaging import extract_brain
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.priors import PriorOptions, compute_priors, load_atlas
from lvo_kedro.priors.engine import sample
from lvo_kedro.simulation import SimulationOptions, simulate_case

if TYPE_CHECKING:
    import nibabel as nib

    from lvo_kedro.priors import Atlas

WAYS: dict[str, tuple[str, PriorOptions]] = {
    "affine, 4 mm": ("ct", PriorOptions(spacing_mm=4.0, iterations=(0, 0, 0))),
    "SyN 4 mm, a fifth sampled": ("ct", PriorOptions(spacing_mm=4.0, sampling=0.2)),
    "SyN 4 mm, half": ("ct", PriorOptions(spacing_mm=4.0, sampling=0.5)),
    "SyN 4 mm, all": ("ct", PriorOptions(spacing_mm=4.0, sampling=1.0)),
    "SyN 3 mm, a fifth": ("ct", PriorOptions(spacing_mm=3.0, sampling=0.2)),
    "SyN 3 mm, half": ("ct", PriorOptions(spacing_mm=3.0, sampling=0.5)),
    "SyN 3 mm, T1 template": ("t1", PriorOptions()),
    "SyN 3 mm, mirror unsmoothed": ("ct", PriorOptions(mirror_sigma=0.0)),
    "SyN 3 mm, finest level too": ("ct", PriorOptions(iterations=(40, 20, 10))),
    "SyN 2 mm": ("ct", PriorOptions(spacing_mm=2.0)),
}


class Truth(NamedTuple):
    """One simulated scan, its mask as extracted, and what is true."""

    ncct: nib.Nifti1Image
    mask: nib.Nifti1Image
    sides: np.ndarray
    territory: np.ndarray
    infarct: np.ndarray


def simulate(number: int) -> Truth:
    """Simulate a hard case and warp the atlas into it by the true map."""
    settings = {
        "difficulty": "realistic",
        "rotation_deg": 20.0,
        "pitch_deg": 20.0,
        "off_centre_mm": 40.0,
        "hypodensity_hu": (4.0, 10.0),
        "lvo": number % 3 != 2,
        "slice_thickness_mm": ((0.625, 1.25, 2.5, 5.0)[number % 4],),
        "cut_vertex_mm": 40.0 if number % 8 == 3 else 0.0,
        "cut_base_mm": 40.0 if number % 8 == 5 else 0.0,
        "gantry_tilt_deg": 20.0 if number % 8 == 6 else 0.0,
    }
    case = simulate_case(5000 + number, SimulationOptions(**settings))
    atlas = load_atlas()
    mni = np.moveaxis(case.head.on_grid(grid_of(case.ncct)), -1, 0).astype(np.float32)
    brain = np.asarray(case.brain_mask.dataobj) > 0
    territory = sample(
        np.asarray(atlas.territory_probability.dataobj), grid_of(atlas.template), mni
    )
    return Truth(
        case.ncct,
        extract_brain(case.ncct),
        np.asarray(case.hemispheres.dataobj),
        territory * brain,
        np.asarray(case.infarct_mask.dataobj) > 0,
    )


def assess(truth: Truth, atlas: Atlas, options: PriorOptions) -> dict[str, float]:
    """Run one way on one case."""
    began = time.process_time()
    priors = compute_priors(truth.ncct, truth.mask, atlas, options)
    seconds = time.process_time() - began
    both = (truth.sides > 0) & (np.asarray(truth.mask.dataobj) > 0)
    sides = np.asarray(priors.hemispheres.dataobj)
    found = np.asarray(priors.territory_probability.dataobj) > 0.5
    expected = truth.territory > 0.5
    spacing = np.asarray(grid_of(truth.ncct).spacing)
    smooth = gaussian_filter(np.asarray(priors.signed_difference.dataobj), 4.0 / spacing)
    ill = bool(truth.infarct.any())
    place = truth.infarct if ill else expected & (truth.sides == 1)
    return {
        "seconds": seconds,
        "wrong_side": 100 * float((sides != truth.sides)[both].mean()),
        "dice": 2 * (found & expected).sum() / (found.sum() + expected.sum()),
        "infarct_hu": float(smooth[place & both].mean()) if ill else np.nan,
        "healthy_hu": np.nan if ill else float(smooth[place & both].mean()),
    }


def main() -> None:
    """Measure all ways on the same cases."""
    cases = [simulate(number) for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 12)]
    atlas = load_atlas()
    t1 = make_image(
        40.0 * np.asarray(atlas.template.dataobj, dtype=np.float32), atlas.template.affine
    )
    atlases = {"ct": atlas, "t1": dataclasses.replace(atlas, template_hu=t1)}
    print(f"{'way':28s} s/case  wrong side %  (worst)  Dice  (worst)  infarct HU  healthy HU")
    for name, (kind, options) in WAYS.items():
        rows = [assess(truth, atlases[kind], options) for truth in cases]
        column = {key: np.array([row[key] for row in rows]) for key in rows[0]}
        print(
            f"{name:28s} {np.median(column['seconds']):6.1f} "
            f"{np.median(column['wrong_side']):13.2f} {column['wrong_side'].max():8.2f} "
            f"{np.median(column['dice']):6.3f} {column['dice'].min():7.3f} "
            f"{np.nanmean(column['infarct_hu']):11.1f} {np.nanmean(column['healthy_hu']):11.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

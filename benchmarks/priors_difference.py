"""Does the signed difference tell the sick from the healthy side? Measured on simulated scans.

    python benchmarks/priors_difference.py [CASES]

Half the cases have a fresh infarct that lost 4 HU or more; its truth and the truth's mirror image
on the healthy side give two values per case, the mean of the signed difference smoothed by 4 mm.
The other half are healthy: the value is that of the left territory, once with everything that the
`realistic` preset draws (old infarcts and mimics included), once without any lesion. Brain masks
are the project's own. The findings that the healthy cases get are counted too.
"""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")

import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from lvo_kedro.imaging import extract_brain
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.priors import PriorOptions, Priors, compute_priors, load_atlas
from lvo_kedro.priors.engine import sample
from lvo_kedro.simulation import SimulatedCase, SimulationOptions, simulate_case

REALISTIC = {"difficulty": "realistic", "spacing_mm": 1.5, "hypodensity_hu": (4.0, 10.0)}
KINDS = {
    "fresh infarct": {"lvo": True},
    "healthy, distractors": {"lvo": False},
    "no lesion at all": {"lvo": False, "old_infarct": 0.0, "mimic": 0.0},
}


def smoothed(priors: Priors) -> np.ndarray:
    """Return the signed difference after a Gaussian of 4 mm."""
    image = priors.signed_difference
    sigma = 4.0 / np.asarray(grid_of(image).spacing)
    return gaussian_filter(np.asarray(image.dataobj), sigma)


def both_sides(case: SimulatedCase, difference: np.ndarray) -> tuple[float, float]:
    """Average the difference over the infarct and over its mirror image on the healthy side."""
    grid = grid_of(case.ncct)
    place = np.argwhere(np.asarray(case.infarct_mask.dataobj) > 0)
    mirrored = case.head.to_mni(apply_affine(grid.affine, place)) * [-1.0, 1.0, 1.0]
    opposite = case.head.to_world(mirrored).T.astype(np.float32)
    here = difference[tuple(place.T)]
    return float(here.mean()), float(sample(difference, grid, opposite).mean())


def left_territory(case: SimulatedCase, difference: np.ndarray) -> float:
    """Average the difference over the left territory."""
    territory = np.asarray(case.territory_probability.dataobj) > 0.5
    return float(difference[territory & (np.asarray(case.hemispheres.dataobj) == 1)].mean())


def measure(seed: int, kind: str, options: PriorOptions) -> tuple[list[float], list[str]]:
    """Simulate one case and return its values (HU) and the findings of its priors."""
    case = simulate_case(seed, SimulationOptions(**REALISTIC, **KINDS[kind]))
    priors = compute_priors(case.ncct, extract_brain(case.ncct), load_atlas(), options)
    difference = smoothed(priors)
    values = both_sides(case, difference) if case.lvo else [left_territory(case, difference)]
    return list(values), list(priors.quality["findings"])


def main() -> None:
    """Measure and print."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    for kind in KINDS:
        began = time.perf_counter()
        count = cases // 2 if kind == "fresh infarct" else cases // 4
        values, findings = zip(
            *(measure(9000 + k, kind, PriorOptions()) for k in range(count)), strict=True
        )
        table = np.array(values)
        words = ", ".join(f"{mean:+.2f} ± {sd:.2f}" for mean, sd in
                          zip(table.mean(axis=0), table.std(axis=0), strict=True))  # fmt: skip
        print(f"{kind:22s} n {count:3d}: {words} HU, worst {np.abs(table).max(axis=0).round(2)}")
        if table.shape[1] == 2:
            truth = np.repeat([1, 0], count)
            print(f"  sick against healthy side: AUC {roc_auc_score(truth, -table.T.ravel()):.3f}")
        seconds = (time.perf_counter() - began) / count
        print(f"  {seconds:.1f} s per case; findings: {[f for one in findings for f in one]}")


if __name__ == "__main__":
    main()

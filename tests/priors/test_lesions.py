"""The signed difference tells the sick from the healthy side, and is silent without a lesion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.priors import PriorOptions, compute_priors, load_atlas
from lvo_kedro.simulation import SimulationOptions, simulate_case

pytestmark = pytest.mark.long

QUICK = PriorOptions(spacing_mm=4.0)
SCANNER = {"difficulty": "realistic", "spacing_mm": 2.0, "slice_thickness_mm": (4.0,)}


def side_means(seed: int, **options) -> np.ndarray:
    """Mean smoothed signed difference (HU) of the true territory, left and right."""
    case = simulate_case(seed, SimulationOptions(**SCANNER, **options))
    priors = compute_priors(case.ncct, case.brain_mask, load_atlas(), QUICK)
    sigma = 4.0 / np.asarray(grid_of(case.ncct).spacing)
    smooth = gaussian_filter(np.asarray(priors.signed_difference.dataobj), sigma)
    territory = np.asarray(case.territory_probability.dataobj) > 0.5
    sides = np.asarray(case.hemispheres.dataobj)
    return np.array([smooth[territory & (sides == label)].mean() for label in (1, 2)])


def test_territory_infarcts_separate_the_sides():
    sick, healthy = [], []
    for seed, side in enumerate(("left", "right", "left", "right")):
        left, right = side_means(
            seed,
            lvo=True,
            side=side,
            segment="M1",
            hypodensity_hu=(4.0, 6.0),
            territory_part=(1, 1),
        )
        sick.append(left if side == "left" else right)
        healthy.append(right if side == "left" else left)
    labels = [1] * len(sick) + [0] * len(healthy)
    assert roc_auc_score(labels, -np.array(sick + healthy)) >= 0.9
    assert np.mean(sick) < -1.5


@pytest.mark.parametrize("seed", [20, 21, 22])
def test_without_a_lesion_both_sides_are_alike(seed):
    # shading of the scanner is a true difference of the image, though not of the brain
    left, right = side_means(seed, lvo=False, old_infarct=0.0, mimic=0.0, shading_hu=0.0)
    assert abs(left) < 0.5
    assert abs(right) < 0.5

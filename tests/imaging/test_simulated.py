"""The brain mask on simulated heads, whose brain is known: see docs/imaging.md for more of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lvo_kedro.imaging import extract_brain
from lvo_kedro.simulation import SimulationOptions, simulate_case
from tests.lengths import one_of

SCANS = {
    "thin, bone kernel": {"slice_thickness_mm": (1.25,), "kernel": (-0.9, -0.9)},
    "5 mm, soft kernel": {"slice_thickness_mm": (5.0,), "kernel": (0.8, 0.8)},
    "turned": {"rotation_deg": 25.0, "pitch_deg": 25.0},
    "tilted gantry": {"gantry_tilt_deg": 22.0},
    "base cut": {"cut_base_mm": 50.0},
    "craniectomy": {"craniectomy": True},
    "haemorrhage": {"haemorrhage_ml": 100.0, "midline_shift_mm": 10.0},
    "realistic": {"difficulty": "realistic"},
}


@pytest.mark.parametrize("name", one_of(4, SCANS))
def test_the_mask_is_the_simulated_brain(name: str) -> None:
    defaults = {"spacing_mm": 2.0, "slice_thickness_mm": (3.0,)}
    case = simulate_case(5, SimulationOptions(**defaults | SCANS[name]))
    found = np.asarray(extract_brain(case.ncct).dataobj) > 0
    truth = np.asarray(case.brain_mask.dataobj) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) >= 0.95
    assert ndimage.label(found)[1] == 1

"""Heads that are not like the template: no crash, and a word where the maps should not be trusted.

Simulated scans: the midline pushed aside, blood, bone taken out, a whole territory lost, and a
field of view that leaves out part of one side.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest

from lvo_kedro.imaging import extract_brain
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.priors import PriorOptions, Priors, compute_priors, load_atlas
from lvo_kedro.simulation import SimulatedCase, SimulationOptions, simulate_case

pytestmark = pytest.mark.long

QUICK = PriorOptions(spacing_mm=4.0, mirror_iterations=(20, 10, 0))
SCANNER = {"spacing_mm": 2.0, "slice_thickness_mm": (4.0,), "orientations": ("RAS",)}

SCANS = {
    "midline shift": {"midline_shift_mm": 15.0},
    "haemorrhage": {"midline_shift_mm": 10.0, "haemorrhage_ml": 100.0},
    "craniectomy": {"craniectomy": True},
    "large infarct": {
        "segment": "C7",
        "hypodensity_hu": (10.0, 10.0),
        "territory_part": (1.0, 1.0),
    },
}
FINDINGS = {
    "midline shift": "the midline is bent by",
    "haemorrhage": "template and scan correlate by",
}


@dataclass(frozen=True)
class Odd:
    case: SimulatedCase
    priors: Priors
    wrong_side: float


@functools.cache
def odd(name: str) -> Odd:
    options = SimulationOptions(**SCANNER, lvo=True, side="left", **SCANS[name])
    return compute(simulate_case(4, options))


def compute(case: SimulatedCase, box: tuple[slice, ...] = (slice(None),) * 3) -> Odd:
    """Mask the brain of (a part of) a scan and compute its priors."""
    scan = part(case.ncct, box)
    priors = compute_priors(scan, extract_brain(scan), load_atlas(), QUICK)
    truth = np.asarray(case.hemispheres.dataobj)[box]
    found = np.asarray(priors.hemispheres.dataobj)
    both = (truth > 0) & (found > 0)
    return Odd(case, priors, float((truth != found)[both].mean()))


def part(image, box):
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [bounds.start or 0 for bounds in box]
    return make_image(np.asarray(image.dataobj)[box], affine)


@pytest.mark.parametrize("name", SCANS)
def test_sides_hold_or_a_finding_says_so(name):
    result = odd(name)
    assert result.wrong_side < (0.06 if name in FINDINGS else 0.015)
    assert FINDINGS.get(name, "") in " ".join(result.priors.quality["findings"])
    for field in ("difference", "signed_difference", "territory_probability"):
        assert np.isfinite(np.asarray(getattr(result.priors, field).dataobj)).all()


def test_a_large_infarct_is_darker_than_the_other_side():
    result = odd("large infarct")
    infarct = np.asarray(result.case.infarct_mask.dataobj) > 0
    assert np.asarray(result.priors.signed_difference.dataobj)[infarct].mean() < -4


def test_a_side_outside_the_field_of_view_is_a_finding():
    case = simulate_case(4, SimulationOptions(**SCANNER, lvo=False))
    brain = np.flatnonzero((np.asarray(case.hemispheres.dataobj) > 0).any(axis=(1, 2)))
    cut = slice(int(brain[0]) + 12, None)  # 24 mm of the left side are missing
    result = compute(case, (cut, slice(None), slice(None)))
    assert result.wrong_side < 0.02
    assert "more of one side" in " ".join(result.priors.quality["findings"])


def test_a_turned_head_without_base_is_found_from_a_second_start():
    options = SimulationOptions(**SCANNER, lvo=True, side="left", rotation_deg=25, cut_base_mm=60)
    result = compute(simulate_case(3, options))
    assert result.priors.quality["start"] == "second"
    assert result.wrong_side < 0.015
    assert "of the brain" in " ".join(result.priors.quality["findings"])

"""Measures, findings, the second start, and the published way."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lvo_kedro.errors import RegistrationError, ScanError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.resampling import change_grid
from lvo_kedro.priors import (
    PriorLimits,
    PriorOptions,
    StartLimits,
    compute_priors,
    load_atlas,
    registration,
)
from lvo_kedro.priors.engine import Mapping, grid_points
from lvo_kedro.priors.quality import (
    find_faults,
    jacobian_range,
    lacks_coverage,
    midline_shift,
)
from lvo_kedro.priors.registration import WorkingScan
from tests.priors.phantoms import COARSE, centred_grid, make_phantom, side_error, territory_dice


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(turn=(4, -3, 6), loss=8.0)


@pytest.fixture(scope="module")
def priors(phantom):
    return compute_priors(phantom.ncct, phantom.mask, load_atlas(), COARSE)


def test_quality_of_a_good_case(priors):
    quality = priors.quality
    assert quality["findings"] == []
    assert quality["start"] == "first"
    assert quality["overlap"] > 0.93 and quality["similarity"] > 0.5
    assert 0 < quality["jacobian_min"] < 1 < quality["jacobian_max"] < 5
    assert quality["coverage"] == pytest.approx(1.0, abs=0.02)
    assert quality["left_right_ratio"] == pytest.approx(1.0, abs=0.1)
    assert all(quality[f"seconds_{step}"] >= 0 for step in ("register", "difference", "resample"))
    json.dumps(quality)


def test_findings_are_words():
    fine = {
        "overlap": 0.95, "similarity": 0.6, "jacobian_min": 0.5, "jacobian_max": 2.0,
        "left_right_ratio": 1.0, "coverage": 1.0, "coverage_asymmetry": 0.01,
        "arteries_coverage": 1.0, "midline_shift_mm": 2.0,
    }  # fmt: skip
    assert find_faults(fine, PriorLimits()) == []
    bad = {
        "overlap": 0.7, "similarity": 0.1, "jacobian_min": -0.1, "jacobian_max": 12.0,
        "left_right_ratio": 0.7, "coverage": 0.6, "coverage_asymmetry": 0.12,
        "arteries_coverage": 0.7, "midline_shift_mm": 11.0,
    }  # fmt: skip
    findings = find_faults(bad, PriorLimits())
    assert len(findings) == len(bad)
    assert any("60 %" in words for words in findings)
    assert any("1.43 times" in words for words in findings)
    assert any("12 % more of one side" in words for words in findings)
    assert lacks_coverage(fine, PriorLimits()) == []
    against = lacks_coverage(bad, PriorLimits())
    assert against == [
        "the scan shows 60 % of the brain",
        "the scan shows 70 % of the circle of Willis and M1",
    ]
    assert set(against) < set(findings)
    assert lacks_coverage(bad, PriorLimits(no_call_coverage=False)) == []


@pytest.mark.parametrize(
    ("begins_mm", "low", "high"), [(-60, 0.99, 1.0), (-18, 0.2, 0.7), (5, 0, 0)]
)
def test_arteries_that_the_scan_does_not_show(phantom, begins_mm, low, high):
    """The map is that of the whole head, so what is cut is known."""
    atlas = registration.prepare_atlas(load_atlas(), COARSE.spacing_mm)
    scan = registration.prepare_scan(phantom.ncct, phantom.mask, COARSE.spacing_mm)
    mapping = registration.align(scan, atlas, COARSE).mapping
    shown = mapping.to_moving(grid_points(scan.grid))[2] > begins_mm  # MNI height
    cut = WorkingScan(scan.grid, scan.tissue * shown, scan.brain * shown, scan.seen & shown)
    assert low <= registration.judge(cut, atlas, mapping, "first").arteries_coverage <= high


@pytest.mark.parametrize("spacing", [3.0, 6.0])
@pytest.mark.parametrize(("pushed", "expected"), [(0.0, 0.0), (6.0, 6.0), (-9.0, 9.0)])
def test_midline_shift_is_measured_against_the_falx(spacing, pushed, expected):
    directions = Rotation.from_euler("xyz", (10, -5, 12), degrees=True).as_matrix()
    grid = centred_grid((spacing,) * 3, directions=directions)
    x, y, z = grid_points(grid)
    brain = (x / 70) ** 2 + (y / 85) ** 2 + (z / 70) ** 2 < 1
    side = x + 4.0 - pushed * np.exp(-(y**2 + z**2) / 30**2)  # a falx that is off-centre
    scan = WorkingScan(grid, 30.0 * brain, brain.astype(np.float32), np.ones(grid.shape, bool))
    assert midline_shift(scan, side) == pytest.approx(expected, abs=1.0)


def test_jacobian_of_a_known_stretch():
    grid = centred_grid((2.0, 3.0, 4.0), (40.0, 60.0, 80.0))
    forward = grid_points(grid) * np.array([0.1, 0.0, -0.2]).reshape(3, 1, 1, 1)
    mapping = Mapping(np.eye(4), grid, forward.astype(np.float32), -forward.astype(np.float32))
    low, high = jacobian_range(mapping, np.ones(grid.shape, dtype=np.float32))
    assert low == pytest.approx(0.88, abs=1e-3) and high == pytest.approx(0.88, abs=1e-3)


@pytest.mark.long
def test_poor_first_start_is_repaired_by_the_second(phantom, monkeypatch):
    real = registration.engine.register
    calls = []

    def first_goes_astray(fixed, moving, grid, moving_grid, **keywords):
        calls.append(keywords.get("kind", "SyN"))
        if len(calls) == 1:
            still = np.zeros((3, *grid.shape), dtype=np.float32)
            astray = np.eye(4)
            astray[0, 3] = 60.0
            return Mapping(astray, grid, still, still)
        return real(fixed, moving, grid, moving_grid, **keywords)

    monkeypatch.setattr(registration.engine, "register", first_goes_astray)
    repaired = compute_priors(phantom.ncct, phantom.mask, load_atlas(), COARSE)
    assert repaired.quality["start"] == "second"
    assert calls.count("Affine") > 3
    assert side_error(repaired, phantom) < 0.02
    assert territory_dice(repaired, phantom) > 0.88


@pytest.mark.long
def test_hopeless_registration_is_refused(phantom):
    starts = StartLimits(overlap=1.0, hopeless_overlap=1.0)
    with pytest.raises(RegistrationError, match="after two starts"):
        compute_priors(
            phantom.ncct, phantom.mask, load_atlas(), COARSE.model_copy(update={"starts": starts})
        )


@pytest.mark.long
def test_odd_masks_do_not_crash(phantom):
    empty = make_image(np.zeros(phantom.ncct.shape, np.uint8), phantom.ncct.affine)
    with pytest.raises(ScanError, match="empty"):
        compute_priors(phantom.ncct, empty, load_atlas(), COARSE)
    with pytest.raises(ScanError, match="3D"):
        compute_priors(
            make_image(np.zeros((4, 4, 4, 2), np.float32), np.eye(4)), empty, load_atlas(), COARSE
        )
    half = np.asarray(phantom.mask.dataobj) * (phantom.sides == 1)
    try:  # half a brain: a finding or an error, never silence
        result = compute_priors(
            phantom.ncct, make_image(half.astype(np.uint8), phantom.mask.affine), load_atlas(),
            COARSE,
        )  # fmt: skip
    except RegistrationError:
        return
    assert result.quality["findings"]


def test_published_way():
    phantom = make_phantom(centred_grid((5.0, 5.0, 5.0)), loss=8.0)
    priors = compute_priors(
        phantom.ncct, phantom.mask, load_atlas(), PriorOptions(variant="published")
    )
    assert side_error(priors, phantom) < 0.03
    assert territory_dice(priors, phantom) > 0.85
    difference = np.asarray(priors.difference.dataobj)
    found = np.asarray(priors.hemispheres.dataobj)
    assert not difference[found != 1].any()  # it covers one hemisphere only
    assert difference[phantom.lesion].mean() > 3
    assert np.asarray(priors.signed_difference.dataobj)[phantom.lesion].mean() < -3


def test_published_way_refuses_shear():
    shear = np.eye(3)
    shear[1, 2] = 0.3
    phantom = make_phantom(centred_grid((8.0, 8.0, 8.0), directions=shear))
    with pytest.raises(ScanError, match="sheared"):
        compute_priors(phantom.ncct, phantom.mask, load_atlas(), PriorOptions(variant="published"))


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_changing_grids_keeps_plains_and_means(factor):
    grid = centred_grid((2.0, 2.0, 3.0), (60.0, 60.0, 60.0))
    other = centred_grid(tuple(factor * s for s in (2.0, 2.0, 2.0)), (50.0, 50.0, 50.0))
    plain = change_grid(np.full(grid.shape, 7.0, np.float32), grid, other)
    np.testing.assert_allclose(plain, 7.0, atol=1e-4)
    ramp = grid_points(grid)[1]
    np.testing.assert_allclose(
        change_grid(ramp, grid, other)[3:-3, 3:-3, 3:-3],
        grid_points(other)[1][3:-3, 3:-3, 3:-3],
        atol=0.05,
    )

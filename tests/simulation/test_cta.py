"""The simulated angiography: the same head, filled up to the clot."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.ndimage import map_coordinates

from lvo_kedro.simulation import CtaOptions, SimulationOptions, simulate_case, simulate_cta
from tests.lengths import one_of

STROKE = SimulationOptions(
    lvo=True, side="right", segment="M1", spacing_mm=2.0, slice_thickness_mm=(4.0,), veins=1.0
)
SHARP = CtaOptions(noise_hu=(0.0, 0.0), no_collaterals=1.0)


@pytest.fixture(scope="module")
def case():
    return simulate_case(11, STROKE)


def density(image, points):
    """HU at world points (N, 3)."""
    index = apply_affine(np.linalg.inv(image.affine), points)
    return map_coordinates(image.get_fdata(), index.T, order=1)


@pytest.mark.parametrize("orientation", one_of(3, ["RAS", "LPS", "PIR"]))
def test_contrast_fills_the_arteries_up_to_the_clot(case, orientation):
    options = STROKE.model_copy(update={"orientations": (orientation,)})
    found = simulate_cta(11, options, SHARP)
    assert "".join(nib.aff2axcodes(found.cta.affine)) == orientation
    by_name = {(a.name, a.side): a for a in case.arteries}

    def filled(name, side):
        return density(found.cta, apply_affine(found.movement, by_name[name, side].points))

    clot = by_name["M1", "right"].occluded
    assert np.median(filled("C7", "right")) > 0.8 * found.arterial_hu
    assert np.median(filled("M1", "left")) > 0.7 * found.arterial_hu
    assert filled("M1", "right")[clot].max() < 0.5 * found.arterial_hu
    for branch in ("M2 superior", "M2 inferior"):  # no collaterals were asked for
        assert np.median(filled(branch, "right")) < 80 < np.median(filled(branch, "left"))


def test_collaterals_fill_what_lies_beyond_the_clot(case):
    found = simulate_cta(11, STROKE, CtaOptions(no_collaterals=0.0, collaterals=(0.8, 0.8)))
    branch = next(a for a in case.arteries if (a.name, a.side) == ("M2 superior", "right"))
    there = density(found.cta, apply_affine(found.movement, branch.points))
    assert found.collaterals == 0.8
    assert np.median(there) > 0.5 * found.arterial_hu


@pytest.mark.long
def test_without_an_occlusion_both_sides_are_filled():
    options = STROKE.model_copy(update={"lvo": False})
    case, found = simulate_case(11, options), simulate_cta(11, options, SHARP)
    for artery in case.arteries:
        if artery.name in {"C7", "M1"}:
            there = density(found.cta, apply_affine(found.movement, artery.points))
            assert np.median(there) > 0.7 * found.arterial_hu
    assert found.collaterals == 1.0


@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes():
    first, second = (simulate_cta(5, STROKE).cta for _ in range(2))
    assert np.array_equal(first.dataobj, second.dataobj)


@pytest.mark.long
def test_the_head_moves_no_further_than_asked():
    still = simulate_cta(3, STROKE, CtaOptions(movement_mm=0.0, movement_deg=0.0))
    assert np.array_equal(still.movement, np.eye(4))

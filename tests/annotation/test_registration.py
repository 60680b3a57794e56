"""The movement of the head between both scans is found, and strangers are refused."""

import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from lvo_kedro.annotation import register_cta
from lvo_kedro.errors import RegistrationError
from lvo_kedro.simulation import CtaOptions, SimulationOptions, simulate_case, simulate_cta

HEAD = SimulationOptions(lvo=False, spacing_mm=2.0, slice_thickness_mm=(2.5,))
COARSE = CtaOptions(spacing_mm=2.0, slice_thickness_mm=2.0, movement_mm=8.0, movement_deg=8.0)


def reorient(image, codes):
    change = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    return image.as_reoriented(change)


@pytest.mark.parametrize(
    ("seed", "of_ncct", "of_cta"),
    [
        (1, "RAS", "LPS"),
        pytest.param(2, "LPI", "PIR", marks=pytest.mark.long),
        pytest.param(3, "SPL", "RAS", marks=pytest.mark.long),
    ],
)
def test_a_movement_of_8_mm_and_8_degrees_is_found(seed, of_ncct, of_cta):
    case, cta = simulate_case(seed, HEAD), simulate_cta(seed, HEAD, COARSE)
    found = register_cta(reorient(cta.cta, of_cta), reorient(case.ncct, of_ncct))
    points = np.concatenate([artery.points for artery in case.arteries])
    error = apply_affine(found.matrix, points) - apply_affine(cta.movement, points)
    assert np.linalg.norm(error, axis=1).max() < 0.5
    assert found.overlap > 0.85
    turn = np.degrees(np.arccos((np.trace(cta.movement[:3, :3]) - 1) / 2))
    assert found.rotation_deg == pytest.approx(turn, abs=0.3)


@pytest.mark.long
def test_another_head_is_refused():
    case, cta = simulate_case(1, HEAD), simulate_cta(40, HEAD, COARSE)
    with pytest.raises(RegistrationError, match="skull overlaps the plain scan's by Dice"):
        register_cta(cta.cta, case.ncct)

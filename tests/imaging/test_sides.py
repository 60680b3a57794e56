"""An annotation on the other side than the cohort table says is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import check_side
from lvo_kedro.imaging.geometry import make_image

ORIENTATIONS = [
    np.column_stack([axes, signs])
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
AFFINE = np.array([[4.0, 0, 0, -70], [0, 4, 0, -90], [0, 0, 5, -40], [0, 0, 0, 1]])


def head(clot_x: float):
    """A brain as a box around world x = 5, and a clot of one voxel; RAS+."""
    brain = np.zeros((36, 45, 20), dtype=np.uint8)
    brain[2:35, 3:42, 2:18] = 1
    centre = 4.0 * 18 - 70
    clot = np.zeros_like(brain)
    clot[round((centre + clot_x + 70) / 4), 20, 8] = 2
    return make_image(clot, AFFINE), make_image(brain, AFFINE)


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_sides_are_the_patients_in_any_orientation(orientation):
    clot, brain = (image.as_reoriented(orientation) for image in head(clot_x=24))
    check_side(clot, brain, "right")
    with pytest.raises(ScanError) as caught:
        check_side(clot, brain, "left")
    assert "24 mm to the patient's right of the brain's centre" in caught.value.found
    assert "the patient's left" in caught.value.expected


@pytest.mark.parametrize(
    ("clot_x", "side", "refused"), [(-8, "right", False), (-12, "right", True)]
)
def test_near_the_middle_the_table_is_believed(clot_x, side, refused):
    clot, brain = head(clot_x)
    if refused:
        with pytest.raises(ScanError):
            check_side(clot, brain, side)
    else:
        check_side(clot, brain, side)

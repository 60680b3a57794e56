"""Contrast medium against all else that is bright, in simulated heads."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import QualityLimits, describe_scan, extract_brain, refuse_scan
from lvo_kedro.imaging.geometry import grid_of, make_image, to_ras, world_axis
from lvo_kedro.simulation import SimulationOptions, simulate_case
from tests.lengths import one_of

NAMED = "a contrast agent is named in the header, but its vessels are not bright"


def simulated(blood_hu: float = 40.0, **fields: Any) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """Return a scan whose arteries have the given density, and the simulator's brain mask."""
    options = {"spacing_mm": 1.5, "slice_thickness_mm": (2.0,), "lvo": False, "calcification": 1.0}
    case = simulate_case(
        3, SimulationOptions(**options | {"blood_hu": (blood_hu, blood_hu)} | fields)
    )
    return to_ras(case.ncct), to_ras(case.brain_mask)


def described(ncct: nib.Nifti1Image, named: bool = False) -> dict[str, Any]:
    return describe_scan(ncct, extract_brain(ncct), contrast_named=named)


@pytest.fixture(scope="module")
def plain() -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    return simulated()


@pytest.fixture(scope="module")
def angiography() -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    return simulated(300.0)


def with_blobs(
    pair: tuple[nib.Nifti1Image, nib.Nifti1Image], blobs: dict[tuple, tuple[tuple, float]]
) -> nib.Nifti1Image:
    """Add ellipsoids (mm from the brain's centre: radii, HU) on both sides."""
    ncct, mask = pair
    centre = apply_affine(mask.affine, np.argwhere(np.asarray(mask.dataobj) > 0).mean(axis=0))
    x, y, z = (world_axis(grid_of(ncct), a) - np.float32(centre[a]) for a in range(3))
    data = np.array(ncct.dataobj)
    for (a, b, c), (radii, hu) in blobs.items():
        for side in (-1, 1):
            parts = ((x - side * a) / radii[0], (y - b) / radii[1], (z - c) / radii[2])
            data[sum(part**2 for part in parts) < 1] = hu
    return make_image(data, ncct.affine)


def test_arteries_with_contrast_are_refused(angiography: tuple) -> None:
    numbers = described(angiography[0])
    assert numbers["bright_vessels_mm"] > 80
    assert any("contrast medium suspected" in words for words in numbers["findings"])
    with pytest.raises(ScanError, match="contrast medium in the vessels: ") as caught:
        refuse_scan(numbers, QualityLimits())
    assert "non-contrast" in caught.value.expected
    refuse_scan(numbers, QualityLimits(refused_bright_vessels_mm=1000.0))


def test_a_mask_of_the_user_serves_as_well(angiography: tuple, plain: tuple) -> None:
    assert describe_scan(*angiography)["bright_vessels_mm"] > 80
    assert describe_scan(*plain)["bright_vessels_mm"] == 0


@pytest.mark.parametrize(
    "blobs",
    one_of(
        2,
        [
            # pineal gland, plexus
            {(1, -15, -4): ((4, 5, 4), 400), (22, -26, 4): ((5, 9, 5), 300)},
            {(18, 12, -2): ((5, 8, 4), 250)},  # basal ganglia
            {(0, 40, 40): ((1.5, 14, 10), 600), (0, -10, 55): ((1.5, 10, 6), 400)},  # falx
            {(28, 18, -14): ((5, 5, 5), 2500)},  # clips or coils
            {(30, 0, 8): ((26, 34, 26), 88)},  # dense bleeding
        ],
    ),
)
def test_calcium_metal_and_blood_are_no_contrast(plain: tuple, blobs: dict) -> None:
    numbers = described(with_blobs(plain, blobs))
    assert numbers["bright_vessels_mm"] <= QualityLimits().max_bright_vessels_mm


def test_a_named_agent_alone_is_a_finding(plain: tuple) -> None:
    numbers = described(plain[0], named=True)
    assert NAMED in numbers["findings"]
    refuse_scan(numbers, QualityLimits())


def test_weak_contrast_is_refused_where_the_header_names_an_agent() -> None:
    ncct, mask = simulated(170.0)
    suspected = describe_scan(ncct, mask)
    limits = QualityLimits(refused_bright_vessels_mm=1000.0)
    assert suspected["bright_vessels_mm"] > limits.max_bright_vessels_mm
    refuse_scan(suspected, limits)
    with pytest.raises(ScanError, match="contrast medium"):
        refuse_scan(suspected | {"contrast_named": True}, limits)

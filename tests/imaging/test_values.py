"""Values that are no Hounsfield units are refused; those of any head CT are not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import ScanLimits, read_ncct, read_scan
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image, world_axis
from lvo_kedro.imaging.rules import check
from lvo_kedro.imaging.value_rules import VALUE_RULES
from lvo_kedro.simulation import SimulationOptions, simulate_case
from tests.imaging.phantoms import Series, ellipsoid, head_grid, phantom_head
from tests.lengths import one_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Change = "Callable[[NDArray], NDArray]"


def check_values(image: nib.Nifti1Image) -> None:
    check(image, VALUE_RULES, ScanLimits())


def circle(image: nib.Nifti1Image) -> NDArray[np.bool_]:
    """Where a scanner reconstructs; what lies outside is padding."""
    x, y, _ = (world_axis(grid_of(image), axis) for axis in range(3))
    return np.broadcast_to(np.hypot(x, y) < 108, image.shape)


def simulated(seed: int = 3, **options: object) -> nib.Nifti1Image:
    defaults = {"spacing_mm": 2.0, "slice_thickness_mm": (3.0,)}
    case = simulate_case(seed, SimulationOptions(**defaults | options))
    return make_image(case.ncct.get_fdata(dtype=np.float32), case.ncct.affine)


@pytest.fixture(scope="module")
def scans(head: nib.Nifti1Image) -> dict[str, nib.Nifti1Image]:
    return {"phantom": head, "simulated": simulated()}


LOST = r"without the rescale intercept|shifted by about \+(990|10[0-3]0): .* is missing"
WRONG: dict[str, tuple[Change, str]] = {
    "intercept lost": (lambda v: v + 1024, LOST),
    "+1000": (lambda v: v + 1000, LOST),
    "intercept twice": (lambda v: v - 1024, r"subtracted twice"),
    "half": (lambda v: v * 0.5, r"air near -\d+ HU \(scaled|values from -5"),
    "double": (lambda v: v * 2, r"air near -\d+ HU \(scaled"),
    "half as much again": (lambda v: v * 1.5, r"air near -\d+ HU \(scaled"),
    "ten times": (lambda v: v * 10, r"soft tissue|above 10000"),
    "a tenth": (lambda v: v / 10, "values from"),
    "0 to 1": (lambda v: (v - v.min()) / np.ptp(v), "scaled to 0-1"),
    "8 bits": (lambda v: np.round((v - v.min()) / np.ptp(v) * 255), "8 bits"),
    "inverted": (lambda v: -v, "with bone|air near|soft tissue"),
    "window of brain": (lambda v: np.clip(v, 0, 80), "values from 0 to 80"),
    "window without air": (lambda v: np.clip(v, -400, 1000), "air near -[34]..? HU"),
    "window without dense bone": (lambda v: np.clip(v, -1024, 400), "bone that ends at 400 HU"),
}


@pytest.mark.parametrize("padding", [None, -2000.0, -1024.0, -3024.0])
@pytest.mark.parametrize("scan", ["phantom", "simulated"])
@pytest.mark.parametrize("name", WRONG)
def test_values_that_are_no_hounsfield_units(
    scans: dict[str, nib.Nifti1Image], scan: str, name: str, padding: float | None
) -> None:
    change, words = WRONG[name]
    values = change(scans[scan].get_fdata(dtype=np.float32))
    if padding is not None:
        values = np.where(circle(scans[scan]), values, np.float32(padding))
    with pytest.raises(ScanError, match=words if padding is None else "found") as caught:
        check_values(make_image(values, scans[scan].affine))
    assert "NIfTI" not in caught.value.remedy
    assert "DICOM" not in caught.value.remedy


RIGHT: dict[str, dict] = {
    "thin, bone kernel, noise": {
        "slice_thickness_mm": (1.25,),
        "kernel": (-0.9, -0.9),
        "noise_hu": (15.0, 15.0),
    },
    "5 mm, soft kernel": {"slice_thickness_mm": (5.0,), "kernel": (0.8, 0.8)},
    "turned": {"rotation_deg": 25.0, "pitch_deg": 25.0},
    "tilted gantry": {"gantry_tilt_deg": 22.0},
    "base cut": {"cut_base_mm": 80.0},
    "vertex cut": {"cut_vertex_mm": 80.0},
    "craniectomy": {"craniectomy": True},
    "haemorrhage": {"haemorrhage_ml": 100.0, "midline_shift_mm": 10.0},
    "atrophy": {"atrophy": (1.0, 1.0)},
    "realistic": {"difficulty": "realistic"},
}


def masked(image: nib.Nifti1Image, value: float) -> nib.Nifti1Image:
    """Set what lies outside of the head to ``value``, as anonymisers do."""
    data = image.get_fdata(dtype=np.float32)
    around = ndimage.label(np.pad(data < -300, 1, constant_values=True))[0][1:-1, 1:-1, 1:-1] == 1
    return make_image(np.where(around, np.float32(value), data), image.affine)


@pytest.mark.parametrize("name", one_of(3, RIGHT))
def test_simulated_heads_are_accepted(name: str) -> None:
    image = simulated(**RIGHT[name])
    check_values(image)
    for value in (-1024.0, -2000.0, -3024.0):
        check_values(masked(image, value))


def with_contrast_and_metal(image: nib.Nifti1Image) -> nib.Nifti1Image:
    data = image.get_fdata(dtype=np.float32).copy()
    points = [world_axis(grid_of(image), axis) for axis in range(3)]
    x, y, z = points
    data[(np.hypot(x - 20, z + 10) < 4) & (abs(y) < 55)] = 350.0
    data[ellipsoid(points, (0, 80, -55), (12, 8, 8))] = 8000.0
    return make_image(data, image.affine)


PHANTOMS: dict[str, Callable[[], nib.Nifti1Image]] = {
    "no noise": lambda: phantom(head_grid(), noise=0.0),
    "much noise": lambda: phantom(head_grid((1.0, 1.0, 1.0)), noise=60.0),
    "skull base alone": lambda: phantom(head_grid(z=(-75, -20))),
    "vertex alone": lambda: phantom(head_grid(z=(20, 90))),
    "huge field of view": lambda: phantom(
        Grid((166, 166, 55), nib.affines.from_matvec(np.diag([3.0] * 3), [-250, -250, -75]))
    ),
    "contrast and metal": lambda: with_contrast_and_metal(phantom(head_grid())),
}


def phantom(grid: Grid, **options: float) -> nib.Nifti1Image:
    return make_image(phantom_head(grid, **options)[0], grid.affine)


@pytest.mark.parametrize("name", PHANTOMS)
def test_phantoms_are_accepted(name: str) -> None:
    image = PHANTOMS[name]()
    check_values(image)
    padded = np.where(circle(image), image.get_fdata(dtype=np.float32), np.float32(-2000))
    check_values(make_image(padded, image.affine))


def test_dicom_whose_intercept_was_lost(series: Series) -> None:
    series.changes = {"RescaleIntercept": "0", "PixelRepresentation": 1, "BitsStored": 16}
    outside = ~circle(make_image(series.hu, series.affine))
    series.hu = np.where(outside, -2000 - 1024, series.hu)
    with pytest.raises(ScanError, match="rescale intercept is missing"):
        read_ncct(series.write())


def test_padding_that_is_stored_unsigned_is_air(head: nib.Nifti1Image, tmp_path: Path) -> None:
    stored = (head.get_fdata() + 1024).astype(np.uint16)
    stored[~circle(head)] = 63536
    image = nib.Nifti1Image(stored, head.affine)
    image.header.set_slope_inter(1, -1024)
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz").ncct
    expected = np.where(circle(head), head.get_fdata(), -1024)
    assert np.array_equal(scan.get_fdata(), expected)


def test_the_rules_take_little_time() -> None:
    coarse = phantom(head_grid())
    data = np.zeros((496, 441, 110), np.float32)
    data[:] = np.repeat(np.repeat(np.repeat(coarse.get_fdata(), 4, 0), 3, 1), 2, 2)
    image = make_image(data, coarse.affine @ np.diag([1 / 4, 1 / 3, 1 / 2, 1]))
    start = time.process_time()
    check_values(image)
    assert time.process_time() - start < 0.5


@pytest.mark.shared
def test_shared_samples(shared: Path) -> None:
    lost = shared / "data" / "faults" / "02_intercept_lost_padding_kept" / "dicom"
    with pytest.raises(ScanError, match="rescale intercept is missing"):
        read_ncct(lost)
    real = nib.load(shared / "data" / "ncct_ge_hispeed_1x1x3.nii.gz")
    image = make_image(real.get_fdata(dtype=np.float32), real.affine)
    check_values(image)
    check_values(masked(image, -2000.0))
    for change, _ in WRONG.values():
        with pytest.raises(ScanError):
            check_values(make_image(change(image.get_fdata(dtype=np.float32)), image.affine))

"""A real scan with a tilted gantry and slice steps of 1.08, 4 and 7 mm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pydicom
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging import describe_scan, extract_brain, read_ncct
from lvo_kedro.imaging.geometry import grid_of, is_sheared
from lvo_kedro.imaging.resampling import resample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def scan(shared: Path) -> nib.Nifti1Image:
    return read_ncct(shared / "data" / "ncct_ge_hispeed_dicom")


@pytest.fixture(scope="module")
def brain(scan: nib.Nifti1Image) -> nib.Nifti1Image:
    return extract_brain(scan)


def test_the_volume_is_straight_and_even(scan: nib.Nifti1Image) -> None:
    assert nib.aff2axcodes(scan.affine) == ("R", "A", "S")
    assert not is_sheared(scan.affine)
    assert grid_of(scan).spacing == pytest.approx((0.488, 0.488, 4.0), abs=0.01)
    assert scan.get_data_dtype() == np.float32
    assert scan.get_fdata().min() == -1024


def test_every_slice_lies_where_its_header_says(scan: nib.Nifti1Image, shared: Path) -> None:
    data = np.clip(scan.get_fdata(dtype=np.float32), -100, 200)
    to_index = np.linalg.inv(scan.affine)
    for path in sorted((shared / "data" / "ncct_ge_hispeed_dicom").glob("*.dcm")):
        header = pydicom.dcmread(path)
        rows, columns = np.mgrid[60:450:5, 60:450:5]
        origin = np.array(header.ImagePositionPatient, dtype=float)
        along, down = np.reshape(np.array(header.ImageOrientationPatient, dtype=float), (2, 3))
        step = float(header.PixelSpacing[0])
        world = origin + step * (columns[..., None] * along + rows[..., None] * down)
        index = apply_affine(to_index, world * [-1, -1, 1])
        here = np.clip(header.pixel_array[rows, columns], -100, 200)
        error = []
        for shift in (-3.0, 0.0, 3.0):  # mm along the rows' direction
            moved = index + np.array([0, shift / step, 0])
            value = ndimage.map_coordinates(data, np.moveaxis(moved, -1, 0), order=1)
            error.append(float(np.abs(value - here).mean()))
        assert error[1] < 12
        assert error[1] == min(error)
        if abs(index[0, 0, 2] - round(index[0, 0, 2])) < 0.02:
            assert error[1] < 2


def test_it_agrees_with_an_independent_conversion(scan: nib.Nifti1Image, shared: Path) -> None:
    other = read_ncct(shared / "data" / "ncct_ge_hispeed_1x1x3.nii.gz")
    here = resample(scan, grid_of(other), fill=-1024)
    values = [np.clip(image.get_fdata()[::2, ::2], -200, 200).ravel() for image in (here, other)]
    assert np.corrcoef(*values)[0, 1] > 0.99


def test_the_brain_is_one_component_without_skull(
    scan: nib.Nifti1Image, brain: nib.Nifti1Image
) -> None:
    mask = np.asarray(brain.dataobj)
    hu = scan.get_fdata(dtype=np.float32)
    assert ndimage.label(mask)[1] == 1
    assert 900 < mask.sum() * grid_of(brain).voxel_volume_ml < 1700
    assert (hu[mask > 0] > 200).mean() < 0.01
    assert (hu[mask > 0] < -30).mean() < 0.003


def test_both_conversions_have_the_same_brain(brain: nib.Nifti1Image, shared: Path) -> None:
    other = read_ncct(shared / "data" / "ncct_ge_hispeed_1x1x3.nii.gz")
    mask = extract_brain(other)
    here = np.asarray(resample(brain, grid_of(other), order=0).dataobj) > 0
    there = np.asarray(mask.dataobj) > 0
    assert 2 * (here & there).sum() / (here.sum() + there.sum()) > 0.97


def test_findings(scan: nib.Nifti1Image, brain: nib.Nifti1Image) -> None:
    description = describe_scan(scan, brain)
    assert description["findings"] == ["thick slices: 4.0 mm (limit 3.0)"]
    assert 25 < description["brain_median_hu"] < 40

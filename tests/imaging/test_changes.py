"""Controlled changes do what they say, on straight, flipped and anisotropic grids."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import ScanChange, change_mask, change_scan
from lvo_kedro.imaging.changes import thicken_slices, turn_head
from lvo_kedro.imaging.geometry import make_image


def head(axes: str = "RAS", slice_mm: float = 2.0) -> nib.Nifti1Image:
    """A box of 30 HU in air, with a dense spot on the patient's right and in front."""
    data = np.full((40, 44, 30), -1000, dtype=np.int16)
    data[8:32, 8:36, 6:24] = 30
    data[28:31, 30:34, 12:16] = 60
    affine = np.diag([2.0, 2.0, slice_mm, 1.0])
    affine[:3, 3] = [-39, -43, -29]
    image = make_image(data, affine)
    codes = nib.orientations.axcodes2ornt(axes)
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), codes))


def spot(image: nib.Nifti1Image, above: float = 45) -> np.ndarray:
    """World position (mm) of what is denser than the box."""
    return apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) > above).mean(axis=0))


@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPI"])
def test_noise_and_offset_change_densities_and_nothing_else(axes: str) -> None:
    scan = head(axes)
    noisy = change_scan(scan, ScanChange(kind="noise", amount=10), seed=3)
    again = change_scan(scan, ScanChange(kind="noise", amount=10), seed=3)
    assert np.array_equal(noisy.dataobj, again.dataobj)
    raised = change_scan(scan, ScanChange(kind="offset", amount=-5))
    straight = np.asarray(nib.as_closest_canonical(scan).dataobj)
    grain = np.asarray(noisy.dataobj) - straight
    assert grain.std() == pytest.approx(10, rel=0.05)
    assert abs(grain.mean()) < 0.2
    assert set(np.unique(np.asarray(raised.dataobj) - straight)) == {-5}
    assert nib.aff2axcodes(noisy.affine) == ("R", "A", "S")
    assert noisy.get_data_dtype() == np.int16


@pytest.mark.parametrize(("slice_mm", "thick"), [(2.0, 5.0), (1.0, 5.0), (2.0, 2.0)])
def test_thick_slices_keep_mass_and_place(slice_mm: float, thick: float) -> None:
    scan = head(slice_mm=slice_mm)
    coarse = thicken_slices(scan, thick)
    assert coarse.header.get_zooms()[2] == pytest.approx(thick)
    assert coarse.shape[2] == int(np.ceil(30 * slice_mm / thick))
    fine = np.asarray(scan.dataobj, dtype=float)[20, 20]
    lower_face = (scan.affine[2, 3] - slice_mm / 2, coarse.affine[2, 3] - thick / 2)
    assert lower_face[0] == pytest.approx(lower_face[1])
    whole = int(30 * slice_mm // thick)  # slices that are filled
    average = np.asarray(coarse.dataobj)[20, 20, :whole].mean()
    share = fine.repeat(100)[: round(whole * thick / slice_mm * 100)].mean()
    assert average == pytest.approx(share, rel=1e-3)


def test_slices_that_are_thicker_already_are_refused() -> None:
    with pytest.raises(ScanError, match=r"6\.00 mm apart.*thicker slices"):
        change_scan(head(slice_mm=6.0), ScanChange(kind="slices", amount=5))


def test_thickening_a_thin_clot_dims_it() -> None:
    thin, thick = head(slice_mm=1.0), ScanChange(kind="slices", amount=10)
    assert np.asarray(change_scan(thin, thick).dataobj).max() < np.asarray(thin.dataobj).max()


@pytest.mark.parametrize("axes", ["RAS", "LAS"])
@pytest.mark.parametrize(("kind", "plane"), [("tilt", (1, 2)), ("roll", (2, 0))])
def test_turning_moves_the_head_by_the_angle_and_no_side_is_swapped(
    axes: str, kind: str, plane: tuple[int, int]
) -> None:
    scan, change = head(axes), ScanChange(kind=kind, amount=15)
    turned = change_scan(scan, change)
    centre = apply_affine(turned.affine, (np.array(turned.shape) - 1) / 2)
    before, after = spot(scan) - centre, spot(turned) - centre
    angles = [np.rad2deg(np.arctan2(v[plane[1]], v[plane[0]])) for v in (before, after)]
    assert angles[1] - angles[0] == pytest.approx(15, abs=1.5)
    assert after[0] > 10  # still on the patient's right
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), abs=1)


def test_a_full_turn_changes_nothing() -> None:
    scan = head()
    turned = turn_head(scan, 360, "x", -1024)
    assert np.allclose(turned.dataobj, scan.dataobj, atol=1e-2)


@pytest.mark.parametrize("kind", ["noise", "slices", "tilt", "offset"])
def test_a_mask_goes_along_with_its_scan(kind: str) -> None:
    scan = head("LAS", slice_mm=2.5)
    mask = make_image(np.asarray(scan.dataobj) > 0, scan.affine)
    change = ScanChange(kind=kind, amount=5)
    moved, along = change_scan(scan, change), change_mask(mask, change)
    assert along.shape == moved.shape
    assert np.allclose(along.affine, moved.affine)
    inside = np.asarray(moved.dataobj) > -485  # half-way between air and box
    agree = (
        2
        * (inside & (np.asarray(along.dataobj) > 0)).sum()
        / (inside.sum() + along.get_fdata().sum())
    )
    assert agree > 0.98


def test_names_can_name_a_case() -> None:
    assert ScanChange(kind="offset", amount=-5).name == "offset_-5"
    assert ScanChange(kind="noise", amount=7.5).name == "noise_7.5"

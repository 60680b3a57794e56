"""Scans that go on to neck and chest are cut to the head before they are read in full."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from lvo_kedro.imaging import extract_brain, read_labels, read_scan
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image, world_axis
from lvo_kedro.imaging.resampling import resample
from tests.imaging.phantoms import (
    Series,
    dicom_layout,
    ellipsoid,
    head_grid,
    marker_position,
    phantom_head,
)

if TYPE_CHECKING:
    from pathlib import Path

MARKER = (-35, 45, 10)


def body_grid(spacing: tuple[float, float, float] = (4.0, 4.0, 4.0), low: float = -560.0) -> Grid:
    shape = (round(480 / spacing[0]), round(400 / spacing[1]), round((110 - low) / spacing[2]))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-240.0, -220.0, low]
    return Grid(shape, affine)


def phantom_body(grid: Grid, arms: bool = False) -> np.ndarray:
    """The head, its neck, shoulders and chest with lungs, ribs and spine; raised arms on demand."""
    points = [world_axis(grid, axis) for axis in range(3)]
    x, y, z = points
    hu = phantom_head(grid)[0]
    plane = [x, y, 0 * z]
    neck = ellipsoid(plane, (0, -15, 0), (55, 60, 1)) & (z < -130) & (z > -230)
    chest = ellipsoid(plane, (0, -20, 0), (190, 120, 1)) & (z < -260)
    shoulders = ellipsoid(points, (0, -20, -270), (200, 90, 60))
    hu[(neck | chest | shoulders) & (hu < -500)] = 45.0
    shell = ellipsoid(plane, (0, -20, 0), (165, 105, 1)) & (z < -280)
    ribs = shell & ~ellipsoid(plane, (0, -20, 0), (158, 98, 1)) & (np.mod(z, 25) < 10)
    hu[ribs] = 600.0
    for side in (-1, 1):
        hu[ellipsoid(plane, (80 * side, -20, 0), (65, 80, 1)) & (z < -290)] = -850.0
        if arms:  # beside the head, the hands above it
            arm = ellipsoid(plane, (130 * side, -20, 0), (32, 32, 1)) & (z > -280)
            hu[arm] = 50.0
            hu[ellipsoid(plane, (130 * side, -20, 0), (12, 12, 1)) & (z > -280)] = 900.0
    hu[ellipsoid(plane, (0, -85, 0), (18, 18, 1)) & (z < -90)] = 500.0
    hu[ellipsoid(plane, (0, -85, 0), (8, 8, 1)) & (z < -90)] = 30.0
    return hu


@pytest.fixture(scope="module")
def body() -> nib.Nifti1Image:
    grid = body_grid()
    return make_image(phantom_body(grid).astype(np.int16), grid.affine)


def dice(one: nib.Nifti1Image, other: nib.Nifti1Image) -> float:
    there = np.asarray(resample(other, grid_of(one), order=0).dataobj) > 0
    here = np.asarray(one.dataobj) > 0
    return 2 * float((here & there).sum()) / float(here.sum() + there.sum())


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "LPI", "PIR", "SPL"])
def test_what_lies_below_the_head_is_cut_off(
    body: nib.Nifti1Image, tmp_path: Path, codes: str, name: str
) -> None:
    start = nib.orientations.io_orientation(body.affine)
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(tuple(codes)))
    nib.save(body.as_reoriented(turn), tmp_path / name)
    scan = read_scan(tmp_path / name)
    (finding,) = scan.findings
    assert finding.startswith("the scan goes on 3")
    assert finding.endswith("mm below the head: cut off")
    x, y, z = np.array(scan.ncct.shape) * grid_of(scan.ncct).spacing
    assert 260 <= z <= 330
    assert 200 <= x <= 280
    assert 220 <= y <= 320
    assert marker_position(scan.ncct) == pytest.approx(MARKER, abs=1)
    # not a value moves
    expected = resample(body, grid_of(scan.ncct), order=0)
    assert np.array_equal(scan.ncct.get_fdata(), np.maximum(expected.get_fdata(), -1024))


def test_the_brain_is_that_of_the_head_alone(body: nib.Nifti1Image, tmp_path: Path) -> None:
    nib.save(body, tmp_path / "scan.nii")
    grid = head_grid((4.0, 4.0, 4.0))
    alone = extract_brain(make_image(phantom_head(grid)[0], grid.affine))
    assert dice(alone, extract_brain(read_scan(tmp_path / "scan.nii").ncct)) > 0.97


def test_arms_above_the_head_are_cut_off_as_well(tmp_path: Path) -> None:
    lower = body_grid()
    grid = Grid((*lower.shape[:2], lower.shape[2] + 45), lower.affine)  # 180 mm above the vertex
    nib.save(make_image(phantom_body(grid, arms=True), grid.affine), tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    assert "mm below and 1" in scan.findings[0] and "above the head: cut off" in scan.findings[0]
    assert marker_position(scan.ncct) == pytest.approx(MARKER, abs=1)
    low, high = (scan.ncct.affine @ [0, 0, k, 1] for k in (0, scan.ncct.shape[2] - 1))
    assert low[2] < -150 and 80 < high[2] < 140


@pytest.mark.long
def test_an_oblique_and_a_sheared_scan(tmp_path: Path) -> None:
    angle = np.radians(15)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(10))
    for matrix in (turn, shear):
        grid = Grid(body_grid().shape, matrix @ body_grid().affine)
        nib.save(make_image(phantom_body(grid), grid.affine), tmp_path / "scan.nii")
        scan = read_scan(tmp_path / "scan.nii")
        assert "below the head: cut off" in scan.findings[0]
        assert marker_position(scan.ncct) == pytest.approx(MARKER, abs=1.5)
        assert 1450 < extract_brain(scan.ncct).get_fdata().sum() * 0.064 < 1700


def test_a_head_and_its_neck_stay_whole(head: nib.Nifti1Image, tmp_path: Path) -> None:
    grid = body_grid((3.0, 3.0, 3.0), low=-180.0)
    nib.save(make_image(phantom_body(grid), grid.affine), tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii")
    assert scan.findings == ()
    assert scan.ncct.shape == grid.shape


def test_padding_around_the_chest(body: nib.Nifti1Image, tmp_path: Path) -> None:
    x, y, _ = (world_axis(grid_of(body), axis) for axis in range(3))
    outside = np.broadcast_to(np.hypot(x, y + 20) > 200, body.shape)
    for padding in (-2000, 30000):
        padded = np.where(outside, padding, np.asarray(body.dataobj)).astype(np.int16)
        nib.save(make_image(padded, body.affine), tmp_path / "scan.nii")
        scan = read_scan(tmp_path / "scan.nii")
        assert scan.ncct.shape[2] < 85
        assert scan.ncct.get_fdata().max() < 1100


def test_labels_of_the_whole_scan_arrive(body: nib.Nifti1Image, tmp_path: Path) -> None:
    points = [world_axis(grid_of(body), axis) for axis in range(3)]
    labels = ellipsoid(points, MARKER, (15, 15, 15)).astype(np.uint8)
    nib.save(make_image(labels, body.affine), tmp_path / "labels.nii.gz")
    nib.save(body, tmp_path / "scan.nii")
    ncct = read_scan(tmp_path / "scan.nii").ncct
    arrived = read_labels(tmp_path / "labels.nii.gz", ncct, allowed=(1,))
    assert np.asarray(arrived.dataobj).sum() == labels.sum()


def test_a_dicom_series_of_head_and_chest(tmp_path: Path) -> None:
    grid = dicom_layout(body_grid((5.0, 5.0, 6.0), low=-550.0))
    series = Series(tmp_path / "dicom", phantom_body(grid), grid.affine)
    scan = read_scan(series.write())
    assert any("below the head: cut off" in finding for finding in scan.findings), scan
    assert scan.ncct.shape[2] * 6 < 330


@pytest.mark.long
def test_only_the_head_is_held_as_floats(body: nib.Nifti1Image, tmp_path: Path) -> None:
    coarse = np.asarray(body.dataobj)
    fine = np.repeat(np.repeat(np.repeat(coarse, 3, 0), 3, 1), 3, 2)
    affine = body.affine @ np.diag([1 / 3, 1 / 3, 1 / 3, 1])
    nib.save(nib.Nifti1Image(fine, affine), tmp_path / "scan.nii")
    tracemalloc.start()
    read_scan(tmp_path / "scan.nii")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * fine.size

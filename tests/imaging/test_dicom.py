"""DICOM series: what is put right, what is refused, and that no name leaves the file."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless, generate_uid

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import ScanLimits, read_ncct, read_scan
from lvo_kedro.imaging.geometry import Grid, is_sheared, world_axis
from lvo_kedro.imaging.headers import Slice
from tests.imaging.phantoms import (
    PATIENT_ID,
    PATIENT_NAME,
    Series,
    dicom_layout,
    head_grid,
    marker_position,
    phantom_head,
)

if TYPE_CHECKING:
    pass

MARKER = (-35, 45, 10)


def turned(grid: Grid, degrees: float, axis: int) -> Grid:
    angle = np.radians(degrees)
    a, b = [i for i in range(3) if i != axis]
    turn = np.eye(4)
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    return Grid(grid.shape, turn @ grid.affine)


def test_a_plain_series_keeps_every_value(series: Series) -> None:
    scan = read_ncct(series.write())
    assert scan.get_data_dtype() == np.float32
    assert np.array_equal(scan.get_fdata(), series.hu[::-1, ::-1])
    assert np.allclose(scan.affine, head_grid((3.0, 3.0, 4.0)).affine, atol=1e-4)


def test_files_without_ending_in_subfolders_beside_other_files(series: Series) -> None:
    series.suffix = ""
    folder = series.write()
    inner = folder / "inner"
    inner.mkdir()
    for path in sorted(p for p in folder.iterdir() if p.is_file())[::2]:
        shutil.move(path, inner / path.name)
    (folder / "LICENSE").write_text("words")
    (folder / "empty").touch()
    assert np.array_equal(read_ncct(folder).get_fdata(), series.hu[::-1, ::-1])


def test_slices_from_head_to_foot(series: Series) -> None:
    expected = series.hu[::-1, ::-1].copy()
    series.affine[:3, 3] += series.affine[:3, 2] * (series.hu.shape[2] - 1)
    series.affine[:3, 2] *= -1
    series.hu = series.hu[..., ::-1]
    assert np.array_equal(read_ncct(series.write()).get_fdata(), expected)


@pytest.mark.parametrize("degrees", [18.5, -12.0])
def test_gantry_tilt_is_straightened(series: Series, degrees: float) -> None:
    grid = turned(dicom_layout(head_grid((3.0, 3.0, 4.0), z=(-90, 110))), degrees, 0)
    affine = grid.affine.copy()
    # the table moves along the patient, not along the slices' normal
    affine[:3, 2] = [0, 0, 4.0 / np.cos(np.radians(degrees))]
    affine[1, 3] += np.tan(np.radians(degrees)) * 10
    series.hu, series.affine = phantom_head(Grid(grid.shape, affine))[0], affine
    # the writer takes the slice step, the header's thickness is what it is
    scan = read_ncct(series.write())
    assert not is_sheared(scan.affine)
    assert marker_position(scan) == pytest.approx(MARKER, abs=0.7)


def test_an_oblique_series_stays_in_place(series: Series) -> None:
    grid = turned(turned(dicom_layout(head_grid((3.0, 3.0, 4.0))), 15, 0), 20, 2)
    series.hu, series.affine = phantom_head(grid)[0], grid.affine
    scan = read_ncct(series.write())
    assert marker_position(scan) == pytest.approx(MARKER, abs=0.7)
    assert np.isin(scan.get_fdata(), series.hu).all()


@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_uneven_steps_are_made_even(series: Series, tilt: float) -> None:
    steps = np.array([4.0] * 16 + [1.1] + [7.0] * 13)
    heights = -75 + np.concatenate([[0], np.cumsum(steps)])
    planes = []
    for height in heights:
        plane = head_grid((3.0, 3.0, 4.0)).affine.copy()
        plane[:3, 3] += [0, tilt * height, 0]
        plane[2, 3] = height
        planes.append(dicom_layout(Grid((62, 73, 1), plane)))
    series.hu = np.concatenate([phantom_head(plane)[0] for plane in planes], axis=2)
    series.affine = planes[0].affine
    series.positions = np.array([plane.affine[:3, 3] for plane in planes])
    scan = read_ncct(series.write())
    assert not is_sheared(scan.affine)
    assert scan.header.get_zooms()[2] == pytest.approx(4.0, abs=0.1)
    top = scan.shape[2] - 1
    assert world_axis(Grid(scan.shape, scan.affine), 2)[0, 0, top] == pytest.approx(heights[-1])
    assert marker_position(scan) == pytest.approx(MARKER, abs=1.0)


def test_a_scout_and_copies_beside_the_series_are_left_out(series: Series) -> None:
    folder = series.write()
    scout = replace(
        series, hu=series.hu[..., :1], uid=generate_uid(), number=1, kinds=("ORIGINAL", "LOCALIZER")
    )
    scout.write()
    report = replace(series, hu=series.hu[..., :1], uid=generate_uid(), number=9, modality="SR")
    report.write()
    first = sorted(folder.iterdir())[-1]
    shutil.copy(first, folder / "copy.dcm")
    assert np.array_equal(read_ncct(folder).get_fdata(), series.hu[::-1, ::-1])


def test_compressed_pixels(series: Series) -> None:
    folder = series.write()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    assert np.array_equal(read_ncct(folder).get_fdata(), series.hu[::-1, ::-1])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match="truncated DICOM file"):
        read_ncct(folder)


Change = "Callable[[int, pydicom.Dataset], None]"


def drop(name: str, at: int = 5) -> Change:
    return lambda k, d: delattr(d, name) if k == at else None


def assign(name: str, value: object, at: int = 5) -> Change:
    return lambda k, d: setattr(d, name, value) if k == at else None


def move_slice(k: int, dataset: pydicom.Dataset) -> None:
    if k == 20:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y + 30, z]


def same_place(k: int, dataset: pydicom.Dataset) -> None:
    if k == 20:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z - 4]


REFUSED: dict[str, tuple[Change, str]] = {
    "no slope": (drop("RescaleSlope"), "no RescaleSlope in 1 of 41 slices"),
    "no intercept": (drop("RescaleIntercept"), "no RescaleIntercept"),
    "no position": (drop("ImagePositionPatient"), "no ImagePositionPatient"),
    "slope of 0": (assign("RescaleSlope", 0), "a RescaleSlope of 0 in 1 of 41 slices"),
    "rescale differs": (assign("RescaleSlope", 2), "by 1 x [+] -1024 and 2 x [+] -1024"),
    "8 bits": (lambda _, d: setattr(d, "BitsStored", 8), "8 bits per pixel"),
    "spacing differs": (assign("PixelSpacing", [1.0, 1.0]), "slices of 73 x 62 at 1.0 x 1.0 mm"),
    "orientation differs": (
        assign("ImageOrientationPatient", [1, 0, 0, 0, 0.984808, 0.173648]),
        "turned by up to 10.0 degrees",
    ),
    "multi-frame": (assign("NumberOfFrames", 3), r"multi-frame file \(3 frames\)"),
    "same place": (same_place, "1 pairs of slices at one position"),
    "off the line": (move_slice, "30.0 mm off a straight line"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(series: Series, name: str) -> None:
    change, words = REFUSED[name]
    with pytest.raises(ScanError, match=words) as caught:
        read_ncct(series.write(change))
    assert caught.value.remedy


def test_missing_slices(series: Series) -> None:
    folder = series.write()
    (folder / "s3_010.dcm").unlink()
    with pytest.raises(ScanError, match=r"a gap of 8.0 mm between slices 19 and 20 of 40"):
        read_ncct(folder)


def test_a_gap_may_be_allowed(series: Series) -> None:
    folder = series.write()
    (folder / "s3_010.dcm").unlink()
    scan = read_scan(folder, ScanLimits(allow_gaps=True))
    assert scan.findings[-1].startswith("interpolated over a gap of 8.0 mm between slices 19 and")
    other = np.ones(41, dtype=bool)
    other[19] = False
    expected = series.hu[::-1, ::-1]
    assert np.allclose(scan.ncct.get_fdata()[..., other], expected[..., other], atol=0.01)


def test_a_gap_beyond_the_vertex_is_a_finding(series: Series) -> None:
    folder = series.write()
    for path in folder.iterdir():
        if float(pydicom.dcmread(path).ImagePositionPatient[2]) == 81.0:
            path.unlink()
    scan = read_scan(folder)
    assert len(scan.findings) == 2
    assert "numbers of the slices skip 1" in scan.findings[0]
    assert "interpolated over a gap of 8.0 mm between slices 39 and 40" in scan.findings[1]


def test_findings_of_the_files(series: Series) -> None:
    series.changes = {"ContrastBolusAgent": f"for {PATIENT_NAME}"}
    folder = series.write(
        lambda k, d: setattr(d, "ConvolutionKernel", "SOFT" if k < 30 else "BONE")
    )
    (folder / "words.txt").write_text("words")
    scan = read_scan(folder)
    assert scan.contrast_named
    assert scan.child is None
    assert scan.findings == (
        "1 file(s) beside the series that are not DICOM",
        "the kernel changes within the series: SOFT (30 slices), BONE (11 slices)",
    )


def test_twenty_series_make_no_long_message(series: Series) -> None:
    for number in range(20):
        replace(series, uid=generate_uid(), number=number, hu=series.hu[..., :6]).write()
    with pytest.raises(ScanError, match="20 CT series in the folder") as caught:
        read_ncct(series.folder)
    assert len(str(caught.value)) < 700
    assert "and 15 more" in str(caught.value)


def test_too_few_slices(series: Series) -> None:
    series.hu = series.hu[..., :3]
    with pytest.raises(ScanError, match=r"3 slice\(s\)"):
        read_ncct(series.write())
    series.hu = np.repeat(series.hu, 2, axis=2)
    with pytest.raises(ScanError, match=r"coverage of 24 mm \(6 slices\)"):
        read_ncct(series.write())


def test_several_series_are_listed(series: Series) -> None:
    series.write()
    other = replace(series, uid=generate_uid(), number=4, changes={"ConvolutionKernel": "BONE"})
    other.write()
    with pytest.raises(ScanError) as caught:
        read_ncct(series.folder)
    assert "2 CT series" in caught.value.found
    assert "series 3 (41 images" in caught.value.found
    assert "kernel BONE" in caught.value.found


@pytest.mark.parametrize("kinds", [("ORIGINAL", "PRIMARY", "LOCALIZER"), ("LOCALIZER",)])
def test_only_scouts(series: Series, kinds: tuple[str, ...]) -> None:
    series.kinds = kinds
    with pytest.raises(ScanError, match=r"only 41 localizer \(scout\) image"):
        read_ncct(series.write())


def test_another_modality(series: Series) -> None:
    series.kinds, series.modality = ("ORIGINAL",), "MR"
    with pytest.raises(ScanError, match="MR image"):
        read_ncct(series.write())


@pytest.mark.parametrize("part", [0.01, 0.3, 0.9])
def test_truncated_slice(series: Series, part: float) -> None:
    folder = series.write()
    path = folder / "s3_010.dcm"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ScanError, match=r"truncated DICOM file \(11 of 41|a gap of 8"):
        read_ncct(folder)


@pytest.mark.parametrize("size", [0, 100, 200, 600])
def test_a_slice_that_ends_before_its_pixels_is_not_left_out(series: Series, size: int) -> None:
    folder = series.write()
    last = sorted(folder.iterdir())[-1]
    last.write_bytes(last.read_bytes()[:size])
    with pytest.raises(ScanError, match="truncated DICOM file"):
        read_ncct(folder)


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("PixelSpacing", [0, 0], "pixels of 0 x 0 mm"),
        ("PixelSpacing", [0.001, 0.001], "pixels of 0.001 x 0.001 mm"),
        ("PixelSpacing", [1], "PixelSpacing of 1 number"),
        ("ImageOrientationPatient", [1, 0, 0, 0, 1], "ImageOrientationPatient of 5 number"),
        ("ImagePositionPatient", [1, 2], "ImagePositionPatient of 2 number"),
        ("Rows", None, "no Rows in 1 of"),
    ],
)
def test_headers_that_do_not_say_where_a_slice_lies(
    series: Series, tag: str, value: list[float] | None, words: str
) -> None:
    folder = series.write()
    path = sorted(folder.iterdir())[3]
    header = pydicom.dcmread(path)
    setattr(header, tag, value)
    header.save_as(path)
    with pytest.raises(ScanError, match=words):
        read_ncct(folder)


def test_one_file_of_a_series(series: Series) -> None:
    path = next(series.write().iterdir())
    with pytest.raises(ScanError, match="a file") as caught:
        read_ncct(path)
    assert "folder" in caught.value.remedy


def test_no_name_leaves_the_files(
    series: Series, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = series.write()
    scan = read_ncct(folder)
    texts = [scan.to_bytes().decode("latin1")]
    for change, _ in REFUSED.values():
        shutil.rmtree(folder)
        with pytest.raises(ScanError) as caught:
            read_ncct(series.write(change))
        texts.append(str(caught.value))
    texts += [caplog.text, *capfd.readouterr()]
    for secret in (PATIENT_ID, *PATIENT_NAME.split("^")):
        assert not any(secret in text for text in texts)


@pytest.mark.parametrize(
    ("age", "child"),
    [
        ("009Y", True), ("017Y", True), ("018Y", False), ("71Y", False), ("018M", True),
        ("003W", True), ("010D", True), ("", None), ("071", None), ("unknown", None),
    ],
)  # fmt: skip
def test_of_an_age_it_is_kept_whether_the_patient_is_a_child(age: str, child: bool | None) -> None:
    words = {"PatientAge": age}
    assert Slice(None, words, {}, {}, None).of_child is child

"""What is written refers to the original frames, says what was found, and others read it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from lvo_kedro.dicom import DicomResult, labels_on_frames, read_source, write_results
from lvo_kedro.dicom.capture import line_of
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import read_scan
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.simulation.export_series import Series as EnhancedSeries
from lvo_kedro.vocabulary import RESEARCH_ONLY
from tests.dicom.conftest import MARKER, from_the_vertex, straight, tilted
from tests.imaging.phantoms import PATIENT_ID, PATIENT_NAME


def as_vessels(image):
    """Dense bone as C7, other bone as M1."""
    hu = np.asarray(image.dataobj)
    return make_image(
        np.where(hu > 700, 1, np.where(hu > 300, 2, 0)).astype(np.uint8), image.affine
    )


@pytest.fixture
def result() -> DicomResult:
    return DicomResult(
        probability=0.93,
        calls={"youden": "occlusion", "sensitivity_90": "no occlusion"},
        side="left",
        segment="C7+M1",
        point_mm=MARKER,
        findings=("slices of 5.0 mm", "a small right M1"),
        picture=np.arange(90 * 120 * 3, dtype=np.uint32).astype(np.uint8).reshape(90, 120, 3),
        models="0123456789abcdef",
    )


def written(folder: Path, result: DicomResult, out: Path) -> dict[str, Path]:
    ncct = read_scan(folder).ncct
    occlusion = np.zeros(ncct.shape, np.uint8)
    place = np.rint(np.linalg.inv(ncct.affine) @ [*MARKER, 1])[:3].astype(int)
    occlusion[tuple(slice(p - 2, p + 3) for p in place)] = 2
    maps = {
        "vessels": as_vessels(ncct),
        "occlusion": make_image(occlusion, ncct.affine),
    }
    paths = write_results(folder, DicomResult(**(vars(result) | maps)), out)
    return {path.stem: path for path in paths}


def test_a_segmentation_is_read_back_on_the_geometry_of_the_frames(series, result, tmp_path):
    paths = written(series.folder, result, tmp_path / "out")
    source = read_source(series.folder)
    seg = hd.seg.segread(paths["vessels"])
    uids = [str(d.SOPInstanceUID) for d in source.datasets]
    expected = labels_on_frames(as_vessels(read_scan(series.folder).ncct), source.slices)
    back = seg.get_pixels_by_source_instance(
        uids,
        combine_segments=True,
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(back, expected)
    assert [seg.get_segment_description(n).segment_label for n in (1, 2)] == ["C7", "M1"]
    places = {
        tuple(map(float, f.PlanePositionSequence[0].ImagePositionPatient))
        for f in seg.PerFrameFunctionalGroupsSequence
    }
    assert places <= {tuple(map(float, d.ImagePositionPatient)) for d in source.datasets}
    orientation = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    assert orientation.ImageOrientationPatient == source.datasets[0].ImageOrientationPatient
    shown = sitk.GetArrayFromImage(sitk.ReadImage(str(paths["vessels"]))).ravel() > 0
    whole = shown.size // 8 * 8  # a last byte that is not full, SimpleITK leaves out
    np.testing.assert_array_equal(shown[:whole], seg.pixel_array.ravel()[:whole] > 0)


def test_an_enhanced_multi_frame_image_gets_its_segmentation_too(tmp_path, result):
    made = from_the_vertex(tmp_path / "series")  # frames stand in the file the other way round
    study = {
        "PatientName": PATIENT_NAME, "PatientID": PATIENT_ID, "Manufacturer": "Phantom",
        "StudyInstanceUID": made.study, "FrameOfReferenceUID": "1.2.3",
    }  # fmt: skip
    kind = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]}
    enhanced = EnhancedSeries(2, "head", made.hu, made.affine, study, fields=kind).enhanced()
    made.folder.mkdir()
    enhanced.save_as(made.folder / "image", enforce_file_format=True)
    paths = written(made.folder, result, tmp_path / "out")
    seg = hd.seg.segread(paths["vessels"])
    frames = range(1, made.hu.shape[2] + 1)
    back = seg.get_pixels_by_source_frame(
        str(enhanced.SOPInstanceUID), list(frames), combine_segments=True,
        ignore_spatial_locations=True, assert_missing_frames_are_empty=True,
    )  # fmt: skip
    # thresholded where the frame itself stands in the file
    bone = np.asarray(enhanced.pixel_array, dtype=float) - 1024 > 300
    np.testing.assert_array_equal(back > 0, bone)


def test_the_report_says_what_was_found_and_where(tmp_path, result):
    series = tilted(tmp_path / "series")
    series.write()
    report = hd.sr.srread(written(series.folder, result, tmp_path / "out")["report"])
    groups = report.content.get_image_measurement_groups()
    (number,) = groups[0].get_measurements()
    assert number.value == 0.93
    told = {e.name.meaning: e.value.meaning for e in groups[0].get_qualitative_evaluations()}
    assert told == {
        "Occlusion at youden": "Present",
        "Occlusion at sensitivity 90": "Absent",
        "Side of the occlusion": "Left",
        "Segment of the occlusion": "Occluded segment C7+M1",
    }
    comments = [i.value for i in groups[0][0].ContentSequence if i.name.meaning == "Comment"]
    assert comments == [RESEARCH_ONLY, *result.findings]
    (place,) = report.content.get_planar_roi_measurement_groups()
    assert place.roi.value.tolist() == [[35.0, -45.0, 10.0]]  # left is positive in DICOM
    assert place.roi.frame_of_reference_uid == series.study


def test_a_scan_without_a_call_has_its_reason_and_no_number(tmp_path, result):
    series = straight(tmp_path / "series")
    series.write()
    refused = DicomResult(**(vars(result) | {"no_call": "noise is 30 HU", "side": "left"}))
    report = hd.sr.srread(written(series.folder, refused, tmp_path / "out")["report"])
    (group,) = report.content.get_image_measurement_groups()
    assert group.get_measurements() == []
    assert group.get_qualitative_evaluations() == []
    comments = [i.value for i in group[0].ContentSequence if i.name.meaning == "Comment"]
    assert comments[1] == "No call: noise is 30 HU"


def test_the_objects_belong_to_the_patient_and_the_study_and_are_the_same_each_time(
    tmp_path, result
):
    series = straight(tmp_path / "series")
    series.write()
    paths = written(series.folder, result, tmp_path / "out")
    again = written(series.folder, result, tmp_path / "again")
    assert set(paths) == {"vessels", "occlusion", "report", "picture"}
    seen = set()
    for name, path in paths.items():
        dataset = pydicom.dcmread(path)
        assert (dataset.PatientName, dataset.PatientID) == (PATIENT_NAME, PATIENT_ID)
        assert dataset.StudyInstanceUID == series.study
        assert dataset.SeriesInstanceUID != series.uid
        assert dataset.SOPInstanceUID == pydicom.dcmread(again[name]).SOPInstanceUID
        seen |= {dataset.SOPInstanceUID, dataset.SeriesInstanceUID}
    assert len(seen) == 8
    other = DicomResult(**(vars(result) | {"probability": 0.5}))
    changed = written(series.folder, other, tmp_path / "other")
    assert pydicom.dcmread(changed["report"]).SOPInstanceUID not in seen


def test_the_picture_is_the_picture_with_the_notice_burnt_in_below(tmp_path, result):
    series = straight(tmp_path / "series")
    series.write()
    path = written(series.folder, result, tmp_path / "out")["picture"]
    shown = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(shown[:90], result.picture)
    assert shown[90:].min() < 100  # dark words
    assert np.median(shown[90:]) == 255  # on white
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0], shown)


@pytest.mark.parametrize("width", [120, 968])
def test_the_notice_fits_below_a_picture_of_any_width(width):
    columns = np.flatnonzero((line_of(f"No call. {RESEARCH_ONLY}", width) < 128).any(axis=(0, 2)))
    assert 5 < columns[0] < columns[-1] < width - 5


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jürgen"),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),  # two sets, the first unnamed
        ("ISO_IR 144", "Иванов^Иван"),
        (None, "A^B"),
    ],
)
def test_a_name_in_any_script_goes_back_as_it_came(tmp_path, result, charset, name):
    series = straight(tmp_path / "series")
    series.changes = {"SpecificCharacterSet": charset, "PatientName": name}
    series.write()
    said = DicomResult(**(vars(result) | {"findings": ("slices ≥ 5 mm – thick",)}))
    paths = written(series.folder, said, tmp_path / "out")
    assert {str(pydicom.dcmread(path).PatientName) for path in paths.values()} == {name}
    (group,) = hd.sr.srread(paths["report"]).content.get_image_measurement_groups()
    comments = [i.value for i in group[0].ContentSequence if i.name.meaning == "Comment"]
    assert comments == [RESEARCH_ONLY, "slices ≥ 5 mm – thick"]


def test_a_report_without_an_occlusion_says_what_its_side_is(tmp_path, result):
    series = straight(tmp_path / "series")
    series.write()
    none = DicomResult(**(vars(result) | {"calls": {"youden": "no occlusion"}}))
    path = written(series.folder, none, tmp_path / "out")["report"]
    assert b"likeliest occlusion, if there is one" in path.read_bytes()


def test_what_is_called_something_else_is_another_object(tmp_path, result):
    series = straight(tmp_path / "series")
    series.write()
    ncct = read_scan(series.folder).ncct
    found = {}
    for label in (1, 2):
        only = make_image((np.asarray(ncct.dataobj) > 700).astype(np.uint8) * label, ncct.affine)
        vessels = DicomResult(only, models=result.models)
        path = write_results(series.folder, vessels, tmp_path / str(label))[0]
        found[label] = hd.seg.segread(path)
    np.testing.assert_array_equal(found[1].pixel_array, found[2].pixel_array)
    assert found[1].SegmentSequence[0].SegmentLabel == "C7"
    assert found[2].SegmentSequence[0].SegmentLabel == "M1"
    assert found[1].SOPInstanceUID != found[2].SOPInstanceUID


def test_no_label_is_no_segmentation(tmp_path, result):
    series = straight(tmp_path / "series")
    series.write()
    ncct = read_scan(series.folder).ncct
    empty = make_image(np.zeros(ncct.shape, np.uint8), ncct.affine)
    nothing = DicomResult(**(vars(result) | {"vessels": empty, "occlusion": empty}))
    paths = write_results(series.folder, nothing, tmp_path / "out")
    assert sorted(path.stem for path in paths) == ["picture", "report"]


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("PatientSex", "U", ""),
        ("PatientSex", "F", "F"),
        ("StudyDate", "2020", ""),
        ("StudyDate", "20201399", ""),
        ("StudyTime", "25:00", ""),
        ("StudyTime", "134501.25", "134501.25"),
        ("PatientBirthDate", "12/03/1950", ""),
    ],
)
def test_a_header_that_is_no_date_costs_no_results(tmp_path, result, name, value, left):
    series = straight(tmp_path / "series")
    series.changes = {name: value}
    series.write()
    for path in written(series.folder, result, tmp_path / "out").values():
        assert str(pydicom.dcmread(path).get(name) or "") == left


@pytest.mark.parametrize("change", [{"FrameOfReferenceUID": None}, {"SOPInstanceUID": "1.2.3"}])
def test_images_that_cannot_be_referred_to_are_said(tmp_path, result, change):
    series = straight(tmp_path / "series")
    series.changes = change
    series.write()
    with pytest.raises(ScanError, match=r"FrameOfReferenceUID|share one UID"):
        write_results(series.folder, result, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tool", ["dciodvfy", "dcmdump", "dsrdump"])
def test_other_readers_find_no_error(tmp_path, result, tool):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed (Debian: dicom3tools, dcmtk)")
    series = tilted(tmp_path / "series", -12.0)
    series.changes = {"FrameOfReferenceUID": "1.2.3", "PatientBirthDate": "19500101",
                      "PatientSex": "F", "StudyDate": "20260101",
                      "StudyTime": "010203", "StudyID": "1"}  # fmt: skip
    series.write()
    for name, path in written(series.folder, result, tmp_path / "out").items():
        if tool == "dsrdump" and name != "report":
            continue
        ended = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False)  # noqa: S603
        said = ended.stdout + ended.stderr
        assert not [line for line in said.splitlines() if line.startswith(("Error", "E:"))], said
        assert ended.returncode == 0

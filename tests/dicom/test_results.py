"""What is written refers to the original frames, lies where anatomy lies, and others read it."""

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
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import read_scan
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.pixels import read_hu
from lvo_kedro.simulation.export_series import Series as EnhancedSeries
from lvo_kedro.vocabulary import RESEARCH_ONLY
from tests.dicom.conftest import from_the_vertex, straight, tilted
from tests.imaging.phantoms import PATIENT_ID, PATIENT_NAME, Series

MARKER = (-35.0, 45.0, 10.0)
"""Centre of the phantom's bright ball: left, in front."""


def thresholded(image, low):
    return make_image((np.asarray(image.dataobj) > low).astype(np.uint8), image.affine)


def as_vessels(image):
    """Dense bone as C7, other bone as M1."""
    hu = np.asarray(image.dataobj)
    return make_image(
        np.where(hu > 700, 1, np.where(hu > 300, 2, 0)).astype(np.uint8), image.affine
    )


def beside(folder: Path) -> np.ndarray:
    """How far the voxel whose label a pixel got lies from that pixel, in voxels along each axis.

    A label is the voxel's own index along an axis; the pixel's place is worked out from the header.
    """
    ncct = read_scan(folder).ncct
    source, to_voxel = read_source(folder), np.linalg.inv(ncct.affine)
    gaps = []
    for axis in range(3):
        own = np.arange(ncct.shape[axis]) % 250 + 1
        values = np.broadcast_to(
            np.expand_dims(own, [a for a in range(3) if a != axis]), ncct.shape
        )
        labels = make_image(values.astype(np.uint8), ncct.affine)
        for dataset, frame in zip(
            source.datasets, labels_on_frames(labels, source.slices), strict=True
        ):
            lps = places(dataset, np.argwhere(frame))
            ras = lps * [-1, -1, 1]
            where = (ras @ to_voxel[:3, :3].T + to_voxel[:3, 3])[:, axis]
            gap = where - (frame[frame > 0].astype(float) - 1)
            gaps.append(np.abs(gap - 250 * np.rint(gap / 250)))
    return np.concatenate(gaps)


def places(dataset: pydicom.Dataset, pixels: np.ndarray) -> np.ndarray:
    """World (LPS, mm) of pixels (row, column), as the DICOM standard defines it."""
    row, column = np.reshape(np.asarray(dataset.ImageOrientationPatient, float), (2, 3))
    down, along = (float(v) for v in dataset.PixelSpacing)
    start = np.asarray(dataset.ImagePositionPatient, float)
    return start + pixels[:, 1:] * along * row + pixels[:, :1] * down * column


def offsets(folder: Path) -> np.ndarray:
    """Distance in pixels, frame by frame, between the head in the original and its label.

    Both are thresholded: the original frame in its own pixels, the straight volume in its voxels.
    """
    source = read_source(folder)
    found = labels_on_frames(thresholded(read_scan(folder).ncct, 20.0), source.slices)
    distances = []
    for item, label in zip(source.slices, found, strict=True):
        original = read_hu(item, 4000.0) > 20
        if original.any() and label.any():
            gap = np.argwhere(original).mean(axis=0) - np.argwhere(label).mean(axis=0)
            distances.append(np.linalg.norm(gap))
    return np.array(distances)


def test_each_pixel_gets_the_label_of_the_voxel_that_it_lies_in(series: Series) -> None:
    assert beside(series.folder).max() <= 0.501


def test_labels_lie_on_the_head_in_the_original_frames(series: Series) -> None:
    # single frames: between steps of 7 mm, or where a tilt is straightened, edges are blended
    assert np.median(offsets(series.folder)) <= 0.5


@pytest.mark.shared
def test_labels_lie_on_the_frames_of_a_real_tilted_uneven_series(shared: Path) -> None:
    folder = shared / "data" / "ncct_ge_hispeed_dicom"
    assert beside(folder).max() <= 0.51  # directions in the headers are rounded
    assert np.median(offsets(folder)) <= 0.6  # pixels of 0.49 mm


def ball_on(folder: Path) -> np.ndarray:
    """Mark a ball of 8 mm around the marker in the straight volume; return its place on frames."""
    ncct = read_scan(folder).ncct
    index = np.argwhere(np.ones(ncct.shape, bool))
    world = index @ ncct.affine[:3, :3].T + ncct.affine[:3, 3]
    ball = (np.linalg.norm(world - MARKER, axis=1) <= 8.0).reshape(ncct.shape)
    source = read_source(folder)
    frames = labels_on_frames(make_image(ball.astype(np.uint8), ncct.affine), source.slices)
    pairs = zip(source.datasets, frames, strict=True)
    return np.concatenate([places(dataset, np.argwhere(frame)) for dataset, frame in pairs])


def test_left_stays_the_patients_left_by_the_headers_own_numbers(series: Series) -> None:
    lps = ball_on(series.folder).mean(axis=0)  # DICOM: x to the left, y to the back
    assert lps == pytest.approx([35.0, -45.0, 10.0], abs=2.0)


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


def test_the_picture_is_the_picture(tmp_path, result):
    series = straight(tmp_path / "series")
    series.write()
    path = written(series.folder, result, tmp_path / "out")["picture"]
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, result.picture)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0], result.picture
    )


def test_no_label_is_no_segmentation(tmp_path, result):
    series = straight(tmp_path / "series")
    series.write()
    ncct = read_scan(series.folder).ncct
    empty = make_image(np.zeros(ncct.shape, np.uint8), ncct.affine)
    nothing = DicomResult(**(vars(result) | {"vessels": empty, "occlusion": empty}))
    paths = write_results(series.folder, nothing, tmp_path / "out")
    assert sorted(path.stem for path in paths) == ["picture", "report"]


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

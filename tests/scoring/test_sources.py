"""What is handed over to be scored: of a study the plain head CT, or a clear word."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import generate_uid

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import read_ncct
from lvo_kedro.scoring.batch import score_all
from lvo_kedro.scoring.receiving import StudyHandler
from lvo_kedro.scoring.sources import TEMPORARY, Source, find_sources
from tests.imaging.phantoms import PATIENT_NAME, Series, dicom_layout, head_grid, phantom_head


@pytest.fixture(scope="module")
def head():
    grid = dicom_layout(head_grid((3.0, 3.0, 4.0)))
    return phantom_head(grid)[0], grid.affine


@pytest.fixture
def plain(tmp_path, head, monkeypatch):
    """The plain series of a study; what is unpacked goes to a folder that a test may look at."""
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    said = {"SeriesDescription": "nativ", "ConvolutionKernel": "H31s", "Manufacturer": "SIEMENS"}
    return Series(tmp_path / "in" / "study", *head, changes=said)


def another(series, description, **changes):
    said = series.changes | {"SeriesDescription": description}
    new = {"number": series.number + 1, "uid": generate_uid(), "changes": said}
    return replace(series, **(new | changes))


def is_empty(tmp_path):
    return not list((tmp_path / "unpacked").glob(f"{TEMPORARY}*"))


def test_a_folder_with_one_series_is_read_where_it_lies(tmp_path, plain):
    folder = plain.write()
    (source,) = find_sources(folder)
    assert source == Source(folder)
    with source.scan() as scan:
        assert scan == folder


def test_of_a_study_in_an_archive_the_plain_series_is_taken(tmp_path, plain):
    folder = plain.write()
    another(plain, "CTA Willis", hu=plain.hu + 30).write()
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"../{PATIENT_NAME}/{path.name}")
    shutil.rmtree(tmp_path / "in")
    (source,) = find_sources(tmp_path / "study.zip")
    with source.scan() as scan:
        assert scan.is_relative_to(tmp_path / "unpacked")
        assert PATIENT_NAME not in str(list(scan.iterdir()))
        found = read_ncct(scan)
    assert np.array_equal(np.asarray(found.dataobj), np.rint(plain.hu[::-1, ::-1]))
    assert is_empty(tmp_path)
    assert not (tmp_path / PATIENT_NAME).exists()


def test_two_halves_of_a_head_are_one_scan(tmp_path, plain):
    half, upper = 18, plain.affine.copy()
    upper[:3, 3] += upper[:3, 2] * half
    replace(plain, hu=plain.hu[..., :half]).write()
    another(plain, "nativ", hu=plain.hu[..., half:], affine=upper).write()
    (source,) = find_sources(tmp_path / "in")
    with source.scan() as scan:
        found = nib.load(scan)
        assert np.array_equal(found.get_fdata(), np.rint(plain.hu[::-1, ::-1]))
    assert is_empty(tmp_path)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"ContrastBolusAgent": "OMNIPAQUE"}, "a contrast agent"),
        ({"PatientAge": "006Y"}, "a child"),
    ],
)
def test_two_halves_whose_headers_forbid_a_call_are_not_scored_without_them(
    tmp_path, plain, said, word
):
    half, upper = 18, plain.affine.copy()
    upper[:3, 3] += upper[:3, 2] * half
    plain = replace(plain, changes=plain.changes | said)
    replace(plain, hu=plain.hu[..., :half]).write()
    another(plain, "nativ", hu=plain.hu[..., half:], affine=upper).write()
    (source,) = find_sources(tmp_path / "in")
    with pytest.raises(ScanError, match=word), source.scan():
        pass


def test_what_cannot_be_read_beside_other_scans_is_a_failure_of_its_own(tmp_path, plain, scorer):
    folder = plain.write()
    another(plain, "nativ", study=generate_uid()).write()
    (folder.parent / "mask.nii").write_text("a")
    with zipfile.ZipFile(tmp_path / "in" / "cut.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    shot = another(plain, "Dose", study=generate_uid())  # a picture with words is no lost scan
    replace(shot, changes=shot.changes | {"BurnedInAnnotation": "YES"}).write()
    cut = (tmp_path / "in" / "cut.zip").read_bytes()
    (tmp_path / "in" / "cut.zip").write_bytes(cut[: len(cut) // 2])
    sources = find_sources(tmp_path / "in")
    assert sum(source.study is not None for source in sources) == 2
    assert sum(source.shown.name == "mask.nii" for source in sources) == 1
    (bad,) = (source for source in sources if source.problem)
    (done,) = score_all(scorer, [bad], lambda _: None)
    assert done.failed
    assert "passed over" in done.error


def test_where_the_rules_do_not_decide_the_batch_goes_on(tmp_path, plain, scorer):
    plain.write()
    later = another(plain, "nativ", hu=plain.hu + 1)
    later.changes = later.changes | {"FrameOfReferenceUID": generate_uid()}
    later.write()
    (tmp_path / "next.nii").write_text("a")
    sources = [*find_sources(tmp_path / "in"), *find_sources(tmp_path / "next.nii")]
    undecided, scored = score_all(scorer, sources, lambda _: None)
    assert undecided.failed
    assert "series 3, 4 of a study" in undecided.error
    assert str(tmp_path) not in undecided.error
    assert not scored.failed
    assert is_empty(tmp_path)


def test_a_received_study_gives_dicom_objects_or_the_reason_why_not(tmp_path, plain):
    folder = plain.write()
    made = tmp_path / "out" / "dicom" / "report.dcm"
    record = {"case_id": "scan-0", "status": "failed", "failed": "too few slices", "findings": []}
    result = SimpleNamespace(record=record, folder=tmp_path / "out")
    handle = StudyHandler(SimpleNamespace(score=lambda _: result))
    with pytest.raises(ScanError, match="too few slices"):
        handle(folder)
    made.parent.mkdir(parents=True)
    made.write_bytes(b"")
    assert handle(folder) == [made]


def test_a_file_that_is_nothing_of_the_kind_is_left_to_the_reader_to_refuse(tmp_path):
    path = Path(tmp_path / "notes.txt")
    path.write_text("nothing")
    assert find_sources(path) == [Source(path)]

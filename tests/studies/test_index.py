"""The index of an export: grouped by headers, resumed, in files of its own."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

from lvo_kedro.studies import facts
from lvo_kedro.studies.index import Index, opened
from tests.imaging.phantoms import PATIENT_ID, Series

TINY = (8, 8, 6)


def raising(error: Exception):
    def fails(*_: object) -> None:
        raise error

    return fails


@pytest.fixture
def tiny(tmp_path: Path) -> Series:
    """Six slices of 8 x 8 pixels."""
    return Series(tmp_path / "export" / "a" / "b", np.zeros(TINY), np.diag([20.0, 20, 30, 1]))


@pytest.fixture
def index(tmp_path: Path):
    with opened(tmp_path / "work" / "index.sqlite") as one:
        yield one


def test_studies_and_series_are_told_apart(tmp_path: Path, tiny: Series, index: Index) -> None:
    tiny.write()
    replace(tiny, number=4, uid=generate_uid()).write()
    other = replace(tiny, study=generate_uid(), uid=generate_uid(), suffix="")
    replace(other, folder=tmp_path / "export" / "c").write()
    index.add([tmp_path / "export"])
    studies = [index.study(uid) for uid in index.study_uids()]
    assert [len(study.series) for study in studies] == [2, 1]
    assert [len(series.files) for series in studies[0].series] == [6, 6]
    assert studies[0].patient == PATIENT_ID
    first = studies[0].series[0].files[0]
    assert first.form["Modality"] == "CT"
    assert len(first.places) == 1


def test_files_that_cannot_be_read_are_listed(tmp_path: Path, tiny: Series, index: Index) -> None:
    folder = tiny.write()
    path = sorted(folder.iterdir())[2]
    path.write_bytes(path.read_bytes()[:200])
    (folder / "letter.txt").write_text("words")
    shot = replace(tiny, number=9, uid=generate_uid(), changes={"BurnedInAnnotation": "YES"})
    shot.write()
    index.add([folder])
    assert "words are burnt into the picture (BurnedInAnnotation)" in index.problems()
    (study,) = (index.study(uid) for uid in index.study_uids())
    assert sum(not file.problem for series in study.series for file in series.files) == 5
    assert index.problems()["a damaged file"] == 1


def test_a_second_pass_reads_what_has_changed(
    tmp_path: Path, tiny: Series, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.write()
    with zipfile.ZipFile(tmp_path / "export" / "x.zip", "w") as archive:
        for path in replace(tiny, folder=tmp_path / "z", study=generate_uid()).write().iterdir():
            archive.write(path, path.name)
    index.add([tmp_path / "export"])
    assert len(index.study_uids()) == 2
    read = []
    original = facts.open_header
    monkeypatch.setattr(facts, "open_header", lambda *a: read.append(1) or original(*a))
    index.add([tmp_path / "export"])
    assert read == []
    assert len(index.study_uids()) == 2
    data = pydicom.dcmread(sorted(folder.iterdir())[0])
    data.SeriesDescription = "changed"
    data.save_as(sorted(folder.iterdir())[0])
    sorted(folder.iterdir())[1].unlink()
    index.add([tmp_path / "export"])
    assert len(read) == 1
    files = index.study(tiny.study).series[0].files
    assert len(files) == 5
    (tmp_path / "export" / "x.zip").unlink()
    index.add([tmp_path / "export"])
    assert index.study_uids() == [tiny.study]


def test_archives_hold_what_folders_hold(tmp_path: Path, tiny: Series, index: Index) -> None:
    folder = tiny.write()
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(folder, "whatever")
    shutil.rmtree(folder)
    index.add([tmp_path / "x.tar.gz"])
    (series,) = index.study(tiny.study).series
    assert len(series.files) == 6
    assert all(file.place.offset > 0 for file in series.files)


def test_bids_sessions_are_studies(tmp_path: Path, index: Index) -> None:
    image = nib.Nifti1Image(np.zeros((4, 4, 5), np.int16), np.diag([1.0, 1, 5, 1]))
    root = tmp_path / "set"
    for name in ("sub-1/ses-1/sub-1_ses-1_ncct", "sub-1/ses-1/sub-1_ses-1_cta",
                 "sub-1/ses-2/sub-1_ses-2_ncct", "sub-2/sub-2_ct",
                 "derivatives/x/sub-2/sub-2_mask", "siteB/sub-2/sub-2_ct"):  # fmt: skip
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, path)
    sidecar = {"Manufacturer": "Siemens", "ConvolutionKernel": ["H31s", "2"], "SeriesNumber": 3}
    (root / "sub-2" / "sub-2_ct.json").write_text(json.dumps(sidecar))
    index.add([root])
    studies = ["set/siteB/sub-2", "set/sub-1/ses-1", "set/sub-1/ses-2", "set/sub-2"]
    assert sorted(index.study_uids()) == studies
    first, second = (index.study(uid) for uid in studies[1:3])
    assert len(first.series) == 2
    assert first.patient == second.patient == "sub-1"
    series = next(s for s in index.study("set/sub-2").series if "Manufacturer" in s.header)
    assert series.header["Manufacturer"] == "Siemens"
    assert series.files[0].form["ConvolutionKernel"] == "H31s\\2"


def test_nifti_files_named_by_what_they_show_share_a_study(tmp_path: Path, index: Index) -> None:
    image = nib.Nifti1Image(np.zeros((4, 4, 5), np.int16), np.eye(4))
    for name in ("x/p1/Plain", "x/p1/CTA", "x/p2/0001", "x/p2/0002", "y/p2/0001"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(image, tmp_path / f"{name}.nii")
    for packed in ("a.zip", "b.zip"):  # other people's
        with zipfile.ZipFile(tmp_path / packed, "w") as archive:
            archive.write(tmp_path / "y/p2/0001.nii", "scan.nii")
    index.add([tmp_path / "x", tmp_path / "y", tmp_path / "a.zip", tmp_path / "b.zip"])
    assert sorted(index.study_uids()) == [
        "a.zip/scan", "b.zip/scan", "x/p1", "x/p2/0001", "x/p2/0002", "y/p2/0001"
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are text")
def test_a_name_that_is_no_text_is_passed_over(tmp_path: Path, tiny: Series, index: Index) -> None:
    folder = tiny.write()
    shutil.copy(sorted(folder.iterdir())[0], os.fsencode(folder) + b"/M\xfcller")
    index.add([folder])
    assert index.problems()["a file name that is not UTF-8"] == 1
    assert index.study_uids() == [tiny.study]


def test_what_could_not_be_opened_is_tried_again_and_headers_may_be_corrected(
    tmp_path: Path, tiny: Series, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.write()
    with monkeypatch.context() as away:
        away.setattr(facts, "open_header", raising(PermissionError("share")))
        index.add([folder])
    assert index.study_uids() == []
    index.add([folder])
    assert index.study(tiny.study).accession == ""
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.AccessionNumber = "corrected"
        data.save_as(path)
    index.add([folder])
    assert index.study(tiny.study).accession == "corrected"


def test_nobody_s_patient_id_joins_no_patients() -> None:
    assert facts.patient_key("ANONYMOUS", "") == facts.patient_key("0", "x") == ""
    assert facts.patient_key(" 17 ", "") == "17"
    assert facts.patient_key("ANON0017", "") == "ANON0017"  # a pseudonym is somebody's
    assert facts.patient_key("17", "ward") != facts.patient_key("17", "")


def test_a_deflated_bomb_is_not_unpacked(
    tmp_path: Path, tiny: Series, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_MAX_UNPACKED", 1 << 20)
    tiny.hu = tiny.hu[..., :1]
    (path,) = tiny.write().iterdir()
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path)
    index.add([path])
    assert index.study_uids() == [tiny.study]
    head = path.read_bytes()
    begin = head.index(b"DICM") + 4
    length = int.from_bytes(head[begin + 8 : begin + 12], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(8 << 20)) + packer.flush()
    path.write_bytes(head[: begin + 12 + length] + bomb)
    index.add([path])
    assert index.problems() == {"a file that is packed too well to be an image": 1}


def test_the_index_is_its_owner_s_alone(tmp_path: Path, index: Index) -> None:
    assert stat.S_IMODE((tmp_path / "work" / "index.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "work").stat().st_mode) == 0o700


def test_a_dicomdir_says_what_is_missing(tmp_path: Path, tiny: Series, index: Index) -> None:
    tiny.changes = {"StudyDate": "20240101", "StudyTime": "120000", "StudyID": "1"}
    folder = tiny.write()
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"IM{number}")
    directory = FileSet()
    for path in folder.iterdir():
        directory.add(path)
    directory.write(tmp_path / "cd")
    assert (tmp_path / "cd" / "DICOMDIR").is_file()
    index.add([tmp_path / "cd" / "DICOMDIR"])
    assert (index.study_uids(), index.problems()) == ([tiny.study], {})
    next(path for path in (tmp_path / "cd").rglob("*") if path.name.startswith("IM")
         and path.is_file()).unlink()  # fmt: skip
    index.add([tmp_path / "cd"])
    assert index.problems() == {"a DICOMDIR that names 1 files that are not there": 1}
    assert index.study_uids() == [tiny.study]

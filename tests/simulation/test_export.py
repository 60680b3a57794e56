"""A simulated export: what archives give, and that the series in it are the heads' own."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from click.testing import CliRunner

from lvo_kedro.cli import cli
from lvo_kedro.errors import ScanError, TableError
from lvo_kedro.imaging import read_ncct
from lvo_kedro.simulation import simulate_case, write_export
from lvo_kedro.simulation.export_plan import FORMS, plan_export
from lvo_kedro.studies.deidentify import reasons_to_refuse
from lvo_kedro.studies.label_tables import read_label_table
from lvo_kedro.studies.labels import join_labels, read_mapping
from tests.studies.leaks import find_leaks, secrets_of

pytestmark = pytest.mark.long

COARSE = {"spacing_mm": 3.0, "plane_mm": 3.0}


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("export") / "new"
    return folder, write_export(folder, len(FORMS), seed=3, **COARSE)


def study_folder(export, form: str) -> Path:
    folder, truth = export
    row = truth[truth["form"] == form].iloc[0]
    number = row["StudyInstanceUID"].rsplit(".", 1)[-1]
    return folder / row["PatientName"].replace("^", "_") / number


def test_every_form_is_there(export) -> None:
    folder, truth = export
    assert truth["form"].tolist() == list(FORMS)
    assert truth["PatientName"].nunique() == len(FORMS) - 1  # one patient has two studies
    flat = list(study_folder(export, "no ending").iterdir())
    assert len(flat) > 30 and {path.suffix for path in flat} == {""}
    assert (study_folder(export, "DICOMDIR").parent / "CD" / "DICOMDIR").is_file()
    with zipfile.ZipFile(study_folder(export, "zip").with_suffix(".zip")) as archive:
        assert pydicom.dcmread(io.BytesIO(archive.read("SER002/IM0001.dcm"))).SeriesNumber == 2
    with tarfile.open(study_folder(export, "tar.gz").with_suffix(".tar.gz")) as archive:
        assert len(archive.getnames()) > 30
    private = pydicom.dcmread(study_folder(export, "private") / "SER002" / "IM0001.dcm")
    assert private.private_block(0x29, "SIMULATED VENDOR 1.0")[0x10].value == private.PatientName
    enhanced = pydicom.dcmread(study_folder(export, "enhanced") / "SER002" / "IM0001.dcm")
    assert enhanced.pixel_array.shape[0] == enhanced.NumberOfFrames > 20
    assert len({f.PlanePositionSequence[0].ImagePositionPatient[2]
                for f in enhanced.PerFrameFunctionalGroupsSequence}) > 20  # fmt: skip
    assert (folder / "bids" / "sub-014" / "ct" / "sub-014_ct.nii.gz").is_file()
    twin = study_folder(export, "doubled")
    assert (twin / "SER002/IM0003.dcm").read_bytes() == (
        twin.with_name(twin.name + "_copy") / "SER002/IM0003.dcm"
    ).read_bytes()


def test_every_file_says_that_it_is_simulated(export) -> None:
    for path in export[0].rglob("IM0001.dcm"):
        if path.parts[-3] != study_folder(export, "truncated").name:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            assert header.ImageComments == "SIMULATED HEAD, NO PATIENT"


def test_a_thin_series_is_the_simulated_head_in_its_place(export) -> None:
    thin = read_ncct(study_folder(export, "enhanced") / "SER004")
    study = plan_export(len(FORMS), 3, **COARSE)[6]
    truth = simulate_case(study.seed, study.options).ncct
    assert np.array_equal(thin.get_fdata()[::-1, ::-1], np.maximum(truth.get_fdata(), -1024))
    index = np.array([3, 5, 7, 1])
    flipped = np.array([thin.shape[0] - 4, thin.shape[1] - 6, 7, 1])
    assert np.allclose(thin.affine @ flipped, truth.affine @ index, atol=1e-3)


@pytest.mark.parametrize("form", ["compressed", "tilted", "uneven", "interleaved"])
def test_odd_series_can_be_read(export, form: str) -> None:
    scan = read_ncct(study_folder(export, form) / "SER002")
    data = scan.get_fdata()
    assert 0.03 < (data > 300).mean() < 0.25  # a skull
    assert scan.shape[2] * scan.header.get_zooms()[2] > 130


def test_a_truncated_series_and_one_of_two_halves(export) -> None:
    with pytest.raises(ScanError, match="truncated"):
        read_ncct(study_folder(export, "truncated") / "SER002")
    split = study_folder(export, "split")
    base, vertex = read_ncct(split / "SER002"), read_ncct(split / "SER003")
    assert base.header.get_zooms()[2] > 1.9 * vertex.header.get_zooms()[2]
    assert vertex.affine[2, 3] > base.affine[2, 3] + 60


def test_a_series_with_contrast_is_bright_where_the_arteries_are(export) -> None:
    study = study_folder(export, "no ending")
    by_series: dict[int, list] = {}
    for path in study.iterdir():
        data = pydicom.dcmread(path)
        by_series.setdefault(int(data.SeriesNumber), []).append(data)
    assert reasons_to_refuse(by_series[501][0])
    assert not reasons_to_refuse(by_series[2][0])
    assert by_series[1][0].ImageType[2] == "LOCALIZER"
    assert by_series[6][0].ContrastBolusAgent


def test_labels_join_as_far_as_they_can(export) -> None:
    folder, truth = export
    studies = pd.DataFrame(
        {"study_uid": truth["StudyInstanceUID"], "accession": truth["AccessionNumber"],
         "patient_id": truth["PatientID"]}
    )  # fmt: skip
    bids = truth["form"] == "BIDS"
    studies.loc[bids, ["accession", "patient_id"]] = "", "sub-014"
    table, mapping = read_label_table(folder / "labels.xlsx"), read_mapping(folder / "mapping.yml")
    labels, problems = join_labels(table, mapping, studies)
    told = truth.set_index("StudyInstanceUID")
    plain = [n for n in range(len(FORMS)) if n not in (1, 3, 9, 10, 11, 12)]
    for uid in truth["StudyInstanceUID"].iloc[plain]:
        assert labels.loc[uid, "lvo"] == str(told.loc[uid, "lvo"])
        assert (labels.loc[uid, ["side", "segment"]] == told.loc[uid, ["side", "segment"]]).all()
    said = dict(zip(labels.index, labels["side"] + " " + labels["segment"], strict=True))
    uids = truth["StudyInstanceUID"].tolist()
    assert [said.get(uids[n]) for n in (1, 3, 9, 10, 11, 12)] == [
        None, None, "unknown other", "both M1", None, "left unknown"
    ]  # fmt: skip
    text = "\n".join(map(str, problems))
    for words in ("no such study", "neither is taken", "says the same", "does not tell"):
        assert words in text
    assert not [secret for secret in secrets_of(truth.to_dict("records")) if secret in text]


def test_the_search_for_leaks_finds_every_patient_in_an_export(export) -> None:
    truth = export[1].set_index("form")
    for form in ("zip", "tar.gz", "compressed"):
        folder = study_folder(export, form).parent
        secrets = set(secrets_of(truth.loc[[form]].to_dict("records")))
        leaks = find_leaks(folder, secrets)
        found = {leak.rsplit(": ", 1)[1] for leak in leaks}
        # a header writes dates in one of the three ways that are looked for
        assert all("-" in secret or "." in secret for secret in secrets - found), secrets - found
        assert set(truth.loc[form, ["PatientBirthDate", "AccessionNumber", "PatientID"]]) <= found


def test_the_command_and_what_it_refuses(tmp_path: Path) -> None:
    arguments = ["simulate-export", str(tmp_path / "new"), "--studies", "1"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "1 simulated studies (nested)" in done.output
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 1 and "not empty" in again.output
    with pytest.raises(TableError, match="not empty"):
        write_export(tmp_path / "new")

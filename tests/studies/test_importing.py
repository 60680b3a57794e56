"""From an export to a cohort: chosen, written without names, resumed; a bad study ends alone."""

from __future__ import annotations

import errno
import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from pydicom.uid import generate_uid

from lvo_kedro.cli_studies import import_command
from lvo_kedro.cohort import validate_cohort
from lvo_kedro.imaging import read_ncct
from lvo_kedro.imaging.geometry import Grid
from lvo_kedro.studies import (
    ChoiceOptions,
    ImportOptions,
    Pseudonyms,
    Wanted,
    import_studies,
)
from lvo_kedro.studies.scans import ScanReader
from tests.imaging.phantoms import (
    PATIENT_ID,
    PATIENT_NAME,
    Series,
    dicom_layout,
    head_grid,
    phantom_head,
)
from tests.studies.leaks import find_leaks

NAMES = Pseudonyms(bytes(range(32)))
ACCESSION = "ACC-778899"


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray]:
    """HU and affine of a small head, 40 slices of 4 mm."""
    grid = dicom_layout(head_grid((3.0, 3.0, 4.0)))
    return phantom_head(Grid(grid.shape, grid.affine))[0], grid.affine


@pytest.fixture
def plain(tmp_path: Path, head: tuple[np.ndarray, np.ndarray]) -> Series:
    """The plain series of a study; its folder is called like the patient."""
    said = {"SeriesDescription": f"{PATIENT_NAME} nativ", "AccessionNumber": ACCESSION}
    said |= {"ConvolutionKernel": "H31s", "Manufacturer": "SIEMENS", "StudyDate": "20240305"}
    return Series(tmp_path / "export" / PATIENT_NAME, *head, changes=said)


def another(series: Series, description: str, **changes: object) -> Series:
    """Another series of the same study."""
    said = series.changes | {"SeriesDescription": description}
    new = {"number": series.number + 1, "uid": generate_uid(), "changes": said}
    return replace(series, **(new | changes))


HEADERS = ImportOptions(choice=ChoiceOptions(look_at_pixels=False))


def imported(tmp_path: Path, **given: object):
    given = {"options": HEADERS} | given
    return import_studies(
        [tmp_path / "export"], tmp_path / "out", tmp_path / "work", NAMES, **given
    )


def digests(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_plain_series_is_written_as_it_is_read(tmp_path: Path, plain: Series) -> None:
    folder = plain.write()
    expected = read_ncct(folder)
    another(plain, "Schädel KM", hu=plain.hu + 3).write()
    before = digests(tmp_path / "export")
    (outcome,) = imported(tmp_path, options=ImportOptions()).outcomes
    assert any("coarse pixels" in finding for finding in outcome.findings)
    assert outcome.state == "written"
    written = nib.load(tmp_path / "out" / outcome.ncct)
    assert written.get_data_dtype() == np.int16
    assert np.array_equal(written.get_fdata(), np.rint(expected.get_fdata()))
    assert np.allclose(written.affine, expected.affine, atol=1e-5)
    assert digests(tmp_path / "export") == before
    chosen = {one.name: one.chosen for one in outcome.series}
    assert chosen == {"3": "ncct", "4": ""}
    assert all(one.reasons["ncct"] for one in outcome.series)


def test_sides_stay_the_patient_s(tmp_path: Path, plain: Series) -> None:
    plain.hu = plain.hu.copy()
    plain.hu[10:14, 30:34, 20:23] = 900.0
    world = nib.affines.apply_affine(plain.affine, [11.5, 31.5, 21.0])
    plain.write()
    (outcome,) = imported(tmp_path).outcomes
    written = nib.load(tmp_path / "out" / outcome.ncct)
    spot = np.argwhere(written.get_fdata() == 900.0)
    assert nib.affines.apply_affine(written.affine, spot).mean(axis=0) == pytest.approx(
        world, abs=2
    )


def test_what_was_written_is_not_read_again(
    tmp_path: Path, plain: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plain.write()
    (first,) = imported(tmp_path).outcomes
    written = digests(tmp_path / "out")
    read = []
    original = ScanReader.read
    monkeypatch.setattr(ScanReader, "read", lambda *a: read.append(1) or original(*a))
    (second,) = imported(tmp_path).outcomes
    assert second == first
    assert (read, digests(tmp_path / "out")) == ([], written)
    (tmp_path / "out" / first.ncct).unlink()
    imported(tmp_path)
    assert len(read) == 1
    another(plain, "CTA").write()
    imported(tmp_path)
    assert len(read) > 1
    assert folder.is_dir()


def test_one_bad_study_ends_nothing_but_itself(tmp_path: Path, plain: Series) -> None:
    plain.write()
    bad = replace(plain, folder=tmp_path / "export" / "bad", study=generate_uid(),
                  uid=generate_uid())  # fmt: skip
    for path in sorted(bad.write().iterdir())[10:14]:
        path.unlink()  # a gap
    outcomes = imported(tmp_path).outcomes
    assert sorted(outcome.state for outcome in outcomes) == ["failed", "written"]
    (failed,) = (outcome for outcome in outcomes if outcome.state == "failed")
    assert "series 3 cannot be read: 4 gaps" in failed.problems[0]


def test_a_person_chooses_where_rules_do_not(tmp_path: Path, plain: Series) -> None:
    plain.write()
    later = another(plain, "nativ", hu=plain.hu + 1)
    later.changes = later.changes | {"FrameOfReferenceUID": generate_uid()}
    later.write()
    (outcome,) = imported(tmp_path).outcomes
    assert outcome.state == "undecided"
    assert not (tmp_path / "out" / "scans").exists()
    (wanted,) = (one for one in outcome.series if one.name == "4")
    choice = Wanted({(outcome.case_id, wanted.series_id): "ncct"})
    (outcome,) = imported(tmp_path, wanted=choice).outcomes
    assert [one.by for one in outcome.series if one.chosen] == ["person"]
    (outcome,) = imported(tmp_path, wanted=Wanted(series=frozenset({plain.uid}))).outcomes
    assert {one.name: one.chosen for one in outcome.series}["3"] == "ncct"


def test_studies_within_archives_are_imported(tmp_path: Path, plain: Series) -> None:
    folder = plain.write()
    (tmp_path / "export2").mkdir()
    with zipfile.ZipFile(tmp_path / "export2" / "x.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"../{path.name}")
    shutil.rmtree(tmp_path / "export")
    (tmp_path / "export2").rename(tmp_path / "export")
    (outcome,) = imported(tmp_path).outcomes
    assert outcome.state == "written"
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "index.sqlite", "passed_over.csv"]  # fmt: skip


def test_a_head_in_two_series_is_one_scan(tmp_path: Path, plain: Series) -> None:
    whole, half = plain.hu, 18
    upper = plain.affine.copy()
    upper[:3, 3] += upper[:3, 2] * half
    replace(plain, hu=whole[..., :half]).write()
    another(plain, "nativ", hu=whole[..., half:], affine=upper).write()
    (outcome,) = imported(tmp_path).outcomes
    assert outcome.state == "written"
    assert {one.name: one.chosen for one in outcome.series}["3+4"] == "ncct"
    written = nib.load(tmp_path / "out" / outcome.ncct)
    assert np.array_equal(written.get_fdata(), np.rint(whole[::-1, ::-1]))


def test_headers_alone_can_choose(tmp_path: Path, plain: Series, monkeypatch) -> None:
    plain.write()
    monkeypatch.setattr("lvo_kedro.studies.scans.extract_brain", None)
    (outcome,) = imported(tmp_path).outcomes
    assert outcome.state == "written"


def run(tmp_path: Path, *more: str) -> Result:
    command = [str(tmp_path / "export"), "--out", str(tmp_path / "data" / "01_raw")]
    command += ["--secret", str(tmp_path / "private" / "secret"), "--headers-only"]
    return CliRunner().invoke(import_command, [*command, *more])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(f"accession,finding\n{ACCESSION},linke MCA M1\nACC-1,no LVO\n")
    return path


def test_the_command_makes_a_valid_cohort_without_names(
    tmp_path: Path, plain: Series, labels: Path
) -> None:
    plain.write()
    links = tmp_path / "private" / "links.csv"
    done = run(tmp_path, "--labels", str(labels), "--link-table", str(links))
    assert done.exit_code == 0, done.output
    raw = tmp_path / "data" / "01_raw"
    table = pd.read_csv(raw / "cases.csv", dtype=str, keep_default_na=False)
    (case,) = validate_cohort(table, raw).to_dict("records")
    assert (case["lvo"], case["side"], case["segment"]) == (1, "left", "M1")
    assert (case["manufacturer"], case["kernel"], case["split"]) == (
        "Siemens",
        "H31s",
        "development",
    )
    assert "row 3, accession" in done.output
    secrets = [PATIENT_NAME, PATIENT_ID, ACCESSION, plain.study, plain.uid, "20240305"]
    assert find_leaks(tmp_path / "data", secrets) == []
    assert not [secret for secret in secrets if secret in done.output]
    assert find_leaks(tmp_path / "private", [ACCESSION])  # the way back is there
    assert case["case_id"] in links.read_text()
    assert (raw / "import" / "import.html").is_file()


def test_the_command_says_by_its_status_that_a_person_must_decide(
    tmp_path: Path, plain: Series, labels: Path
) -> None:
    plain.write()
    other = another(plain, "nativ", hu=plain.hu + 1)
    other.changes = other.changes | {"FrameOfReferenceUID": generate_uid()}
    other.write()
    done = run(tmp_path, "--labels", str(labels))
    assert done.exit_code == 1
    assert "1 studies wait for you" in done.output
    path = tmp_path / "data" / "01_raw" / "import" / "choices.csv"
    choices = pd.read_csv(path, dtype=str, keep_default_na=False)
    choices["person"] = ["ncct", ""]
    choices.to_csv(path, index=False)
    for _ in range(2):  # the choice stays
        done = run(tmp_path, "--labels", str(labels))
        assert done.exit_code == 0, done.output
    assert (tmp_path / "data" / "01_raw" / "cases.csv").is_file()
    choices["person"] = ["yes", ""]
    choices.to_csv(path, index=False)
    assert "another word than" in run(tmp_path).output


def test_an_import_adds_to_the_cohort_that_is_there(
    tmp_path: Path, plain: Series, labels: Path
) -> None:
    plain.write()
    raw = tmp_path / "data" / "01_raw"
    raw.mkdir(parents=True)
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), raw / "old.nii")
    (raw / "cases.csv").write_text(
        "case_id,patient_id,ncct,split,lvo,side,segment,site\nold,p,old.nii,external,0,,,north\n"
    )
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    table = pd.read_csv(raw / "cases.csv", dtype=str, keep_default_na=False)
    assert list(table["site"]) == ["north", ""]
    assert len(table) == 2


def test_what_a_person_changed_in_the_table_stays(
    tmp_path: Path, plain: Series, labels: Path
) -> None:
    folder = plain.write()
    raw = tmp_path / "data" / "01_raw"
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    table = pd.read_csv(raw / "cases.csv", dtype=str, keep_default_na=False)
    shutil.copy(raw / table.at[0, "ncct"], raw / "drawn.nii.gz")
    table = table.assign(segment="M2", vessel_labels="drawn.nii.gz")
    table.to_csv(raw / "cases.csv", index=False)
    labels.write_text(f"accession,finding,nihss\n{ACCESSION},linke MCA M1,12\n")
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    (row,) = pd.read_csv(raw / "cases.csv", dtype=str).to_dict("records")
    assert (row["segment"], row["vessel_labels"], row["nihss"]) == ("M2", "drawn.nii.gz", "12")
    for path in folder.iterdir():  # a study that fails later keeps its row
        path.write_bytes(path.read_bytes()[:300])
    again = run(tmp_path, "--labels", str(labels))
    assert len(pd.read_csv(raw / "cases.csv")) == 1, again.output


def test_another_secret_gives_other_names_and_choices_of_other_exports_stay(
    tmp_path: Path, plain: Series, labels: Path
) -> None:
    plain.write()
    raw = tmp_path / "data" / "01_raw"
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    path = raw / "import" / "choices.csv"
    choices = pd.read_csv(path, dtype=str, keep_default_na=False)
    case = choices.at[0, "case_id"]
    other = choices.iloc[:1].assign(case_id="elsewhere", series_id="ser-1", person="ncct")
    pd.concat([choices, other]).to_csv(path, index=False)
    (tmp_path / "private" / "secret").unlink()
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    choices = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert case not in set(choices["case_id"])
    assert list(choices.loc[choices["case_id"] == "elsewhere", "person"]) == ["ncct"]


def test_without_labels_the_cohort_stays(tmp_path: Path, plain: Series, labels: Path) -> None:
    plain.write()
    assert run(tmp_path, "--labels", str(labels)).exit_code == 0
    before = (tmp_path / "data" / "01_raw" / "cases.csv").read_bytes()
    done = run(tmp_path)
    assert done.exit_code == 0
    assert "1 cases in" in done.output
    assert (tmp_path / "data" / "01_raw" / "cases.csv").read_bytes() == before


def test_a_file_that_goes_while_it_is_read_fails_its_study_alone(
    tmp_path: Path, plain: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.write()
    original = ScanReader.unpack

    def gone(self: ScanReader, candidate: object, folder: Path) -> list[Path]:
        paths = original(self, candidate, folder)
        paths[3].unlink()
        return paths

    monkeypatch.setattr(ScanReader, "unpack", gone)
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "a file that cannot be read any more" in done.output
    assert PATIENT_NAME not in done.output


def test_a_full_disk_ends_the_import_in_plain_words(
    tmp_path: Path, plain: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.write()

    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("lvo_kedro.studies.importing.write_scan", full)
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "no space is left" in done.output


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--series", "1.2.3"), "1 series named with --series"),
        (("--mapping", __file__), "--labels, which is missing"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, plain: Series, more: tuple[str, ...], words: str
) -> None:
    plain.hu = plain.hu[..., :4]
    plain.write()
    done = run(tmp_path, *more)
    assert done.exit_code != 0
    assert words in done.output


def test_the_secret_may_not_lie_in_the_data_folder(tmp_path: Path, plain: Series) -> None:
    plain.hu = plain.hu[..., :4]
    plain.write()
    done = run(tmp_path, "--secret", str(tmp_path / "data" / "secret"))
    assert done.exit_code == 1
    assert "inside the data folder" in done.output


def test_nothing_is_left_of_an_index_that_is_to_be_forgotten(tmp_path: Path, plain: Series) -> None:
    plain.hu = plain.hu[..., :4]
    plain.write()
    assert run(tmp_path, "--forget").exit_code == 0
    assert list((tmp_path / "private" / "imports").iterdir()) == []


@pytest.mark.shared
def test_a_real_series_is_imported(tmp_path: Path, shared: Path) -> None:
    real = shared / "data" / "ncct_ge_hispeed_dicom"
    result = import_studies([real], tmp_path / "out", tmp_path / "work", NAMES, options=HEADERS)
    (outcome,) = result.outcomes
    assert outcome.state == "written"
    written = nib.load(tmp_path / "out" / outcome.ncct)
    assert np.abs(written.get_fdata() - read_ncct(real).get_fdata()).max() <= 0.5

"""A file's name may be a patient's: it leaves the disk neither by a table nor by the log."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.evaluation import list_exclusions
from lvo_kedro.imaging import BrainOptions, QualityLimits, ScanLimits
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.pipelines.preprocessing.nodes import preprocess_scans
from lvo_kedro.stages import align_annotations, failures
from tests.imaging.phantoms import Series

NAME = "Smith^John 4711"
SECRETS = ("Smith", "John", "4711")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder that has the patient's name, as all that is put into it."""
    folder = tmp_path / "raw" / NAME
    folder.mkdir(parents=True)
    return folder


def cut(path: Path) -> Path:
    """Keep the first half of a file, as a broken copy would."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def drop_slope(k: int, dataset: pydicom.Dataset) -> None:
    if k == 5:
        del dataset.RescaleSlope


def same_place(k: int, dataset: pydicom.Dataset) -> None:
    if k == 20:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z - 4]


def broken_scans(raw: Path, head: nib.Nifti1Image, series: Series) -> dict[str, Path]:
    """Every kind of file or folder that cannot be read, by the word that its error must have."""

    def folder(kind: str, change=None, **changes) -> list[Path]:
        own = replace(series, folder=raw / f"{NAME} {kind}", changes={"SeriesDescription": NAME})
        written = sorted(replace(own, **changes).write(change).iterdir())
        return [path.rename(path.with_name(f"{NAME} {n}")) for n, path in enumerate(written)]

    nib.save(head, raw / f"{NAME}.nii.gz")
    (raw / f"{NAME}.nii").touch()
    (raw / f"{NAME}.png").write_text(NAME)
    (raw / f"{NAME} 2.nii").write_text(NAME)
    (raw / "letters").mkdir()
    (raw / "letters" / f"{NAME}.txt").write_text(NAME)
    folder("gap")[10].unlink()
    cut(folder("slice")[7])
    folder("slope", drop_slope)
    folder("place", same_place)
    folder("scouts", kinds=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    return {
        "damaged": cut(raw / f"{NAME}.nii.gz"),
        "empty file": raw / f"{NAME}.nii",
        "neither .nii": raw / f"{NAME}.png",
        "not NIfTI": raw / f"{NAME} 2.nii",
        "no file": raw / f"{NAME} 3.nii",
        "no DICOM image": raw / "letters",
        "a gap of": raw / f"{NAME} gap",
        "truncated DICOM file": raw / f"{NAME} slice",
        "no RescaleSlope": raw / f"{NAME} slope",
        "at one position": raw / f"{NAME} place",
        "localizer": raw / f"{NAME} scouts",
    }


def take(path: Path) -> dict[str, nib.Nifti1Image]:
    return {"ncct": nib.load(path)}


def succeed() -> dict[str, object]:
    return {}


def compute(tasks: dict, folder: Path) -> CaseDataset:
    """Run the tasks beside one that succeeds: where all fail, the run would end."""
    files = {"ncct.nii.gz": "lvo_kedro.datasets.NiftiDataset"}
    dataset = CaseDataset(path=str(folder), files=files)
    dataset.save(tasks | {"fine": succeed})
    return dataset


def shown(folder: Path, failed: dict[str, str], caplog: pytest.LogCaptureFixture) -> str:
    """Return all that is said about failed cases: error table, records of the cases, log."""
    records = [path.read_text() for path in folder.rglob("case.json")]
    cohort = pd.DataFrame({"case_id": list(failed), "split": "external"})
    cases = CaseDataset(path=str(folder), files={}).load()
    exclusions = list_exclusions(cohort, [failures(scans=cases)])
    assert set(exclusions["case_id"]) == set(failed)
    return "\n".join([exclusions.to_csv(), *records, caplog.text])


def assert_no_name(text: str) -> None:
    assert not [secret for secret in SECRETS if secret.lower() in text.lower()], text


def test_a_scan_that_fails_is_told_by_its_case_and_not_by_its_file(
    raw, head, series, tmp_path, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    scans = broken_scans(raw, head, series)
    cases = {f"case-{n}": word for n, word in enumerate(scans)}
    cohort = pd.DataFrame({"case_id": list(cases), "ncct": map(str, scans.values())})
    tasks = preprocess_scans(
        cohort.assign(brain_mask=""), ScanLimits(), BrainOptions(), QualityLimits()
    )
    failed = compute(tasks, tmp_path / "scans").load().failed
    assert_no_name(shown(tmp_path / "scans", failed, caplog))
    for case, word in cases.items():
        assert word in failed[case]
        assert f"case {case} failed: found" in caplog.text


@pytest.mark.parametrize("column", ["vessel_labels", "occlusion_mask"])
def test_an_annotation_that_fails_is_told_by_its_column(
    raw, head, tmp_path, caplog, column
) -> None:
    caplog.set_level(logging.DEBUG)
    data = np.zeros(head.shape, np.uint8)
    data[40:50, 40:50, 20:25] = 99
    away = head.affine.copy()
    away[0, 3] += 500
    images = {
        "case-value": make_image(data, head.affine),
        "case-nothing": make_image(data * 0, head.affine),
        "case-away": make_image(data // 99, away),
        "case-cut": make_image(data, head.affine),
    }
    for case, image in images.items():
        nib.save(image, raw / f"{NAME} {case}.nii.gz")
    cut(raw / f"{NAME} case-cut.nii.gz")
    cohort = pd.DataFrame({"case_id": list(images), "side": "left"})
    cohort[["vessel_labels", "occlusion_mask"]] = ""
    cohort[column] = [str(raw / f"{NAME} {case}.nii.gz") for case in images]
    nib.save(head, tmp_path / "head.nii")
    scans = compute({case: partial(take, tmp_path / "head.nii") for case in images}, tmp_path / "s")
    failed = (
        compute(align_annotations(cohort, scans.load(), column), tmp_path / "labels").load().failed
    )
    assert set(failed) == set(images)
    assert all(column in error for error in failed.values())
    assert_no_name(shown(tmp_path / "labels", failed, caplog))


def open_file(path: Path) -> dict[str, object]:
    return {"ncct": path.read_bytes()}


def open_inside(folder: Path) -> dict[str, object]:
    return {"ncct": (folder / "letters" / f"{NAME} gone").read_bytes()}


def quote(paths: dict[str, list[Path]]) -> dict[str, object]:
    path = paths["scan"][0]
    raise RuntimeError(f"{path.name} of {path.parent.name} ({path}): 12 of 47 voxels differ")


def test_an_error_that_nobody_foresaw_is_told_without_the_names_of_the_files(
    raw, tmp_path, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    (raw / f"{NAME}.txt").write_text(NAME)
    tasks = {
        "case-absent": partial(open_file, raw / f"{NAME} gone.nii"),
        "case-folder": partial(open_file, raw),
        "case-inside": partial(open_inside, raw),
        "case-quote": partial(quote, {"scan": [raw / f"{NAME}.txt"]}),
    }
    failed = compute(tasks, tmp_path / "scans").load().failed
    assert_no_name(shown(tmp_path / "scans", failed, caplog))
    assert "FileNotFoundError: [Errno 2] No such file" in failed["case-absent"]
    assert "IsADirectoryError" in failed["case-folder"]
    assert "12 of 47 voxels differ" in failed["case-quote"]

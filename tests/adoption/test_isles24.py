"""ISLES'24's layout in both generations, its quirks, and the cohort that becomes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from lvo_kedro.adopted_cohort import Adopted
from lvo_kedro.adoption import ADAPTERS, AdoptionError
from lvo_kedro.adoption.isles24_phenotype import read_baseline, read_workbook
from lvo_kedro.cohort import validate_cohort
from lvo_kedro.errors import TableError
from lvo_kedro.imaging import read_ncct
from tests.adoption.conftest import Folder

Result = tuple[Path, Adopted]
OPTIONS = ADAPTERS["isles24"].options()


def rows(result: Adopted) -> pd.DataFrame:
    return result.derivations.set_index("source_id")


def contents(root: Path) -> dict[str, tuple[int, int, int]]:
    stats = {str(path): path.stat() for path in sorted(root.rglob("*")) if path.is_file()}
    return {path: (s.st_size, s.st_mtime_ns, s.st_nlink) for path, s in stats.items()}


def test_the_cohort_is_valid_and_its_files_are_there(adopted: Result) -> None:
    out, result = adopted
    table = pd.read_csv(out / "cases.csv", dtype=str, keep_default_na=False)
    cohort = validate_cohort(table, out)
    assert len(cohort) == 8 and set(result.failed) == {"sub-stroke0010"}
    assert (cohort["lvo"] == 1).all() and (cohort["simulated"] == "yes").all()
    for ncct, cta in zip(cohort["ncct"], cohort["cta"], strict=True):
        assert read_ncct(ncct).ndim == 3
        assert float(nib.load(cta).get_fdata().max()) > 200  # contrast


def test_every_side_that_is_named_is_the_patients(adopted: Result, newer: Folder) -> None:
    named = rows(adopted[1]).join(newer.truth.set_index("subject"), rsuffix="_true")
    told = named[named["side"].isin(["left", "right"])]
    assert len(told) == 5
    assert (told["side"] == told["side_true"]).all()


def test_no_segment_that_is_named_is_wrong_and_far_ones_are_not_named(
    adopted: Result, newer: Folder
) -> None:
    named = rows(adopted[1]).join(newer.truth.set_index("subject"), rsuffix="_true")
    told = named[named["segment"].isin(["C7", "M1", "M2"])]
    assert (told["segment"] == told["segment_true"]).all()
    assert named.at["sub-stroke0004", "rule"] == "far from arteries"
    assert named.at["sub-stroke0004", "side"] == "left"
    assert float(named.at["sub-stroke0004", "distance_mm"]) > OPTIONS.nearest_mm


def test_markers_that_tell_nothing_leave_side_and_segment_unknown(adopted: Result) -> None:
    named = rows(adopted[1])
    for subject, rule in (
        ("sub-stroke0006", "empty marker"),
        ("sub-stroke0007", "no marker"),
        ("sub-stroke0009", "no marker"),
    ):
        row = named.loc[subject]
        assert (row["side"], row["segment"], row["rule"]) == ("unknown", "unknown", rule)
        assert "no marker tells the side" in row["review_by_eye"]
    assert "the scan has" in named.at["sub-stroke0007", "missing"]
    assert "lvo-msk" in named.at["sub-stroke0009", "missing"]


def test_what_is_missing_is_said(adopted: Result) -> None:
    named = rows(adopted[1])
    assert "label of the right MCA" in named.at["sub-stroke0003", "missing"]
    assert named.at["sub-stroke0003", "segment"] == "unknown"
    assert "cow-msk" in named.at["sub-stroke0008", "missing"]
    assert named.at["sub-stroke0008", "rule"] == "side by midline"
    assert "phenotype" in named.at["sub-stroke0009", "missing"]
    assert "found doubtful" in named.at["sub-stroke0003", "review_by_eye"]
    assert named.at["sub-stroke0010", "rule"] == "failed"
    assert "ncct" in named.at["sub-stroke0010", "reason"]


def test_masks_are_taken_by_what_they_are_and_strays_are_not(
    adopted: Result, newer: Folder
) -> None:
    out, result = adopted
    infarct = result.table.set_index("case_id")["infarct"]
    assert infarct["isles24-0008"].endswith("infarct.nii")  # uncompressed in the archive
    assert infarct["isles24-0009"].endswith("infarct.nii")  # uncompressed, named .nii.gz there
    assert infarct["isles24-0001"].endswith("infarct.nii.gz")
    assert all(nib.load(out / path).shape for path in infarct)
    archive = ADAPTERS["isles24"].find(newer.root, OPTIONS)
    assert [note for note in archive.notes if "sub-stroke0010_ses-02_lesion-msk.nii" in note]


def test_centres_are_splits_and_sites(adopted: Result, newer: Folder, tmp_path: Path) -> None:
    table = adopted[1].table.set_index("case_id")
    assert (
        table.at["isles24-0002", "split"] == "external" and table.at["isles24-0002", "site"] == "2"
    )
    assert table.at["isles24-0001", "split"] == "development"
    assert table.at["isles24-0007", "split"] == "development"  # centre 3
    assert table.at["isles24-0009", "split"] == "development"  # no table
    swapped = newer.adopt(tmp_path, development=["2"], external=["1"], otherwise="external")
    table = swapped.table.set_index("case_id")
    assert table.at["isles24-0002", "split"] == "development"
    assert table.at["isles24-0009", "split"] == "external"


def test_clinical_data_are_carried(adopted: Result, newer: Folder) -> None:
    table, truth = adopted[1].table.set_index("case_id"), newer.truth.set_index("subject")
    row, true = table.loc["isles24-0001"], truth.loc["sub-stroke0001"]
    assert (row["age"], row["nihss"]) == (str(true["age"]), str(true["NIHSS at admission"]))
    assert row["sex"] == {"F": "female", "M": "male"}[true["Sex"]]


def test_older_names_and_a_workbook(older: Folder, tmp_path: Path) -> None:
    adapter = ADAPTERS["isles24"]
    assert "sub-strokecase" in adapter.find(older.root, OPTIONS).version
    result = older.adopt(tmp_path)
    table = result.table.set_index("case_id")
    assert list(table.index) == ["isles24-0002", "isles24-0005"] and not result.failed
    assert list(table["side"]) == ["right", "left"]
    assert table.at["isles24-0002", "split"] == "external"
    assert table.at["isles24-0002", "infarct"]  # its session is named in two ways
    assert table.at["isles24-0005", "age"] == str(older.truth["age"][1])


def test_the_archive_stays_as_it_is_and_nothing_is_done_twice(
    older: Folder, tmp_path: Path
) -> None:
    before = contents(older.root)
    older.adopt(tmp_path)
    written = contents(tmp_path / "cases")
    assert older.adopt(tmp_path).kept == 2
    assert contents(tmp_path / "cases") == written
    assert contents(older.root) == before
    (tmp_path / "cases" / "isles24-0002" / "adopted.json").write_text("{", encoding="utf-8")
    (tmp_path / "cases" / "isles24-0005" / "ncct.nii.gz").unlink()
    assert older.adopt(tmp_path).kept == 0
    assert older.adopt(tmp_path, m1_mm=20).kept == 0


def test_what_a_person_changed_stays(older: Folder, tmp_path: Path) -> None:
    older.adopt(tmp_path)
    table = pd.read_csv(tmp_path / "cases.csv", dtype=str, keep_default_na=False)
    other = table.iloc[[1]].assign(case_id="own-1", patient_id="own-1", source="", ncct="own.nii")
    shutil.copy(tmp_path / table.at[1, "ncct"], tmp_path / "own.nii")
    table.loc[0, "side"] = "left"
    table["vessel_labels"] = [table.at[0, "ncct"], ""]
    pd.concat([other, table]).to_csv(tmp_path / "cases.csv", index=False)
    for again in (older.adopt(tmp_path), older.adopt(tmp_path, m1_mm=20)):
        rows = again.table.fillna("").set_index("case_id")
        assert set(rows.index) == {"own-1", "isles24-0002", "isles24-0005"}
        assert rows.at["isles24-0002", "side"] == "left"
        assert rows.at["isles24-0002", "vessel_labels"]
        assert again.changed_by_hand == ("isles24-0002",)


def test_a_damaged_subject_ends_nothing_but_itself(older: Folder, tmp_path: Path) -> None:
    root = Path(shutil.copytree(older.root, tmp_path / "archive"))
    scan = next(root.rglob("*0002*_ncct.nii.gz"))
    scan.write_bytes(scan.read_bytes()[:500])
    marker = next(root.rglob("*0005*_lvo-msk.nii.gz"))
    marker.write_bytes(b"no image")
    result = Folder(root, older.truth).adopt(tmp_path / "out")
    assert list(result.table["case_id"]) == ["isles24-0005"]
    assert "truncated or damaged" in result.failed["sub-stroke0002"]
    assert rows(result).at["sub-stroke0005", "rule"] == "no marker"
    assert "lvo-msk (a file" in rows(result).at["sub-stroke0005", "missing"]
    scan.unlink()
    shutil.copy(next(older.root.rglob("*0002*_ncct.nii.gz")), scan)
    again = Folder(root, older.truth).adopt(tmp_path / "out")
    assert len(again.table) == 2 and again.kept == 1 and not again.failed
    table = again.table.assign(side="left")  # somebody looked, and then the file was damaged again
    table.to_csv(tmp_path / "out" / "cases.csv", index=False)
    scan.write_bytes(scan.read_bytes()[:500])
    worse = Folder(root, older.truth).adopt(tmp_path / "out")
    assert set(worse.failed) == {"sub-stroke0002"}
    (tmp_path / "out" / "source.json").write_text("{", encoding="utf-8")
    assert worse.table.set_index("case_id").at["isles24-0002", "side"] == "left"
    with pytest.raises(TableError, match="move it away"):
        Folder(root, older.truth).adopt(tmp_path / "out")


def test_a_folder_of_the_same_cases_of_another_source_is_left_alone(
    older: Folder, tmp_path: Path
) -> None:
    older.adopt(tmp_path)
    real = Path(shutil.copytree(older.root, tmp_path / "archive"))
    next(real.rglob("SIMULATED.txt")).unlink()
    before = contents(tmp_path / "cases")
    with pytest.raises(AdoptionError, match="give another folder"):
        Folder(real, older.truth).adopt(tmp_path)
    assert contents(tmp_path / "cases") == before


def test_a_simulated_folder_is_never_called_isles(adopted: Result) -> None:
    out, result = adopted
    told = json.loads((out / "source.json").read_text(encoding="utf-8"))
    assert set(told) == {"isles24-simulated"} == set(result.table["source"])
    assert "holds no data of" in told["isles24-simulated"]["attribution"]


def with_files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


RAW = "raw_data/sub-stroke0001/ses-01/sub-stroke0001_ses-01_ncct.nii.gz"
MADE = "derivatives/sub-stroke0001/ses-01/sub-stroke0001_ses-01_space-ncct"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("readme.txt",), "a folder that holds readme.txt"),
        ((RAW,), "raw_data without derivatives"),
        ((f"{MADE}_lvo-msk.nii.gz",), "derivatives without raw_data"),
        ((RAW, f"{MADE}_cta.nii.gz"), "without any space-ncct_lvo-msk"),
        (
            (
                "rawdata/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_dwi.nii.gz",
                "derivatives/sub-strokecase0001/ses-0001/sub-strokecase0001_ses-0001_msk.nii.gz",
            ),
            "ISLES'22",
        ),
    ],
)
def test_another_version_is_named(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    with pytest.raises(AdoptionError, match=r"expected .*(raw_data|lvo-msk)") as caught:
        ADAPTERS["isles24"].find(with_files(tmp_path, *files), OPTIONS)
    assert said in str(caught.value)


def test_columns_of_other_times_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("AGE;Gender;NIHSS 24h;Centre\n71,5;w;3;2\n", encoding="utf-8")
    assert read_baseline(path) == {"age": "71.5", "sex": "female", "center": "2"}
    for text in ("age,sex,nihss at admission\n190,x,\n", "age,sex,nihss\n,,\n"):
        path.write_text(text, encoding="utf-8")
        assert read_baseline(path) == {}


def test_a_workbook_that_describes_columns_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "clinical_data-description.xlsx"
    pd.DataFrame({"Variable": ["age", "sex"], "Meaning": ["years", "M or F"]}).to_excel(
        path, index=False
    )
    assert read_workbook(path) == {}
    pd.DataFrame({"ID": ["stroke0007"], "Age": [np.int64(60)]}).to_excel(path, index=False)
    assert read_workbook(path) == {"sub-stroke0007": {"age": "60"}}

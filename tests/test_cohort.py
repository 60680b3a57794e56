"""The cohort table is checked as a whole; patients never lie in two folds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lvo_kedro.cohort import (
    CohortError,
    FoldOptions,
    assign_folds,
    fold_of_cases,
    list_new_scans,
    shuffle_labels,
    splits_of_cases,
    validate_cohort,
)
from lvo_kedro.errors import TableError

GOOD = {
    "case_id": "a1",
    "patient_id": "p1",
    "ncct": "scans/a1.nii.gz",
    "split": "development",
    "lvo": "1",
    "side": "left",
    "segment": "M1",
    "vessel_labels": "",
    "age": "71",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scans" / "series").mkdir(parents=True)
    for name in ("a1", "a2", "a3"):
        (tmp_path / "scans" / f"{name}.nii.gz").touch()
    (tmp_path.parent / "outside.nii.gz").touch()
    return tmp_path


def table(*changes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame([GOOD | change for change in changes])


def test_a_good_table_comes_back_typed(folder):
    second = {"case_id": "a2", "patient_id": "p2", "ncct": "scans/series"}
    open_vessel = second | {"lvo": "0", "side": "", "segment": "", "age": ""}
    cohort = validate_cohort(table({}, open_vessel), folder)
    assert cohort["lvo"].tolist() == [1, 0]
    assert cohort["ncct"].tolist() == [
        str(folder / "scans/a1.nii.gz"),
        str(folder / "scans/series"),
    ]
    assert cohort["vessel_labels"].tolist() == ["", ""]
    assert cohort["age"].isna().tolist() == [False, True]
    assert cohort["occlusion_mask"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("change", "column", "rule"),
    [
        ({"case_id": "../a"}, "case_id", "letters, digits"),
        ({"case_id": ""}, "case_id", "letters, digits"),
        ({"patient_id": "a/b"}, "patient_id", "letters, digits"),
        ({"segment": "M3"}, "segment", "one of"),
        ({"side": "Left"}, "side", "one of"),
        ({"split": "train"}, "split", "one of development, external"),
        ({"lvo": "yes"}, "lvo", "one of 0, 1"),
        ({"side": ""}, "side", "has a side"),
        ({"segment": ""}, "segment", "has a segment"),
        ({"lvo": "0", "segment": ""}, "side", "empty where lvo = 0"),
        ({"ncct": ""}, "ncct", "every case has a scan"),
        ({"ncct": "scans/a9.nii.gz"}, "ncct", "no such file"),
        ({"ncct": "../outside.nii.gz"}, "ncct", "does not leave it"),
        ({"ncct": "/etc/passwd"}, "ncct", "does not leave it"),
        ({"vessel_labels": "scans/series"}, "vessel_labels", "a NIfTI file"),
        ({"age": "old"}, "age", "a number from 0 to 120"),
        ({"age": "171"}, "age", "a number from 0 to 120"),
    ],
)
def test_each_rule_names_row_column_and_value(folder, change, column, rule):
    with pytest.raises(CohortError) as caught:
        validate_cohort(table(change), folder)
    problem = caught.value.problems[0]
    assert (problem.row, problem.column, problem.value) == (2, column, change.get(column, "left"))
    assert rule in problem.rule


def test_all_problems_are_listed_at_once(folder):
    rows = table(
        {"segment": "M3"},
        {"case_id": "A1", "ncct": "scans/a2.nii.gz"},
        {"case_id": "a3", "ncct": "scans/a1.nii.gz", "split": "external", "age": "-1"},
    )
    with pytest.raises(CohortError) as caught:
        validate_cohort(rows, folder)
    found = [(p.row, p.column) for p in caught.value.problems]
    assert found == [(2, "segment"), (3, "case_id"), (4, "age"), (4, "ncct"), (4, "patient_id")]
    assert "row 3, case_id = 'A1': unique; row 2 has it already" in str(caught.value)


@pytest.mark.parametrize("path", ["./scans/a1.nii.gz", "scans/series/../a1.nii.gz", "link.nii.gz"])
def test_one_scan_under_two_names_is_one_scan(folder, path):
    (folder / "link.nii.gz").symlink_to(folder / "scans" / "a1.nii.gz")
    with pytest.raises(CohortError, match="one row per scan; row 2 has it already"):
        validate_cohort(table({}, {"case_id": "a2", "patient_id": "p2", "ncct": path}), folder)


def test_a_table_with_another_separator_says_what_was_read(folder):
    joined = pd.DataFrame({";".join(GOOD): [";".join(GOOD.values())]})
    with pytest.raises(CohortError, match="there are: case_id;patient_id;ncct"):
        validate_cohort(joined, folder)


def test_a_column_named_twice(folder):
    twice = table({})
    twice.columns = [*[*GOOD][:-1], "side"]
    with pytest.raises(CohortError, match=r"row 1, side.*a name of its own"):
        validate_cohort(twice, folder)


def test_a_missing_column_and_an_empty_table(folder):
    with pytest.raises(CohortError, match="'': this column is required"):
        validate_cohort(table({}).drop(columns="split"), folder)
    with pytest.raises(CohortError, match="the table has no case"):
        validate_cohort(table({}).iloc[:0], folder)


def cohort_of(patients: int, external: int = 4) -> pd.DataFrame:
    segments = ("M1", "M2", "C7", "C7+M1", "M1+M2")
    rows = []
    for n in range(patients + external):
        lvo = n % 2
        row = {"patient_id": f"p{n:03}", "lvo": lvo, "segment": segments[n % 5] if lvo else ""}
        row |= {"site": "ab"[n % 3 == 0], "split": "development" if n < patients else "external"}
        rows += [row | {"case_id": f"c{n:03}-{scan}"} for scan in range(1 + (n % 4 == 0))]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_folds_hold_whole_patients_and_the_share_of_occlusions(count):
    cohort = cohort_of(40)
    table = assign_folds(cohort, FoldOptions(count=count))
    assert table.drop(columns="fold").equals(cohort)
    development = table["split"] == "development"
    assert table.loc[~development, "fold"].isna().all()
    folds = table[development].groupby("patient_id")["fold"]
    assert (folds.nunique(dropna=False) == 1).all()
    patients = table[development].drop_duplicates("patient_id")
    shares = patients.groupby("fold")["lvo"].mean()
    assert list(shares.index) == list(range(count))
    assert shares.between(0.35, 0.65).all()
    again = assign_folds(cohort.sample(frac=1, random_state=1), FoldOptions(count=count))
    assert again.sort_index().equals(table)


def test_a_table_with_folds_of_its_own_is_refused():
    with pytest.raises(TableError, match="a column 'fold'"):
        assign_folds(cohort_of(40).assign(fold=0), FoldOptions())


def test_no_case_is_held_out_by_a_fold_that_trained_on_its_patient():
    cohort = assign_folds(cohort_of(20), FoldOptions(count=3))
    patient = cohort.set_index("case_id")["patient_id"]
    held_out = fold_of_cases(cohort)
    splits = splits_of_cases(cohort, list(cohort["case_id"]))
    assert len(splits) == 3
    for fold, split in enumerate(splits):
        assert set(patient[split["train"]]).isdisjoint(patient[split["val"]])
        assert all(held_out[case] == fold for case in split["val"])
        assert sorted(split["train"] + split["val"]) == sorted(held_out)


def test_too_few_patients_for_the_folds():
    with pytest.raises(TableError, match="3 development patients with an occlusion"):
        assign_folds(cohort_of(6), FoldOptions(count=4))


def test_shuffled_labels_keep_each_folds_share_and_tell_nothing():
    cohort = assign_folds(cohort_of(40).assign(side=""), FoldOptions(count=4))
    shuffled = shuffle_labels(cohort, seed=1)
    fold = cohort["fold"].fillna(-1)
    first = ~cohort["patient_id"].duplicated()
    kept = [table.loc[first, "lvo"].groupby(fold).sum().tolist() for table in (cohort, shuffled)]
    assert kept[0] == kept[1]
    assert shuffled.groupby("patient_id")["lvo"].nunique().max() == 1
    assert 0.3 < (shuffled["lvo"] == cohort["lvo"]).mean() < 0.7


def test_new_scans_get_ids_that_tell_nothing(tmp_path):
    paths = [str(tmp_path / name) for name in ("Smith^John.nii", "b.nii")]
    for number, path in enumerate(paths):
        Path(path).write_text(str(number))
    cohort = list_new_scans(paths)
    assert cohort["case_id"].str.fullmatch(r"scan-[0-9a-f]{10}").all()
    with pytest.raises(TableError, match="2 scans, 1 of them different"):
        list_new_scans(paths[:1] * 2)

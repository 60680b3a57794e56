"""The cohort table is checked as a whole; patients never lie in two folds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lvo_kedro.cohort import (
    CHOICES,
    CohortError,
    fold_of_cases,
    list_new_scans,
    shuffle_labels,
    splits_of_cases,
    validate_cohort,
)
from lvo_kedro.errors import TableError
from lvo_kedro.folds import FoldOptions, assign_folds, deal_folds
from lvo_kedro.studies.words import read_finding
from lvo_kedro.truth import in_detection_alone
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SIDES

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
        ({"lvo": "0", "segment": "other", "side": ""}, "segment", "empty where lvo = 0"),
        ({"segment": "C7+M2"}, "segment", "one of"),
        ({"segment": "both"}, "segment", "one of"),
        ({"side": "other"}, "side", "one of"),
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


NAMELESS = [
    ("left", "other"),
    ("right", "unknown"),
    ("both", "M1"),
    ("both", "other"),
    ("unknown", "C7+M1"),
    ("unknown", "unknown"),
]
"""Sides and segments of occlusions that stage 3 has no name for."""


@pytest.mark.parametrize(("side", "segment"), NAMELESS)
def test_an_occlusion_without_a_class_or_side_is_a_case_but_has_no_clot_to_learn_from(
    folder, side, segment
):
    case = {"side": side, "segment": segment}
    cohort = validate_cohort(table(case), folder)
    assert cohort[["lvo", "side", "segment"]].to_numpy().tolist() == [[1, side, segment]]
    with pytest.raises(CohortError) as caught:
        validate_cohort(table(case | {"occlusion_mask": "scans/a2.nii.gz"}), folder)
    (problem,) = caught.value.problems
    assert (problem.row, problem.column, problem.value) == (2, "occlusion_mask", "scans/a2.nii.gz")
    assert "one of its five classes on one side" in problem.rule
    validate_cohort(table({"occlusion_mask": "scans/a2.nii.gz"}), folder)  # left M1


def test_what_labels_from_a_hospital_are_read_as_is_a_word_of_the_table():
    for text in ("bilateral M1", "A2 links", "carotid T right", "basilar", "ICA", "C7 and M2 left"):
        finding = read_finding(text)
        assert finding.lvo == "1"
        assert finding.side in CHOICES["side"]
        assert finding.segment in CHOICES["segment"][1:]
    tandem = read_finding("right C7 and M2")
    assert (tandem.side, tandem.segment) == ("right", "other")


def test_which_occlusions_count_in_detection_alone():
    named = [(side, segment) for side in SIDES for segment in SEGMENT_CLASSES]
    every = pd.DataFrame([("", ""), *named, *NAMELESS], columns=["side", "segment"])
    alone = in_detection_alone(every)
    assert alone.tolist() == [False] * 11 + [True] * len(NAMELESS)


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


def divide(
    cohort: pd.DataFrame, options: FoldOptions, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    return assign_folds(cohort, deal_folds(cohort, options, known))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_folds_hold_whole_patients_and_the_share_of_occlusions(count):
    cohort = cohort_of(40)
    table = divide(cohort, FoldOptions(count=count))
    assert table.drop(columns="fold").equals(cohort)
    development = table["split"] == "development"
    assert table.loc[~development, "fold"].isna().all()
    folds = table[development].groupby("patient_id")["fold"]
    assert (folds.nunique(dropna=False) == 1).all()
    patients = table[development].drop_duplicates("patient_id")
    shares = patients.groupby("fold")["lvo"].mean()
    assert list(shares.index) == list(range(count))
    assert shares.between(0.35, 0.65).all()
    again = divide(cohort.sample(frac=1, random_state=1), FoldOptions(count=count))
    assert again.sort_index().equals(table)


def test_a_table_with_folds_of_its_own_is_refused():
    with pytest.raises(TableError, match="a column 'fold'"):
        divide(cohort_of(40).assign(fold=0), FoldOptions())


def test_no_case_is_held_out_by_a_fold_that_trained_on_its_patient():
    cohort = divide(cohort_of(20), FoldOptions(count=3))
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
        divide(cohort_of(6), FoldOptions(count=4))


@pytest.mark.parametrize(("lvo", "missing"), [(1, "without"), (0, "with")])
def test_a_development_split_of_one_class_says_what_to_do_with_it(lvo, missing):
    cohort = cohort_of(20)
    alone = cohort[cohort["lvo"] == lvo]
    with pytest.raises(TableError, match=f"none {missing} an occlusion") as caught:
        divide(alone, FoldOptions(count=4))
    assert "evaluated as split external, by models of a cohort that has both" in str(caught.value)


def test_occlusions_alone_are_divided_where_that_is_asked_for():
    options = FoldOptions(count=4, controls=False)
    cohort = cohort_of(20)
    alone = cohort[cohort["lvo"] == 1]
    held_out = fold_of_cases(divide(alone, options))
    assert set(held_out.values()) == {0, 1, 2, 3}
    with pytest.raises(TableError, match="none with an occlusion"):
        divide(cohort[cohort["lvo"] == 0], options)
    with pytest.raises(TableError, match="development patients without an occlusion"):
        divide(pd.concat([alone, cohort[cohort["lvo"] == 0].head(1)]), options)
    later = alone.head(1).assign(case_id="later", lvo=0, side="", segment="")
    with pytest.raises(TableError, match="where no development case is without one"):
        divide(pd.concat([alone, later]), options)


def test_the_same_table_again_has_the_same_folds_and_new_patients_leave_the_others_alone():
    options = FoldOptions(count=4)
    small, large = cohort_of(40), cohort_of(75)
    small = small[small["split"] == "development"]
    first = deal_folds(small, options)
    pd.testing.assert_frame_equal(deal_folds(small.iloc[::-1], options, first), first)
    second = deal_folds(large, options, first)
    old = second["patient_id"].isin(first["patient_id"])
    assert (second[old].set_index("patient_id") == first.set_index("patient_id")).all(axis=None)
    assert (~old).sum() == 35
    pd.testing.assert_frame_equal(deal_folds(large.iloc[::-1], options, first), second)
    table = assign_folds(large, second)
    patients = table[table["split"] == "development"].drop_duplicates("patient_id")
    for columns in (["lvo"], ["lvo", "segment"], ["lvo", "segment", "site"]):
        counts = patients.groupby(columns)["fold"].value_counts().unstack(fill_value=0)
        common = counts[counts.sum(axis=1) >= 4]
        # dealt at once, strata differ by one patient from fold to fold; twice, by as much again
        assert (common.max(axis=1) - common.min(axis=1) <= 2).all(), columns
    assert patients["fold"].value_counts().between(17, 20).all()


def test_patients_added_one_by_one_keep_the_folds_even():
    options, known = FoldOptions(count=4), None
    for patients in range(20, 60):
        cohort = cohort_of(patients, external=0)
        known = deal_folds(cohort, options, known)
    table = assign_folds(cohort, known).drop_duplicates("patient_id")
    counts = table.groupby("lvo")["fold"].value_counts().unstack()
    assert (counts.max(axis=1) - counts.min(axis=1) <= 2).all()


@pytest.mark.parametrize("other", [{"seed": 7}, {"count": 5}])
def test_another_seed_or_count_deals_all_anew_and_back_again(other):
    options = FoldOptions(count=4)
    first = deal_folds(cohort_of(40), options)
    grown = deal_folds(cohort_of(60), options, first)
    changed = options.model_copy(update=other)
    anew = deal_folds(cohort_of(60), changed, grown)
    pd.testing.assert_frame_equal(anew, deal_folds(cohort_of(60), changed))
    assert not anew["fold"].equals(grown["fold"])


def test_patients_who_left_lose_their_place():
    options = FoldOptions(count=4)
    first = deal_folds(cohort_of(40), options)
    second = deal_folds(cohort_of(30), options, first)
    assert second["patient_id"].tolist() == [f"p{n:03}" for n in range(30)]
    assert set(second.merge(first)["patient_id"]) == set(second["patient_id"])


def test_a_kept_division_that_leaves_a_fold_without_a_class_is_refused():
    options, cohort = FoldOptions(count=2), cohort_of(12)
    first = deal_folds(cohort, options)
    gone = set(first.loc[first["fold"] == 1, "patient_id"])
    rest = cohort[~(cohort["patient_id"].isin(gone) & (cohort["lvo"] == 1))]
    with pytest.raises(TableError, match=r"with an occlusion in fold 1.*folds\.csv"):
        deal_folds(rest, options, first)
    assert len(deal_folds(rest, options)) == len(set(rest["patient_id"])) - 4


@pytest.mark.parametrize(
    "change",
    [{"fold": 9}, {"patient_id": "p000"}, {"count": None}],
    ids=["fold", "twice", "column"],
)
def test_a_division_that_was_changed_by_hand_is_refused(change):
    options = FoldOptions(count=4)
    known = deal_folds(cohort_of(40), options)
    known = known.drop(columns="count") if "count" in change else known.assign(**change)
    with pytest.raises(TableError, match="changed by hand"):
        deal_folds(cohort_of(40), options, known)


def test_shuffled_labels_keep_each_folds_share_and_tell_nothing():
    cohort = divide(cohort_of(40).assign(side=""), FoldOptions(count=4))
    shuffled = shuffle_labels(cohort, seed=1)
    fold = cohort["fold"].fillna(-1)
    first = ~cohort["patient_id"].duplicated()
    kept = [table.loc[first, "lvo"].groupby(fold).sum().tolist() for table in (cohort, shuffled)]
    assert kept[0] == kept[1]
    assert shuffled.groupby("patient_id")["lvo"].nunique().max() == 1
    assert 0.3 < (shuffled["lvo"] == cohort["lvo"]).mean() < 0.7


@pytest.mark.parametrize("lvo", [0, 1])
def test_labels_of_one_class_are_not_shuffled(lvo):
    with pytest.raises(TableError, match="one class alone"):
        shuffle_labels(cohort_of(8).assign(lvo=lvo, fold=0), seed=1)


def test_new_scans_get_ids_that_tell_nothing(tmp_path):
    paths = [str(tmp_path / name) for name in ("Smith^John.nii", "b.nii")]
    for number, path in enumerate(paths):
        Path(path).write_text(str(number))
    cohort = list_new_scans(paths)
    assert cohort["case_id"].str.fullmatch(r"scan-[0-9a-f]{10}").all()
    with pytest.raises(TableError, match="2 scans, 1 of them different"):
        list_new_scans(paths[:1] * 2)

"""What a person decides about proposals, and what is never overwritten."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from lvo_kedro.annotation import export_proposal, write_colours
from lvo_kedro.errors import TableError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.taken_annotations import Proposed, take_annotations

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
RECORD = {"proposed": True, "side": "left", "segment": "M1", "cta_matrix": np.eye(4).tolist()}


def labels(value=2, start=4):
    data = np.zeros((16, 16, 16), np.uint8)
    data[start : start + 4, 5:8, 5:8] = value
    return make_image(data, AFFINE)


def proposal():
    ncct = make_image(np.full((16, 16, 16), 30, np.int16), AFFINE)
    return Proposed(ncct, labels(), labels(), RECORD)


@pytest.fixture
def folder(tmp_path):
    raw = tmp_path / "01_raw"
    raw.mkdir()
    for case in ("a", "b", "c"):
        proposal().ncct.to_filename(raw / f"{case}.nii.gz")
    labels().to_filename(raw / "drawn.nii.gz")
    return raw


def table(**changes):
    rows = [
        {"case_id": case, "patient_id": case, "ncct": f"{case}.nii.gz", "split": "development",
         "lvo": "1", "side": "left", "segment": "M1", "vessel_labels": ""}
        for case in ("a", "b", "c")
    ]  # fmt: skip
    made = pd.DataFrame(rows)
    for column, value in changes.items():
        made.loc[0, column] = value
    return made


def decide(*rows):
    return pd.DataFrame(rows, columns=["case_id", "decision", "clot"])


def take(decisions, folder, cohort=None, corrected=None):
    proposals = {case: proposal() for case in ("a", "b", "c")}
    cohort = table() if cohort is None else cohort
    return take_annotations(decisions, proposals, cohort, folder, corrected)


def test_accepted_labels_are_named_in_the_table_with_their_provenance(folder):
    taken = take(decide(("a", "accept", "yes"), ("b", "reject", "")), folder)
    assert taken.counts == {"accept": 1, "correct": 0, "reject": 1}
    assert not taken.problems
    row = taken.table.set_index("case_id").loc["a"]
    assert row["vessel_labels"] == "annotations/a/vessel_labels.nii.gz"
    written = nib.load(folder / row["vessel_labels"])
    assert np.array_equal(written.dataobj, labels().dataobj)
    assert (folder / row["occlusion_mask"]).is_file()
    told = json.loads((folder / "annotations/a/provenance.json").read_text())
    assert (told["source"], told["proposal"]["segment"]) == ("proposal", "M1")
    assert taken.table.set_index("case_id").loc["b", "vessel_labels"] == ""


def test_a_correction_is_taken_and_then_never_overwritten(folder, tmp_path):
    fixed = tmp_path / "fixed"
    (fixed / "a").mkdir(parents=True)
    labels(value=3, start=6).to_filename(fixed / "a" / "vessel_labels.nii.gz")
    first = take(decide(("a", "correct", "")), folder, corrected=fixed)
    assert first.counts["correct"] == 1
    for decision in ("accept", "reject"):
        again = take(decide(("a", decision, "")), folder, first.table)
        assert "labels that a person corrected" in again.problems["a"]
    path = folder / "annotations/a/vessel_labels.nii.gz"
    assert np.array_equal(nib.load(path).dataobj, labels(value=3, start=6).dataobj)
    labels(value=1, start=2).to_filename(fixed / "a" / "vessel_labels.nii.gz")
    assert take(decide(("a", "correct", "")), folder, first.table, fixed).counts["correct"] == 1


def test_a_correction_on_another_grid_comes_to_the_scan_by_world(folder, tmp_path):
    (tmp_path / "fixed/a").mkdir(parents=True)
    flipped = labels(start=6).as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))
    flipped.to_filename(tmp_path / "fixed/a/vessel_labels.nii.gz")
    take(decide(("a", "correct", "")), folder, corrected=tmp_path / "fixed")
    written = nib.load(folder / "annotations/a/vessel_labels.nii.gz")
    assert np.array_equal(written.dataobj, labels(start=6).dataobj)


@pytest.mark.parametrize(
    ("value", "problem"), [(2, "the proposal, unchanged"), (9, "values 9 in vessel_labels")]
)
def test_what_is_no_correction_is_said(folder, tmp_path, value, problem):
    (tmp_path / "fixed/a").mkdir(parents=True)
    labels(value=value).to_filename(tmp_path / "fixed/a/vessel_labels.nii.gz")
    taken = take(
        decide(("a", "correct", ""), ("b", "accept", "")), folder, corrected=tmp_path / "fixed"
    )
    assert problem in taken.problems["a"]
    assert taken.counts["accept"] == 1  # the others go on


def test_drawn_labels_stay(folder):
    taken = take(decide(("a", "accept", "")), folder, table(vessel_labels="drawn.nii.gz"))
    assert "labels that somebody drew" in taken.problems["a"]
    assert taken.table.loc[0, "vessel_labels"] == "drawn.nii.gz"


@pytest.mark.parametrize(
    "rows",
    [
        [("../../etc", "accept", "")],
        [("a", "perhaps", "")],
        [("a", "accept", "no")],
        [("unknown", "accept", "")],
        [("a", "accept", ""), ("a", "reject", "")],
    ],
)
def test_a_wrong_table_takes_nothing(folder, rows):
    with pytest.raises(TableError, match="decisions with"):
        take(decide(*rows), folder)
    assert not (folder / "annotations").exists()


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        ({"segment": "other"}, "an occlusion of segment other"),
        ({"side": "both"}, "an occlusion of side both"),
        ({"side": "both", "segment": "unknown"}, "an occlusion of side both and segment unknown"),
        ({"side": "right"}, "a clot of side left, of an occlusion of side right"),
        ({"side": "right", "segment": "unknown"}, "a clot of side left"),
        ({"segment": "M2"}, "a clot of segment M1, of an occlusion of segment M2"),
        ({"side": "unknown", "segment": "M1+M2"}, "a clot of segment M1"),
        ({"lvo": "0", "side": "", "segment": ""}, "a case without an occlusion"),
    ],
)
def test_a_clot_that_does_not_fit_the_table_is_refused_and_the_others_go_on(folder, known, problem):
    given = decide(("a", "accept", "yes"), ("b", "accept", "yes"))
    taken = take(given, folder, table(**known))
    assert problem in taken.problems["a"]
    assert not (folder / "annotations/a").exists()
    assert taken.table.loc[0, "vessel_labels"] == ""
    assert taken.counts["accept"] == 1


@pytest.mark.parametrize(
    "unknown",
    [{"segment": "unknown"}, {"side": "unknown"}, {"side": "unknown", "segment": "unknown"}],
)
def test_an_accepted_clot_names_what_the_table_does_not_know(folder, unknown):
    taken = take(decide(("a", "accept", "yes")), folder, table(**unknown))
    assert taken.table.loc[0, ["side", "segment"]].tolist() == ["left", "M1"]
    assert set(taken.named) == {"a"}
    provenance = json.loads((folder / "annotations/a/provenance.json").read_text())
    assert provenance["named"] == {name: RECORD[name] for name in unknown}


def test_labels_alone_or_a_corrected_clot_name_nothing(folder, tmp_path):
    cohort = table(segment="unknown")
    assert take(decide(("a", "accept", "")), folder, cohort).table.loc[0, "segment"] == "unknown"
    (tmp_path / "new/a").mkdir(parents=True)
    for name in ("vessel_labels", "occlusion_mask"):
        labels(start=5).to_filename(tmp_path / f"new/a/{name}.nii.gz")
    taken = take(decide(("a", "correct", "yes")), folder, cohort, tmp_path / "new")
    assert "write them into cases.csv" in taken.problems["a"]


def test_an_unchanged_clot_beside_corrected_labels_must_fit_the_table_too(folder, tmp_path):
    (tmp_path / "new/a").mkdir(parents=True)
    labels(start=5).to_filename(tmp_path / "new/a/vessel_labels.nii.gz")
    labels().to_filename(tmp_path / "new/a/occlusion_mask.nii.gz")
    given = decide(("a", "correct", "yes"))
    taken = take(given, folder, table(side="right"), tmp_path / "new")
    assert "a clot of side left" in taken.problems["a"]
    taken = take(given, folder, table(side="unknown"), tmp_path / "new")
    assert taken.table.loc[0, "side"] == "left"


@pytest.mark.parametrize("later", [("a", "reject", ""), ("a", "accept", "")])
def test_what_a_clot_named_goes_with_it(folder, later):
    first = take(decide(("a", "accept", "yes")), folder, table(side="unknown", segment="unknown"))
    second = take(decide(later), folder, first.table)
    assert second.table.loc[0, ["side", "segment"]].tolist() == ["unknown", "unknown"]
    assert second.table.loc[0, "occlusion_mask"] == ""
    assert not (folder / "annotations/a/occlusion_mask.nii.gz").exists()
    looked = first.table.assign(segment="M1+M2")  # somebody looked and knows better
    assert take(decide(later), folder, looked).table.loc[0, "segment"] == "M1+M2"


def test_a_newer_clot_names_anew(folder):
    first = take(decide(("a", "accept", "yes")), folder, table(side="unknown", segment="unknown"))
    newer = replace(proposal(), record=RECORD | {"segment": "M2", "side": "right"})
    second = take_annotations(decide(("a", "accept", "yes")), {"a": newer}, first.table, folder)
    assert second.table.loc[0, ["side", "segment"]].tolist() == ["right", "M2"]


@pytest.mark.parametrize("decision", ["accept", "reject"])
def test_a_drawn_clot_stays(folder, decision):
    cohort = table(occlusion_mask="drawn.nii.gz")
    taken = take(decide(("a", decision, "")), folder, cohort.fillna(""))
    assert taken.table.loc[0, "occlusion_mask"] == "drawn.nii.gz"
    taken = take(decide(("a", "accept", "yes")), folder, cohort.fillna(""))
    assert "a clot that somebody drew" in taken.problems["a"]


def test_a_case_that_left_the_table_is_listed_and_blanks_do_not_count(folder):
    cohort = table(case_id="a ")
    taken = take(decide(("a", "accept", "yes"), ("b", "accept", "")), folder, cohort)
    assert taken.counts["accept"] == 2
    taken = take(decide(("a", "accept", "yes"), ("b", "accept", "")), folder, cohort.iloc[1:])
    assert "cases.csv no longer names" in taken.problems["a"]
    assert taken.counts["accept"] == 1


def test_a_rejected_proposal_takes_its_labels_back(folder):
    first = take(decide(("a", "accept", "yes")), folder)
    second = take(decide(("a", "reject", "")), folder, first.table)
    assert second.table.loc[0, "vessel_labels"] == second.table.loc[0, "occlusion_mask"] == ""
    assert not (folder / "annotations/a").exists()


def test_files_for_other_programs_lie_in_the_plain_scans_world(tmp_path):
    moved = np.eye(4)
    moved[:3, 3] = [3.0, -2.0, 5.0]
    cta = make_image(np.zeros((8, 8, 8), np.float32), moved @ AFFINE)
    export_proposal(tmp_path / "a", {"vessel_labels": labels()}, cta, moved)
    assert np.allclose(nib.load(tmp_path / "a/cta.nii.gz").affine, AFFINE)
    write_colours(tmp_path)
    assert "2 M1 86 180 233 255" in (tmp_path / "labels.ctbl").read_text().splitlines()
    assert '2 86 180 233 1 1 1 "M1"' in (tmp_path / "labels.txt").read_text().splitlines()

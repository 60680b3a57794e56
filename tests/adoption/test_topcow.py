"""TopCoW and TopBrain as a dataset of nnU-Net's: labels merged, sides checked, odd files named."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from lvo_kedro.adopted_material import Gathered, gather_material
from lvo_kedro.adoption import MATERIALS, AdoptionError
from lvo_kedro.annotation import LabellerOptions, name_labels
from lvo_kedro.cli_adoption import adopt_command
from lvo_kedro.simulation.public_layouts import TopcowPatient, write_topcow
from tests.adoption.test_isles24 import contents
from tests.lengths import one_of

QUIRKS = ("no labels", "mirrored", "unknown value", "another grid")
PATIENTS = [
    TopcowPatient(1),
    TopcowPatient(2, orientation="ASR"),
    TopcowPatient(9, frozenset({"MR"})),
    *(TopcowPatient(n, frozenset({quirk})) for n, quirk in enumerate(QUIRKS, start=3)),
]
NAMES = {"topcow": "topcow24", "topbrain": "topbrain"}
Found = tuple[str, Path, Path, Gathered]


@pytest.fixture(scope="module", params=one_of(2, ["topcow", "topbrain"]))
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    scheme = request.param
    root = tmp_path_factory.mktemp(scheme)
    out = tmp_path_factory.mktemp("raw") / "Dataset510_Arteries"
    write_topcow(root, PATIENTS, scheme, spacing_mm=3.0)
    before = contents(root)
    material = MATERIALS[NAMES[scheme]].at(root)
    options = material.options()
    gathered = gather_material(material, material.find(root, options), options, out)
    assert contents(root) == before
    again = gather_material(material, material.find(root, options), options, out)
    assert again.kept == 2 and again.rows == gathered.rows
    return scheme, root, out, gathered


@pytest.mark.long
def test_it_is_a_dataset_as_nnunet_reads_it(found: Found) -> None:
    scheme, root, out, _ = found
    dataset = json.loads((out / "dataset.json").read_text())
    assert dataset["numTraining"] == len(list((out / "labelsTr").iterdir())) == 2
    assert sorted(dataset["labels"].values()) == list(range(len(dataset["labels"])))
    assert dataset["channel_names"] == {"0": "CT"}
    for path in (out / "labelsTr").iterdir():
        image = out / "imagesTr" / path.name.replace(".nii.gz", f"_0000{dataset['file_ending']}")
        own = next(root.rglob(image.name))
        assert image.read_bytes() == own.read_bytes()
        labels, scan = nib.load(path), nib.load(image)
        assert labels.shape == scan.shape and np.allclose(labels.affine, scan.affine)
        values = set(np.unique(labels.dataobj).tolist())
        assert values == set(dataset["labels"].values())
    assert ("M1" in dataset["labels"]) == (scheme == "topbrain")


@pytest.mark.long
def test_both_sides_become_one_label_and_the_middle_cerebral_artery_only_what_it_is(
    found: Found,
) -> None:
    scheme, root, out, _ = found
    values = json.loads((out / "dataset.json").read_text())["labels"]
    drawn = np.asarray(nib.load(next(root.glob("*abelsTr*/topcow_ct_002.nii.gz"))).dataobj)
    merged = np.asarray(nib.load(out / "labelsTr" / "topcow_ct_002.nii.gz").dataobj)
    for value, name in ((4, "C7"), (6, "C7"), (5, "M1"), (7, "M1"), (17, "M2"), (1, "other")):
        expected = "other" if scheme == "topcow" and name == "M1" else name
        if (drawn == value).any():
            assert set(merged[drawn == value].tolist()) == {values[expected]}


@pytest.mark.long
def test_the_mapping_is_what_the_labeller_takes(found: Found) -> None:
    scheme, _, out, _ = found
    options = LabellerOptions(
        model_folder="model", labels=json.loads((out / "labels.json").read_text())
    )
    labels = nib.load(out / "labelsTr" / "topcow_ct_001.nii.gz")
    named = np.asarray(name_labels(labels, options.labels).dataobj)
    expected = {0, 1, 4} if scheme == "topcow" else {0, 1, 2, 3, 4}
    assert set(np.unique(named).tolist()) == expected


@pytest.mark.long
def test_odd_patients_are_named(found: Found) -> None:
    failed = found[3].failed
    said = ("no labels", "to the left of the left one", "label values 99", "mm apart")
    assert len(failed) == 4
    for number, words in enumerate(said, start=3):
        assert words in failed[f"topcow_ct_{number:03d}"]


def test_the_command_wants_a_name_of_nnunets(found: Found, tmp_path: Path) -> None:
    scheme, root, _, _ = found
    name = NAMES[scheme]
    result = CliRunner().invoke(adopt_command, [name, str(root), "--out", str(tmp_path / "here")])
    assert result.exit_code == 1 and "Dataset510_TopBrain" in result.output
    result = CliRunner().invoke(adopt_command, [name, str(root)])
    assert result.exit_code == 2 and "--out" in result.output
    out = str(tmp_path / "Dataset511_X")
    result = CliRunner().invoke(adopt_command, [name, str(root), "--out", out])
    assert result.exit_code == 1 and "1 MR images are not used" in result.output
    if scheme == "topcow":
        setting = ["--set", "labels={4: C7, 6: C7, 5: M1}"]
        result = CliRunner().invoke(adopt_command, [name, str(root), "--out", out, *setting])
        assert result.exit_code == 2 and "hold M1 and the begin of M2" in result.output


def test_other_versions_are_named(tmp_path: Path) -> None:
    topcow, topbrain = MATERIALS["topcow24"], MATERIALS["topbrain"]
    (tmp_path / "imagesTr").mkdir()
    with pytest.raises(AdoptionError, match=r"holds imagesTr.*cow_seg_labelsTr"):
        topcow.find(tmp_path, topcow.options())
    (tmp_path / "cow_seg_labelsTr").mkdir()
    (tmp_path / "imagesTr" / "topcow_mr_001_0000.nii.gz").write_bytes(b"")
    with pytest.raises(AdoptionError, match=r"1 MR images.*part of the archive with CT"):
        topcow.find(tmp_path, topcow.options())
    with pytest.raises(AdoptionError, match="labelsTr_topbrain_ct"):
        topbrain.find(tmp_path, topbrain.options())

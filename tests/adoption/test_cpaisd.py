"""CPAISD's layout: cores land where they were drawn, on the patient's side; odd files are named."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lvo_kedro.adopted_material import Gathered, gather_material
from lvo_kedro.adoption import MATERIALS, AdoptionError
from lvo_kedro.adoption.cpaisd_slices import read_plane
from lvo_kedro.cli_adoption import adopt_command
from lvo_kedro.imaging import extract_brain, read_ncct
from lvo_kedro.imaging.sides import check_side
from lvo_kedro.infarct_evaluation import read_infarct_table
from lvo_kedro.simulation.public_layouts import CpaisdStudy, write_cpaisd
from tests.adoption.test_isles24 import contents

QUIRKS = (
    "no core", "no mask", "another value", "mirrored planes", "mask of another shape", "objects",
)  # fmt: skip
STUDIES = [
    CpaisdStudy(1, "left"),
    CpaisdStudy(2, "right", part="val", orientation="RAS"),
    CpaisdStudy(3, "right", part="test", orientation="LPI"),
    *(CpaisdStudy(n, "left", quirks=frozenset({q})) for n, q in enumerate(QUIRKS, start=4)),
]
MATERIAL = MATERIALS["cpaisd"]
Found = tuple[Path, Path, pd.DataFrame, Gathered]


def gather(root: Path, out: Path, **options: object) -> Gathered:
    chosen = MATERIAL.options(**options)
    material = MATERIAL.at(root)
    return gather_material(material, material.find(root, chosen), chosen, out)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    root, out = tmp_path_factory.mktemp("cpaisd"), tmp_path_factory.mktemp("out") / "01_raw"
    (root / "dataset").mkdir()
    truth = write_cpaisd(root / "dataset", STUDIES, spacing_mm=3.0)
    before = contents(root)
    gathered = gather(root, out)
    assert contents(root) == before
    return root, out, truth.set_index("study"), gathered


@pytest.mark.long
def test_cores_lie_on_the_patients_side_whatever_the_order_of_axes(found: Found) -> None:
    _, out, truth, gathered = found
    table = read_infarct_table(out)
    assert len(table) == len(gathered.rows) == 3
    assert set(table["source"]) == {"cpaisd-simulated"}  # although the mark lies a folder deeper
    for row in table.itertuples():
        study = truth.loc[row.case_id.removeprefix("cpaisd-")]
        ncct, core = read_ncct(out / row.ncct), nib.load(out / row.infarct_mask)
        assert core.shape == ncct.shape and np.allclose(core.affine, ncct.affine)
        check_side(core, extract_brain(ncct), study["side"], "infarct_mask")
        assert float(row.core_ml) == pytest.approx(study["core_ml"], rel=0.02)
        assert row.part == study["part"]


def test_odd_studies_are_named_and_the_others_go_on(found: Found) -> None:
    _, _, truth, gathered = found
    odd = dict(zip(QUIRKS, truth.index[3:], strict=True))
    assert list(gathered.left_out) == [f"train/{odd['no core']}"]
    for quirk, said in (
        ("no mask", "1 of them without mask.npz"),
        ("another value", "the values 7 in mask.npz"),
        ("mirrored planes", "mirrored against raw.dcm"),
        ("mask of another shape", "on a slice of"),
        ("objects", "cannot be read"),
    ):
        assert said in gathered.failed[f"train/{odd[quirk]}"], quirk


def test_the_second_call_does_nothing_and_another_option_does(found: Found, tmp_path: Path) -> None:
    root, out, _, gathered = found
    assert gather(root, out).kept == 3
    both = gather(root, tmp_path / "both", core_values=[1, 2])
    more = [float(row["core_ml"]) for row in both.rows if row["part"] != "train"]
    assert all(a > float(b["core_ml"]) for a, b in zip(more, gathered.rows[1:], strict=True))
    (out / gathered.rows[0]["ncct"]).unlink()
    assert gather(root, out).kept == 2 and (out / gathered.rows[0]["ncct"]).is_file()


def test_the_command_prints_licence_and_failures(found: Found, tmp_path: Path) -> None:
    arguments = ["cpaisd", str(found[0]), "--out", str(tmp_path / "01_raw")]
    result = CliRunner().invoke(adopt_command, arguments)
    assert result.exit_code == 1
    for said in ("Attribution: Simulated", "left out: train/", "failed: train/", "3 in", "5 subj"):
        assert said in result.output
    assert not (tmp_path / "01_raw" / "cases.csv").exists()


def test_other_versions_are_named(tmp_path: Path) -> None:
    with pytest.raises(AdoptionError, match="holds nothing"):
        MATERIAL.find(tmp_path, MATERIAL.options())
    (tmp_path / "train" / "study" / "slice").mkdir(parents=True)
    (tmp_path / "train" / "study" / "slice" / "image.npz").write_bytes(b"")
    with pytest.raises(AdoptionError, match=r"1 studies without any raw\.dcm"):
        MATERIAL.find(tmp_path, MATERIAL.options())
    (tmp_path / "test" / "study").mkdir(parents=True)
    with pytest.raises(AdoptionError, match="in two parts"):
        MATERIAL.find(tmp_path, MATERIAL.options())
    with pytest.raises(AdoptionError, match="core_values"):
        MATERIAL.find(tmp_path, MATERIAL.options(core_values=[3]))


def test_planes_are_read_without_executing_and_only_if_they_are_planes(tmp_path: Path) -> None:
    path = tmp_path / "mask.npz"
    np.savez_compressed(path, np.zeros((1, 8, 9), np.uint8))
    assert read_plane(path).shape == (8, 9)
    for arrays, said in (
        ((np.zeros((8, 9)), np.zeros((8, 9))), "8 x 9, 8 x 9"),
        ((np.zeros((8, 9, 3)),), "8 x 9 x 3"),
        ((np.full((8, 9), np.nan),), "one array"),
        ((np.zeros(9 << 20),), "bytes in"),
        ((np.array([{"a": 1}], dtype=object),), "cannot be read"),
    ):
        np.savez_compressed(path, *arrays)
        with pytest.raises(AdoptionError, match=said):
            read_plane(path)
    path.write_bytes(b"no archive")
    with pytest.raises(AdoptionError, match="BadZipFile"):
        read_plane(path)

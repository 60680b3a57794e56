"""CQ500's layout and reads, and the controls that become of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from lvo_kedro.adopted_cohort import Adopted, adopt_cohort
from lvo_kedro.adopted_files import CaseWriter
from lvo_kedro.adoption import ADAPTERS, AdoptionError
from lvo_kedro.adoption.cq500_reads import read_reads
from lvo_kedro.cli_adoption import adopt_command
from lvo_kedro.cohort import validate_cohort
from lvo_kedro.imaging import read_ncct
from lvo_kedro.simulation.public_layouts import Cq500Scan, write_cq500
from tests.adoption.test_isles24 import contents

SCANS = [
    Cq500Scan(1, series=("CT Plain", "CT PRE CONTRAST PLAIN THIN", "CT HRCT BONE")),
    Cq500Scan(12, {"ICH": 3, "SDH": 2}),
    Cq500Scan(
        3,
        {"Fracture": 1, "ICH": 1, "CalvarialFracture": 3},
        category="B2",
        series=("CT Plain", "CT 4cc sec 150cc", "CT POST CONTRAST"),
        packed=False,
    ),
    Cq500Scan(4, {"IPH": 2, "ICH": 1}),
    Cq500Scan(5, {"MassEffect": 2, "MidlineShift": 3}),
    Cq500Scan(6, {"Fracture": 2}),
    Cq500Scan(7, listed=False),
    Cq500Scan(8, series=("CT POST CONTRAST",)),
]
ADAPTER = ADAPTERS["cq500"]


def adopt(root: Path, out: Path, **options: object) -> Adopted:
    adapter, chosen = ADAPTER.at(root), ADAPTER.options(**options)
    return adopt_cohort(CaseWriter(adapter, adapter.find(root, chosen), chosen, out))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cq500")
    write_cq500(root, SCANS, spacing_mm=3.0)
    return root


@pytest.fixture(scope="module")
def adopted(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Adopted]:
    out = tmp_path_factory.mktemp("cohort") / "01_raw"
    before = contents(root)
    result = adopt(root, out)
    assert contents(root) == before
    return out, result


@pytest.mark.long
def test_controls_are_valid_cases_that_say_what_they_were_not_read_for(
    adopted: tuple[Path, Adopted],
) -> None:
    out, result = adopted
    table = pd.read_csv(out / "cases.csv", dtype=str, keep_default_na=False)
    cohort = validate_cohort(table, out)
    assert list(cohort["case_id"]) == ["cq500-001", "cq500-003"]
    assert (cohort["lvo"] == 0).all() and set(cohort["source"]) == {"cq500-simulated"}
    assert list(cohort["split"]) == ["development", "external"]
    assert (cohort["manufacturer"] == "GE").all() and (cohort["simulated"] == "yes").all()
    reasons = result.derivations.set_index("source_id")["reason"]
    assert "not read for vessel occlusion or ischaemia" in reasons["CQ500CT1"]


@pytest.mark.long
def test_the_importers_rules_choose_the_series(adopted: tuple[Path, Adopted]) -> None:
    out, _ = adopted
    thin = read_ncct(out / "cases" / "cq500-001" / "ncct.nii.gz")
    assert thin.header.get_zooms()[2] == pytest.approx(1.25)  # not bone, not the thick one
    plain = read_ncct(out / "cases" / "cq500-003" / "ncct.nii.gz")
    cta = read_ncct(out / "cases" / "cq500-003" / "cta.nii.gz")
    soft = [np.percentile(np.asarray(i.dataobj)[np.asarray(i.dataobj) < 500], 99.9)
            for i in (plain, cta)]  # fmt: skip
    assert cta.shape != plain.shape and soft[1] > 100
    assert not (out / "cases" / "cq500-001" / "cta.nii.gz").exists()


@pytest.mark.long
def test_findings_of_a_majority_are_left_out_with_their_votes(
    adopted: tuple[Path, Adopted],
) -> None:
    _, result = adopted
    assert result.left_out == {
        "CQ500CT4": "bleed (2 of 3)",
        "CQ500CT5": "mass effect (2 of 3), midline shift (3 of 3)",
        "CQ500CT6": "fracture (2 of 3)",
        "CQ500CT12": "bleed (3 of 3)",
    }
    assert set(result.failed) == {"CQ500CT7", "CQ500CT8"}
    assert "no reads" in result.failed["CQ500CT7"]
    assert "no series that is a plain head CT" in result.failed["CQ500CT8"]
    rows = result.derivations.set_index("source_id")
    assert rows.loc["CQ500CT12", "rule"] == "left out"


@pytest.mark.long
def test_the_second_call_does_nothing_and_options_are_rules(
    root: Path, adopted: tuple[Path, Adopted], tmp_path: Path
) -> None:
    out, _ = adopted
    assert adopt(root, out).kept == 2
    few = tmp_path / "few"
    few.mkdir()
    shutil.copytree(root / "CQ500CT3", few / "CQ500CT3")
    shutil.copy(root / "reads.csv", few)
    result = adopt(few, tmp_path / "out", external=["B1"], with_cta=False)
    assert list(result.table["split"]) == ["development"] and "cta" not in result.table
    chosen = adopt(few, tmp_path / "other", series={"CQ500CT3": "2"}, with_cta=False)
    reason = chosen.derivations.set_index("source_id").loc["CQ500CT3", "reason"]
    assert "chosen by a person" in reason
    with pytest.raises(AdoptionError, match="no series 77"):
        adopt(few, tmp_path / "none", series={"CQ500CT3": "77"})
    with pytest.raises(AdoptionError, match="CQ500CT9"):
        adopt(few, tmp_path / "none", series={"CQ500CT9": "2"})


@pytest.mark.long
def test_the_command_lists_who_is_left_out(root: Path, tmp_path: Path) -> None:
    few = tmp_path / "part" / "qct01"
    few.mkdir(parents=True)
    shutil.copytree(root / "CQ500CT1 CQ500CT1", few / "CQ500CT1 CQ500CT1")
    shutil.copytree(root / "CQ500CT12 CQ500CT12", few / "CQ500CT12 CQ500CT12")
    shutil.copy(root / "reads.csv", tmp_path / "part")
    arguments = ["cq500", str(tmp_path / "part"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(adopt_command, arguments)
    assert result.exit_code == 0, result.output
    for said in ("CC BY-NC-SA", "left out 1", "5 scans of reads.csv have no folder", "1 cases in"):
        assert said in result.output


def test_other_versions_are_named(root: Path, tmp_path: Path) -> None:
    options = ADAPTER.options()
    with pytest.raises(AdoptionError, match=r"holds nothing.*reads\.csv beside"):
        ADAPTER.find(tmp_path, options)
    (tmp_path / "CQ500CT1.zip").write_bytes(b"packed")
    with pytest.raises(AdoptionError, match="unpack the archives"):
        ADAPTER.find(tmp_path, options)
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "1.nii.gz").write_bytes(b"")
    with pytest.raises(AdoptionError, match="conversion to NIfTI"):
        ADAPTER.find(tmp_path, options)
    (tmp_path / "CQ500CT1 CQ500CT1").mkdir()
    with pytest.raises(AdoptionError, match=r"1 scans without reads\.csv"):
        ADAPTER.find(tmp_path, options)
    (tmp_path / "volumes" / "CQ500-CT-1").mkdir()
    with pytest.raises(AdoptionError, match="CQ500CT1 twice"):
        ADAPTER.find(tmp_path, options)


def test_a_table_of_another_form_is_refused_by_what_it_lacks(root: Path, tmp_path: Path) -> None:
    lines = (root / "reads.csv").read_text().splitlines()
    path = tmp_path / "reads.csv"
    for changed, said in (
        ([lines[0].replace("R2:MassEffect", "R2:Mass"), *lines[1:]], "without R2:MassEffect"),
        ([*lines, lines[1]], "line 9 .*stands there twice"),
        ([*lines, lines[1].replace("CQ500-CT-1", "scan")], "names no scan"),
    ):
        path.write_text("\n".join(changed))
        with pytest.raises(AdoptionError, match=said):
            read_reads(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AdoptionError, match="cannot be read"):
        read_reads(path)
    untold = lines[1].split(",")
    untold[2] = untold[16] = ""  # two of three readers say nothing of a bleed
    path.write_text("\n".join([lines[0] + ",R4:Other", ",".join(untold) + ",1"]))
    assert read_reads(path)["CQ500CT1"].untold() == ["bleed"]

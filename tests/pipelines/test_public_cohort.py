"""A public archive of occlusions alone: adopted, annotated, and evaluated by another's models."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
from click.testing import CliRunner

from lvo_kedro.cli import cli
from lvo_kedro.simulation.public_layouts.isles24 import Isles24Patient, write_isles24
from tests.pipelines.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]

PATIENTS = [
    Isles24Patient(1, "left", "M1", center="2"),
    Isles24Patient(2, "right", "C7", center="2", orientation="RAS"),
    Isles24Patient(3, "left", "C7", center="1", quirks=frozenset({"empty marker"})),
]


@pytest.fixture(scope="module")
def adopted(tiny, tmp_path_factory):
    """The tiny run's models with a simulated ISLES'24 in place of its external split."""
    folder = tmp_path_factory.mktemp("public")
    write_isles24(folder / "train", PATIENTS)
    project = Project(folder / "project")
    shutil.copytree(tiny.data, project.data)
    raw = project.data / "01_raw"
    table = pd.read_csv(raw / "cases.csv", dtype=str, keep_default_na=False)
    table[table["split"] == "development"].to_csv(raw / "cases.csv", index=False)
    patch = pytest.MonkeyPatch()
    patch.chdir(project.folder)
    words = ["--set", "development=[]", "--set", "otherwise=external"]
    told = CliRunner().invoke(
        cli, ["adopt", "isles24", str(folder / "train"), "--out", str(raw), *words]
    )
    assert told.exit_code == 0, told.output
    project.run("preprocessing", "annotation")
    project.run()
    yield project
    patch.undo()


def test_nothing_is_trained_again(adopted, tiny):
    for models in ("vessel_models", "detectors", "occlusion_models"):
        before, after = tiny.load(models), adopted.load(models)
        assert {n: m.fingerprint for n, m in before.items()} == {
            n: m.fingerprint for n, m in after.items()
        }


def test_sides_are_compared_within_the_patient_and_areas_are_absent(adopted):
    cohort = adopted.load("cohort").set_index("case_id")
    summary = adopted.load("external_test.summary").set_index("title")
    higher = summary.loc["occluded side higher within the patient"]
    assert (cohort.loc[cohort["split"] == "external", "lvo"] == 1).all()
    assert higher["n"] == 2  # the third has no known side
    assert 0 <= higher["value"] <= 1
    assert pd.isna(summary.loc["AUC", "value"])
    assert summary.loc["AUC", "method"] == "only one class: no case without LVO"
    assert summary.loc["segment accuracy end to end", "n"] == 1  # of the carotid's alone known


def test_the_report_names_the_source_and_its_licence(adopted):
    report = adopted.load("report")["report"]
    assert "Simulated folder in the layout of ISLES" in report
    assert "Apache-2.0, as this software" in report  # the archive's own licence: tests/adoption
    assert "Occluded against opposite side" in report
    assert "no case without LVO" in report


def test_every_angiography_gives_a_proposal_or_a_reason(adopted):
    proposals = adopted.load("cta_annotations")
    external = [f"isles24-{patient.number:04d}" for patient in PATIENTS]
    assert sorted([*proposals, *proposals.failed]) == external
    page = adopted.load("annotation_page")
    assert all(case in page for case in external)

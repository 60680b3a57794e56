"""Public archives: occlusions learned of by themselves, and with controls of another archive."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from lvo_kedro.cli import cli
from lvo_kedro.simulation.public_layouts.cq500 import Cq500Scan, write_cq500
from lvo_kedro.simulation.public_layouts.isles24 import Isles24Patient, write_isles24
from tests.pipelines.conftest import ROOT, Project

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(500)]

SEGMENTS = ("M1", "C7", "M1+M2", "M1", "M1+M2", "M1", "C7")
PATIENTS = [
    Isles24Patient(
        number,
        "left" if number % 2 else "right",
        segment,
        center="1" if number <= 5 else "2",
        orientation="RAS" if number == 2 else "LPS",
        quirks=frozenset({"empty marker"} if number == 3 else ()),
    )
    for number, segment in enumerate(SEGMENTS, start=1)
]
CASES = [f"isles24-{patient.number:04d}" for patient in PATIENTS]


@pytest.fixture(scope="module")
def adopted(tmp_path_factory, request):
    """All of it run on a simulated ISLES'24, as its documentation tells, with conf/isles24."""
    folder = tmp_path_factory.mktemp("public")
    write_isles24(folder / "train", PATIENTS)
    project = Project(folder / "project")
    raw = project.data / "01_raw"
    monkeypatch = pytest.MonkeyPatch()
    request.addfinalizer(monkeypatch.undo)  # also where what follows fails
    monkeypatch.chdir(project.folder)
    told = CliRunner().invoke(cli, ["adopt", "isles24", str(folder / "train"), "--out", str(raw)])
    assert told.exit_code == 0, told.output
    options = yaml.safe_load((ROOT / "conf/isles24/parameters.yml").read_text())
    options["detection"]["scope"] = {"enabled": False}  # nothing is like so few cases
    project.run("preprocessing", "annotation", **options)
    decisions = folder / "decisions.csv"
    pd.DataFrame({"case_id": CASES, "decision": "accept", "clot": "yes"}).to_csv(
        decisions, index=False
    )
    project.taken = CliRunner().invoke(cli, ["take-annotations", str(decisions), "--env", "tiny"])
    project.run(**options)
    project.options = options
    return project


def test_an_accepted_clot_names_what_a_marker_did_not(adopted):
    table = adopted.load("cases").set_index("case_id")
    derived = pd.read_csv(adopted.data / "01_raw/adoption.csv").set_index("case_id")
    assert (derived["segment"] == "unknown").sum() > (table["segment"] == "unknown").sum()
    assert "by the accepted clot" in adopted.taken.output
    named = table[table["occlusion_mask"] != ""]
    truth = dict(zip(CASES, PATIENTS, strict=True))
    assert len(named) >= 4
    assert all(row.side == truth[case].side for case, row in named.iterrows())


def test_models_are_trained_without_controls_and_say_so(adopted):
    detectors = adopted.load("detectors")
    assert sorted(detectors) == ["fold_0_sides", "fold_1_sides"]
    for detector in detectors.values():
        stored = json.loads((detector.folder / "side_model.json").read_text())
        assert stored["side_model"]["controls"] is False
        assert stored["side_model"]["constant"] == 0
    assert adopted.load("density_baselines")["all"]["controls"] is False
    assert adopted.load("calibration")["controls"] is False
    findings = adopted.load("study")["findings"]
    assert "trained_without_controls" in findings["check"].tolist()
    assert "trained on occlusions alone" in adopted.load("report")["report"]


def test_sides_and_segments_are_evaluated_and_areas_are_absent(adopted):
    cohort = adopted.load("cohort").set_index("case_id")
    assert (cohort["lvo"] == 1).all()
    known = (cohort["side"] != "unknown").groupby(cohort["split"]).sum()
    for name, split in (("cross_validation", "development"), ("external_test", "external")):
        summary = adopted.load(f"{name}.summary").set_index("title")
        higher = summary.loc["occluded side higher within the patient"]
        assert higher["n"] == known[split]
        assert 0 <= higher["value"] <= 1
        assert pd.isna(summary.loc["AUC", "value"])
        assert summary.loc["AUC", "method"] == "trained on occlusions alone"
        points = adopted.load(f"{name}.detection")["operating"]().set_index("metric")
        assert pd.isna(points.loc["sensitivity", "value"])  # 1 by construction
        assert summary.loc["segment accuracy end to end", "n"] >= 1
        calls = adopted.load(f"{name}.detection")["scores"]()
        assert (calls["call_known_occlusion"] == 1).all()


def test_the_report_names_the_source_and_its_licence(adopted):
    report = adopted.load("report")["report"]
    assert "Simulated folder in the layout of ISLES" in report
    assert "Apache-2.0, as this software" in report  # the archive's own licence: tests/adoption
    assert "Occluded against opposite side" in report
    assert "trained on occlusions alone" in report


def test_every_angiography_gives_a_proposal_or_a_reason(adopted):
    proposals = adopted.load("cta_annotations")
    assert sorted([*proposals, *proposals.failed]) == CASES
    page = adopted.load("annotation_page")
    assert all(case in page for case in CASES)


def test_a_new_scan_gets_side_and_segment_and_no_probability(adopted):
    scan = adopted.data / "01_raw" / "cases" / CASES[-1] / "ncct.nii.gz"
    adopted.run("inference", new_scans=[str(scan)], **adopted.options)
    (outcome,) = adopted.load_new("outcome").to_dict("records")
    assert outcome["findings"].startswith("the models were trained on occlusions alone")
    assert pd.isna(outcome["probability"])
    assert outcome["side"] in ("left", "right")
    assert "at_known_occlusion" not in outcome


@pytest.fixture(scope="module")
def with_controls(adopted, tmp_path_factory, request):
    """The same with a simulated CQ500 beside it, from which all controls come."""
    folder = tmp_path_factory.mktemp("controls")
    # five of each class in the development set: of fewer, nobody says what tells the label
    scans = [Cq500Scan(number) for number in range(1, 6)]
    write_cq500(folder / "cq500", [*scans, Cq500Scan(6, category="B2"), Cq500Scan(7, {"ICH": 3})])
    project = Project(folder / "project")
    shutil.copytree(adopted.data, project.data)
    shutil.rmtree(project.data / "mlflow")
    monkeypatch = pytest.MonkeyPatch()
    request.addfinalizer(monkeypatch.undo)  # also where what follows fails
    monkeypatch.chdir(project.folder)
    out = str(project.data / "01_raw")
    told = CliRunner().invoke(cli, ["adopt", "cq500", str(folder / "cq500"), "--out", out])
    assert told.exit_code == 0, told.output
    project.run(detection={"method": "sides", "network": False})
    return project


def test_an_area_between_two_archives_is_withheld_and_sides_stand(with_controls):
    cohort = with_controls.load("cohort")
    assert cohort.groupby("lvo")["source"].nunique().tolist() == [1, 1]
    found = with_controls.load("cross_validation.detection")["findings"]()
    error = found[found["check"] == "label_equals_source"]
    assert error["severity"].tolist() == ["error"]
    summary = with_controls.load("cross_validation.summary").set_index("title")
    assert pd.isna(summary.loc["AUC", "value"])
    assert "label equals source" in summary.loc["AUC", "method"]
    assert summary.loc["side accuracy end to end", "n"] >= 4
    assert summary.loc["occluded side higher within the patient", "n"] >= 4
    report = with_controls.load("report")["report"]
    for archive in ("ISLES", "CQ500"):
        assert f"Simulated folder in the layout of {archive}" in report


def test_with_controls_detection_is_learned(with_controls):
    assert "controls" not in with_controls.load("calibration")
    for detector in with_controls.load("detectors").values():
        stored = json.loads((detector.folder / "side_model.json").read_text())
        assert "controls" not in stored["side_model"]
        assert stored["side_model"]["constant"] != 0

"""The six pipelines end to end on a small simulated cohort, as `kedro run` runs them."""

from __future__ import annotations

import json
import re
import time

import mlflow
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from lvo_kedro.cli import cli
from lvo_kedro.evaluation import NOT_BEGUN
from lvo_kedro.vocabulary import RESEARCH_ONLY
from tests.pipelines.conftest import NAMELESS, PATIENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


def runs(project) -> pd.DataFrame:
    mlflow.set_tracking_uri(f"sqlite:///{project.data / 'mlflow' / 'mlflow.db'}")
    return mlflow.search_runs(search_all_experiments=True)


def test_every_case_is_scored_and_located_or_listed_as_excluded(tiny):
    cohort, exclusions = tiny.load("cohort"), tiny.load("study")["exclusions"]
    scored = set(tiny.load("detection_scores")["case_id"])
    assert set(tiny.load("localization_calls")["case_id"]) == scored
    assert scored | set(exclusions["case_id"]) == set(cohort["case_id"])
    assert scored.isdisjoint(exclusions["case_id"])


def test_a_broken_scan_is_listed_with_its_reason_and_does_not_stop_the_others(tiny):
    last = tiny.load("cohort")["case_id"].iloc[-1]
    exclusions = tiny.load("study")["exclusions"]
    assert exclusions["case_id"].tolist() == [last]
    assert exclusions["stage"].tolist() == ["scans"]
    assert "expected" in exclusions["error"].iloc[0]
    assert last in tiny.load("report")["report"]


def test_no_prediction_comes_from_a_network_that_knows_the_patient(tiny):
    cohort = tiny.load("cohort")
    patient = cohort.set_index("case_id")["patient_id"]
    for stage in ("segmentation", "localization"):
        results = tiny.load(f"{stage}_results")
        assert len(results["networks"]) == len(cohort) - 1
        for case, names in results["networks"].items():
            known = [c for name in names for c in results["models"][name]["trained_on"]]
            assert patient[case] not in set(patient[known])
            assert len(known) > 0
    external = cohort.loc[cohort["split"] == "external", "case_id"]
    models = tiny.load("detectors")
    assert {name.endswith("_sides") for name in models} == {True, False}
    for name, model in models.items():
        card = "side_model.json" if name.endswith("_sides") else "model.json"
        known = json.loads((model.folder / card).read_text())["training"]["train"]
        assert set(external).isdisjoint(known)
        held_out = cohort.loc[cohort["fold"] == int(name.split("_")[1]), "case_id"]
        assert set(held_out).isdisjoint(known)


def test_development_scores_have_a_fold_and_thresholds_from_other_cases(tiny):
    scores, calibration = tiny.load("detection_scores"), tiny.load("calibration")
    development = scores[scores["split"] == "development"]
    assert development["fold"].isin([0, 1]).all()
    assert scores.loc[scores["split"] == "external", "fold"].isna().all()
    for fold, fit in calibration["folds"].items():
        held_out = development.loc[development["fold"] == int(fold), "case_id"]
        assert set(held_out).isdisjoint(fit["fitted_on"])
    assert set(calibration["all"]["fitted_on"]) == set(development["case_id"])
    assert scores["probability"].between(0, 1).all()


def test_images_lie_on_their_scan(tiny):
    scans = tiny.load("scans")
    case = next(iter(scans))
    ncct = scans[case]["ncct"]
    assert nib.aff2axcodes(ncct.affine) == ("R", "A", "S")
    for name, field in (
        ("scans", "brain_mask"),
        ("vessels", "vessel_labels"),
        ("priors", "territory_probability"),
        ("priors", "hemispheres"),
        ("priors", "signed_difference"),
        ("occlusions", "occlusion_mask"),
        ("explanations", "explanation"),
    ):
        image = tiny.load(name)[case][field]
        assert image.shape == ncct.shape
        assert np.allclose(image.affine, ncct.affine, atol=1e-4)


def test_figures_of_merit_have_intervals_and_stand_in_the_report(tiny):
    for split in ("cross_validation", "external_test"):
        summary = tiny.load(f"{split}.summary").set_index("title")
        assert {"AUC", "segment accuracy end to end", "side accuracy given detection"} <= set(
            summary.index
        )
        auc = summary.loc["AUC"]
        assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
        assert tiny.load(f"{split}.roc_figure").stat().st_size > 5000
        assert tiny.load(f"{split}.confusion_figure").stat().st_size > 5000
    report = tiny.load("report")["report"]
    assert RESEARCH_ONLY in report
    assert "simulated" in report.lower()


def test_the_detectors_and_the_scope_of_every_case_reach_the_report(tiny):
    scores, study = tiny.load("detection_scores"), tiny.load("study")
    odd = set(scores.loc[scores["out_of_scope"] != "", "case_id"])
    named = study["quality"]
    assert set(named.loc[named["stage"] == "scope", "case_id"]) == odd
    for name, split in (("cross_validation", "development"), ("external_test", "external")):
        tables = {key: load() for key, load in tiny.load(f"{name}.detection").items()}
        assert set(tables["methods"]["by"]) == {"network", "sides", "ensemble"}
        assert set(tables["methods"].query("chosen == 'yes'")["by"]) == {"sides"}
        flow = tables["flow"].set_index("step")["count"]
        own = set(scores.loc[scores["split"] == split, "case_id"])
        assert int(flow["out of scope"]) == len(own & odd)
    report = tiny.load("report")
    assert "Detectors side by side" in report["report"]
    assert "Whose score counts in detection: Side model." in report["model_card"]


def test_occlusions_without_a_name_are_detected_but_teach_and_test_no_naming(tiny):
    with tiny.session() as session:
        catalog = session.load_context().catalog
    trained = {"detection": set(), "localization": set()}
    for stage, seen in trained.items():
        for model in catalog.load(f"{stage}_results")["models"].values():
            seen |= set(model["trained_on"])
    assert "sim-0011" in trained["detection"]
    assert not trained["localization"] & set(NAMELESS)
    for split, case in (("cross_validation", "sim-0011"), ("external_test", "sim-0017")):
        detection, localization = (
            {name: load() for name, load in catalog.load(f"{split}.{part}").items()}
            for part in ("detection", "localization")
        )
        occluded = set(detection["scores"].query("lvo == 1")["case_id"])
        assert case in occluded
        assert set(localization["calls"]["case_id"]) == occluded - {case}
        side, segment = NAMELESS[case]
        flow = detection["flow"].set_index(["step", "reason"])["count"]
        assert flow["occlusions outside the five classes", segment] == 1
        assert flow["side unknown or both", side] == flow["in detection alone"].sum() == 1
        groups = detection["subgroups"].query("metric == 'cases_with_lvo'")
        assert groups.set_index(["subgroup", "level"])["value"]["segment", segment] == 1
    written = catalog.load("report")
    for text in (written["report"], written["model_card"]):
        assert "occlusions outside the five classes: 1 (other 1, unknown 0)" in text
        assert "side unknown or both: 1 (both 1, unknown 0); in detection alone: 1" in text


@pytest.mark.long
def test_what_the_maps_point_to_is_counted_and_shown(tiny):
    assert set(tiny.load("explanations")) == set(tiny.load("detection_scores")["case_id"])
    for split in ("cross_validation", "external_test"):
        table, scores = (
            tiny.load(f"{split}.localization")["explanation"](),
            tiny.load(f"{split}.detection")["scores"](),
        )
        for row in table.to_dict("records"):
            detected = (scores["lvo"] == 1) & (scores[f"call_{row['operating_point']}"] == 1)
            detected &= ~scores["case_id"].isin(list(NAMELESS))
            assert row["n"] == detected.sum()
    assert "More mass on the occluded side" in tiny.load("report")["report"]
    assert "3D Grad-CAM" in tiny.load("report")["checklist"]


def test_mlflow_has_one_run_a_run_and_a_child_a_fold(tiny):
    table = runs(tiny)
    parents = table[table["tags.mlflow.parentRunId"].isna()]
    assert sorted(parents["tags.kedro.pipelines"]) == ["all", "simulation"]
    assert set(parents["status"]) == {"FINISHED"}
    method = parents[parents["tags.kedro.pipelines"] == "all"].iloc[0]
    assert 0 <= method["metrics.cross_validation.detection.auc"] <= 1
    assert 0 <= method["metrics.cross_validation.detection.auc_network"] <= 1
    models, found = tiny.load("detection_results")["models"], tiny.load("study")["findings"]
    networks = [m for m in models.values() if "train_loss" in m]
    assert len(networks) == 2
    idle = [m for m in networks if m["train_loss"] > 0.9 * m["chance_loss"]]
    assert method[f"metrics.study.{NOT_BEGUN}"] == len(idle) == (found["check"] == NOT_BEGUN).sum()
    assert method["metrics.study.errors"] == (found["severity"] == "error").sum()
    assert "metrics.external_test.localization." in " ".join(table.columns)
    assert len(method["tags.cohort.sha256"]) == 64
    assert method["params.folds.count"] == "2"
    children = table[table["tags.mlflow.parentRunId"] == method["run_id"]]
    stages = ("vessel_models", "detectors", "occlusion_models")
    trained = [f"{s}.fold_{k}" for s in stages for k in (0, 1)]
    trained += [f"detectors.fold_{k}_sides" for k in (0, 1)]
    assert sorted(children["tags.fold"]) == sorted(trained)
    client = MlflowClient()
    detector = children[children["tags.fold"] == "detectors.fold_0"].iloc[0]
    assert len(client.get_metric_history(detector["run_id"], "train_loss")) == 2
    files = {f.path for f in client.list_artifacts(detector["run_id"], "model")}
    assert "model/model.safetensors" in files
    artifacts = {f.path for f in client.list_artifacts(method["run_id"])}
    expected = {"report.html", "model_card.md", "detection_scores.csv", "study", "cross_validation"}
    assert expected <= artifacts
    assert not {"gallery", "prior_previews"} & artifacts


def test_nothing_that_leaves_the_project_shows_a_patient(tiny):
    table = runs(tiny)
    client = MlflowClient()

    def walk(run: str, path: str = "") -> list[str]:
        found = []
        for item in client.list_artifacts(run, path):
            found += walk(run, item.path) if item.is_dir else [item.path]
        return found

    for run in table["run_id"]:
        assert not [path for path in walk(run) if ".nii" in path or ".dcm" in path]
    cohort = tiny.load("cohort")
    named = cohort.loc[cohort["ncct"].str.contains(PATIENT, regex=False), "case_id"]
    scored = set(tiny.load("detection_scores")["case_id"])
    assert [case in scored for case in named] == [True, False]  # one that is sound, one that fails
    files = [*tiny.data.glob("mlflow/**/*"), *tiny.data.glob("08_reporting/**/*")]
    for path in (path for path in files if path.is_file()):
        assert PATIENT.encode() not in path.read_bytes(), path
    assert PATIENT not in " ".join(tiny.load("scans").failed.values())


def test_a_second_run_computes_nothing_again(tiny):
    records = sorted(tiny.data.glob("0*/*/*/case.json"))
    assert len(records) > 100
    before = {path: path.stat().st_mtime_ns for path in records}
    weights = sorted(tiny.data.glob("06_models/**/*.safetensors"))
    written = {path: path.stat().st_mtime_ns for path in weights}
    start = time.monotonic()
    tiny.run()
    assert time.monotonic() - start < 60
    assert {path: path.stat().st_mtime_ns for path in records} == before
    assert {path: path.stat().st_mtime_ns for path in weights} == written


def test_a_pipeline_runs_alone_from_the_files_of_the_earlier_ones(tiny):
    tiny.run("priors")
    assert len(tiny.load("prior_quality")) == len(tiny.load("cohort")) - 1


def number_of(outcome: pd.Series) -> float:
    """The number that the models gave a scan, and that no call is made of it out of scope."""
    if not outcome["no_call"]:
        return outcome["probability"]
    assert pd.isna(outcome["probability"])
    assert outcome["side"] == outcome["segment"] == outcome["at_youden"] == ""
    return outcome["unreliable_probability"]


def test_trained_models_score_a_new_scan(tiny):
    cohort = tiny.load("cohort")
    path = cohort["ncct"].iloc[0]
    tiny.run("inference", new_scans=[path])
    outcome = tiny.load_new("outcome")
    assert len(outcome) == 1
    assert outcome["case_id"].iloc[0].startswith("scan-")
    assert 0 <= number_of(outcome.iloc[0]) <= 1


@pytest.mark.long
def test_a_scan_that_cannot_be_scored_is_shown_with_its_reason_and_the_status_says_so(tiny):
    cohort = tiny.load("cohort")
    sound, broken = cohort["ncct"].iloc[0], cohort["ncct"].iloc[-1]
    for scans in ([broken, sound], [broken]):
        result = CliRunner().invoke(cli, ["score", "--env", "tiny", *scans])
        assert result.exit_code == 1
        assert f"1 of {len(scans)} scans could not be used" in result.output
        shown = f"\n{result.stdout}".split("\n\n")
        (reason,) = (text for text in shown if text.startswith(broken))
        assert re.search(r"failed +found .*; expected ", reason)
        number = re.compile(r"^  (unreliable )?probability +[01]", re.MULTILINE)
        assert len([text for text in shown if number.search(text)]) == len(scans) - 1
        assert result.stdout.count("\n  no call ") == result.stdout.count("\n  unreliable ")


@pytest.mark.long
@pytest.mark.shared
def test_trained_models_score_a_real_scan_with_gantry_tilt(tiny, shared):
    folder = shared / "data" / "ncct_ge_hispeed_dicom"
    tiny.run("inference", new_scans=[str(folder)])
    outcome = tiny.load_new("outcome").iloc[0]
    assert 0 <= number_of(outcome) <= 1
    assert outcome["side"] in ("left", "right", "")
    scan = tiny.load_new("scans")[outcome["case_id"]]
    assert nib.aff2axcodes(scan["ncct"].affine) == ("R", "A", "S")
    everything = " ".join(path.as_posix() for path in tiny.data.rglob("*"))
    assert "hispeed" not in everything

"""What runs on demand: two runs side by side, and scans changed under control."""

from __future__ import annotations

import re
from hashlib import sha256

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from lvo_kedro.cli import cli
from lvo_kedro.errors import RunError, TableError
from lvo_kedro.settings import SHUFFLES
from lvo_kedro.vocabulary import RESEARCH_ONLY

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(500)]


def run_of(project, pipelines: str) -> str:
    mlflow.set_tracking_uri(f"sqlite:///{project.data / 'mlflow' / 'mlflow.db'}")
    runs = mlflow.search_runs(search_all_experiments=True)
    of_kind = runs[(runs["tags.kedro.pipelines"] == pipelines) & (runs["status"] == "FINISHED")]
    return str(of_kind["run_id"].iloc[0])


def artifacts(run_id: str, path: str = "") -> set[str]:
    found: set[str] = set()
    for item in MlflowClient().list_artifacts(run_id, path):
        found |= artifacts(run_id, item.path) if item.is_dir else {item.path}
    return found


def test_every_file_that_the_report_names_is_there_and_in_the_run_that_it_names(tiny):
    tiny.run("evaluation", evaluation={"confidence": 0.9, "operating_point": "sensitivity_90"})
    report = tiny.load("report")["report"]
    assert "Estimates with 90 % intervals at the fixed operating point “Sensitivity ≥" in report
    digest = sha256((tiny.data / "06_models/detectors/fold_0/model.safetensors").read_bytes())
    assert digest.hexdigest() in report
    assert "A fixed schedule: the weights of the last epoch" in tiny.load("report")["checklist"]
    named = re.findall(r"(?:Numbers|Drawn) from <code>([^<]+)</code>", report)
    files = {file for text in named for file in text.split(", ")}
    assert len(files) > 25
    run_id = run_of(tiny, "evaluation")
    assert run_id in report
    stored = artifacts(run_id)
    for file in files:
        assert (tiny.data / file).is_file(), file
        assert file.removeprefix("08_reporting/") in stored, file


def test_a_run_beside_itself_differs_in_nothing(tiny):
    run_id = run_of(tiny, "all")
    tiny.run("comparison", comparison={"run_a": run_id, "run_b": run_id})
    for split in ("cross_validation", "external_test"):
        tables = {name: load() for name, load in tiny.load(f"comparison.{split}").items()}
        difference = tables["summary"].set_index(["run", "metric"]).loc[("A - B", "auc")]
        assert (difference["value"], difference["p_value"]) == (0, 1)
        assert tables["changed"].empty
        assert tables["relocated"].empty
        assert (tables["locations"]["value"] == 0).all()
    page = tiny.load("comparison.report")
    assert run_id in page
    assert "SIMULATED DATA" in page
    compared = run_of(tiny, "comparison")
    assert "comparison/comparison.html" in artifacts(compared)
    metrics = MlflowClient().get_run(compared).data.metrics
    assert metrics["comparison.external_test_metrics.auc_difference"] == 0


def test_runs_that_cover_different_cases_are_refused_unless_asked_for(tiny):
    run_id = run_of(tiny, "all")
    path, client = "detection_scores.csv", MlflowClient()
    with mlflow.start_run(run_name="fewer cases") as fewer:
        for name in ("calibration.json", "localization_calls.csv", path):
            file = client.download_artifacts(run_id, name, str(tiny.folder))
            if name == path:
                table = tiny.load("detection_scores")
                lost = str(table["case_id"].iloc[0])
                table.iloc[1:].to_csv(file, index=False)
            mlflow.log_artifact(file)
    both = {"run_a": run_id, "run_b": fewer.info.run_id}
    with pytest.raises(TableError, match=rf"1 only in run A \({lost}\)"):
        tiny.run("comparison", comparison=both)
    tiny.run("comparison", comparison=both | {"common_cases": True})
    findings = tiny.load("comparison.cross_validation")["findings"]()
    assert findings["check"].tolist() == ["only_in_run_a"]
    assert lost in tiny.load("comparison.report")


def test_a_run_that_is_not_there_is_answered_with_those_that_are(tiny):
    with pytest.raises(RunError, match="no run 'nowhere'") as caught:
        tiny.run("comparison", comparison={"run_a": "nowhere", "run_b": "nowhere"})
    assert run_of(tiny, "all") in str(caught.value)


def test_a_permutation_test_learns_labels_that_are_shuffled_anew_each_time(tiny):
    before = tiny.load("detection_scores")
    tiny.run("permutation_test")
    dealt = [tiny.load(f"{name}.cohort").set_index("case_id")["lvo"] for name in SHUFFLES]
    assert len({tuple(labels) for labels in dealt}) == len(SHUFFLES)
    for name, labels in zip(SHUFFLES, dealt, strict=True):
        scores = tiny.load(f"{name}.detection_scores").set_index("case_id")
        assert (scores["lvo"] == labels[scores.index]).all()  # learned and judged by them
    summary = tiny.load("permutation_summary").set_index(["split", "shuffle"])["value"]
    for split in ("cross_validation", "external_test"):
        areas = summary[split]
        assert areas["mean"] == pytest.approx(areas[list(SHUFFLES)].mean())
    metrics = MlflowClient().get_run(run_of(tiny, "permutation_test")).data.metrics
    assert metrics["permutation_metrics.external_test.mean_auc"] == areas["mean"]
    assert tiny.load("detection_scores").equals(before)
    shown = CliRunner().invoke(cli, ["results", "--env", "tiny"]).output
    assert re.search(r"AUC with shuffled labels:\n.*\n *permutation_1 +[01]\.\d\d", shown)


@pytest.fixture(scope="module")
def changed(tiny):
    """The project after its external cases were changed and scored, with its models untouched."""
    before = {path: path.stat().st_mtime_ns for path in tiny.data.glob("06_models/**/*.*")}
    tiny.run("robustness")
    assert {p: p.stat().st_mtime_ns for p in tiny.data.glob("06_models/**/*.*")} == before
    return tiny


def test_changed_scans_are_scored_by_the_same_models_and_shown_on_a_page(changed):
    table = changed.load("robustness")
    channels = ("ncct", "vessels", "territory", "difference")
    expected = {"noise_5", "slices_6", *(f"without_{name}" for name in channels)}
    assert set(table["change"]) == expected
    lost = table[table["metric"] == "not_computed"].set_index("change")
    assert (lost["n"] == 2).all()
    for change in expected:
        rows = table[table["change"] == change].set_index("metric")
        assert -1 <= rows.loc["auc_difference", "low"] <= rows.loc["auc_difference", "high"] <= 1
    cases = changed.load("robustness_cases")
    assert cases.groupby("change")["lvo"].sum().eq(1).all()  # half of the two, by choice
    named = "side_accuracy_difference" in set(table.loc[table["change"] == "noise_5", "metric"])
    assert named
    assert changed.load("robustness_figure").stat().st_size > 5000
    page = changed.load("robustness_report")
    assert "Slices of 6 mm" in page
    assert "Without vessels" in page
    assert RESEARCH_ONLY in page

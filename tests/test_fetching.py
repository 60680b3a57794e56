"""Files and descriptions of earlier runs are fetched from MLflow, or it is said what there is."""

from __future__ import annotations

import mlflow
import pytest

from lvo_kedro.errors import RunError
from lvo_kedro.tracking import TrackingOptions, describe_run, fetch_artifacts, use_tracking


@pytest.fixture
def run_id(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    use_tracking(TrackingOptions(folder="mlflow"), tmp_path)
    table = tmp_path / "detection_scores.csv"
    table.write_text("case_id,probability\na,0.5\n")
    tags = {"git.revision": "abc", "cohort.sha256": "123"}
    with mlflow.start_run(run_name="demo: all", tags=tags) as run:
        mlflow.log_metric("auc", 0.9)
        mlflow.log_artifact(str(table))
    return run.info.run_id


def test_files_of_a_run_come_back(run_id, tmp_path):
    (path,) = fetch_artifacts(run_id, ["detection_scores.csv"], tmp_path)
    assert path.read_text().startswith("case_id")
    described = describe_run(run_id)
    assert described["MLflow run"] == run_id
    assert described["Name"] == "demo: all"
    assert described["Source revision"] == "abc"
    assert described["Cohort (SHA-256)"] == "123"


@pytest.mark.parametrize("wrong", ["", "f00", None])
def test_what_is_not_there_is_said_with_the_runs_that_are(run_id, tmp_path, wrong):
    name = "detection_scores.csv" if wrong is not None else "calibration.json"
    with pytest.raises(RunError, match="take one of") as caught:
        fetch_artifacts(run_id if wrong is None else wrong, [name], tmp_path)
    assert f"{run_id} (demo: all)" in str(caught.value)
    assert name in str(caught.value)

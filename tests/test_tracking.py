"""MLflow: models are copies of the catalogued folders; what a run left is fetched again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from mlflow.tracking import MlflowClient

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.detection import (
    TrainingOptions,
    encode_channels,
    load_detector,
    save_sample,
    train_fold,
)
from lvo_kedro.errors import RunError
from lvo_kedro.imaging.geometry import Grid
from lvo_kedro.tracking import (
    FoldLog,
    TrackingOptions,
    current_run,
    describe_run,
    end_run,
    fetch_artifacts,
    log_parameters,
    provenance,
    start_tracking,
    use_tracking,
)
from lvo_kedro.tracking_hooks import TrackingHooks
from tests.lengths import one_of

SHAPE = (32, 32, 32)


def train(samples: dict[str, Path], seed: int, *, folder: Path) -> dict[str, Any]:
    labels = {case: number % 2 for number, case in enumerate(samples)}
    options = TrainingOptions(base_width=4, epochs=1, batch_size=2, device="cpu", seed=seed)
    train_fold(folder, samples, labels, list(samples), [], options)
    return {}


@pytest.fixture
def detectors(tmp_path: Path) -> CaseDataset:
    """Two small detectors, as training leaves them."""
    samples = {}
    for case in "abcd":
        samples[case] = tmp_path / f"{case}.safetensors"
        content = encode_channels(
            torch.rand(2, *SHAPE), ("ncct", "vessels"), Grid(SHAPE, np.eye(4))
        )
        save_sample(samples[case], content)
    dataset = CaseDataset(path=str(tmp_path / "detectors"), files={}, resumable=True)
    dataset.save({f"fold_{k}": partial(train, samples, k) for k in range(2)})
    return dataset


@pytest.fixture
def finished(tmp_path: Path, detectors: CaseDataset, monkeypatch) -> Iterator[Any]:
    """End a run in an embedded database, with the given models to register."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def finish(registered: dict[str, str]) -> MlflowClient:
        hooks = TrackingHooks()
        hooks._options = TrackingOptions(models=("detectors",), registered_models=registered)
        hooks._project = tmp_path
        start_tracking(hooks._options, tmp_path, "test", {})
        made = pipeline([node(lambda x: x, "channels", "detectors", name="train")])
        hooks.after_pipeline_run(made, DataCatalog({"detectors": detectors}))
        return MlflowClient()

    yield finish
    end_run()


@pytest.mark.long
def test_a_registered_detector_loads_by_name_and_knows_its_input(finished, detectors):
    client = finished({"detectors": "lvo-detector"})
    versions = {v.tags["fold"]: v for v in client.search_model_versions("name = 'lvo-detector'")}
    assert sorted(versions) == ["fold_0", "fold_1"]
    for fold, version in versions.items():
        model = mlflow.pyfunc.load_model(f"models:/lvo-detector/{version.version}")
        (given,) = model.metadata.signature.inputs.inputs
        assert given.shape == (-1, 2, *SHAPE)
        assert model.metadata.metadata["channels"] == ["ncct", "vessels"]
        batch = torch.rand(2, 2, *SHAPE)
        own = load_detector(detectors.load()[fold].folder, "cpu").score(batch)
        np.testing.assert_allclose(model.predict(batch.numpy()), own, atol=1e-5)
        with pytest.raises(mlflow.MlflowException, match="shape"):
            model.predict(batch.numpy()[:, :1])
        assert client.get_run(version.run_id).data.tags["fold"] == f"detectors.{fold}"


def test_nothing_is_registered_unless_a_name_is_set(finished):
    client = finished({})
    assert not client.search_registered_models()
    folds = [r for r in client.search_runs(["1"]) if "fold" in r.data.tags]
    assert len(folds) == 2


def test_the_files_of_new_scans_are_no_parameters_of_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = start_tracking(TrackingOptions(), tmp_path, "test", {})
    parameters = {"new_scans": ["/data/Smith^John.nii.gz"], "folds": {"count": 5, "C7+M1": 1}}
    log_parameters(run, parameters)
    end_run()
    assert MlflowClient().get_run(run.place.run_id).data.params == {
        "folds.count": "5",
        "folds.C7_M1": "1",
    }
    assert b"Smith" not in (tmp_path / "data" / "mlflow" / "mlflow.db").read_bytes()


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_no_fold_is_left_running_when_its_run_ends(tmp_path, monkeypatch, status):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    start_tracking(TrackingOptions(), tmp_path, "test", {})
    FoldLog("shuffled_detectors", "fold_0", 1)({"train_loss": 0.5}, 0)
    end_run(status)
    runs = MlflowClient().search_runs(["1"])
    assert [run.info.status for run in runs] == [status, status]
    assert current_run() is None


def track(project: Path, text: str) -> str:
    """Track a run with an artifact and a registered model, and return its id."""
    use_tracking(TrackingOptions(), project)
    client = MlflowClient()
    with mlflow.start_run() as run:
        mlflow.log_text(text, "model/figure.txt")
        if not client.search_registered_models():
            client.create_registered_model("lvo-detector")
        source = f"{run.info.artifact_uri}/model"
        client.create_model_version("lvo-detector", source, run.info.run_id)
    return run.info.run_id


def stored(project: Path, run_id: str) -> str:
    """Read a run's artifact where its project has it now; MLflow remembers places by run."""
    mlflow.tracking._tracking_service.utils._artifact_repos_cache.clear()
    use_tracking(TrackingOptions(), project)
    client = MlflowClient()
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    own = (project / "data" / "mlflow" / "artifacts").as_uri()
    for place in (
        client.get_run(run_id).info.artifact_uri,
        version.source,
        client.get_model_version_download_uri(version.name, version.version),
    ):
        assert place.startswith(f"{own}/")
    uri = f"models:/{version.name}/{version.version}/figure.txt"
    return Path(mlflow.artifacts.download_artifacts(uri)).read_text()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", one_of(3, ["plain", "with a blank", "per%20cent"]))
def test_artifacts_follow_a_project_that_is_copied_and_moved(tmp_path, monkeypatch, name):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first, copy, moved = (tmp_path / f"{name} {k}" for k in ("a", "b", "c"))
    runs = [track(first, "of a")]
    before = snapshot(first)
    shutil.copytree(first, copy)
    runs.append(track(copy, "of b"))
    assert [stored(copy, run) for run in runs] == ["of a", "of b"]
    assert snapshot(first) == before
    copy.rename(moved)
    runs.append(track(moved, "of c"))
    assert [stored(moved, run) for run in runs] == ["of a", "of b", "of c"]
    assert not copy.exists()
    assert snapshot(first) == before
    assert stored(first, runs[0]) == "of a"


def test_places_that_others_chose_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track(tmp_path / "a", "own")
    elsewhere = "s3://bucket/other/artifacts"
    mlflow.create_experiment("other", artifact_location=elsewhere)
    (tmp_path / "a").rename(tmp_path / "a2")
    use_tracking(TrackingOptions(), tmp_path / "a2")
    assert mlflow.get_experiment_by_name("other").artifact_location == elsewhere


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


def test_a_report_and_its_run_name_the_cohort_by_one_digest(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    options = TrackingOptions(folder="mlflow")
    run = start_tracking(options, tmp_path, "test", {"cohort.sha256": "123"})
    told = provenance(with_cohort=True)
    assert "Cohort (SHA-256)" not in provenance(with_cohort=False)
    end_run()
    run_id = run.place.run_id
    assert told["MLflow run"] == run_id
    assert told["Cohort (SHA-256)"] == "123" == describe_run(run_id)["Cohort (SHA-256)"]
    assert provenance(with_cohort=True)["Cohort (SHA-256)"] == "unknown"


def test_files_of_a_run_come_back(run_id, tmp_path):
    (path,) = fetch_artifacts(run_id, ["detection_scores.csv"], tmp_path)
    assert path.read_text().startswith("case_id")
    described = describe_run(run_id)
    assert described["MLflow run"] == run_id
    assert described["Name"] == "demo: all"
    assert described["Source revision"] == "abc"
    assert described["Cohort (SHA-256)"] == "123"


@pytest.mark.parametrize("wrong", one_of(3, ["", "f00", None]))
def test_what_is_not_there_is_said_with_the_runs_that_are(run_id, tmp_path, wrong):
    name = "detection_scores.csv" if wrong is not None else "calibration.json"
    with pytest.raises(RunError, match="take one of") as caught:
        fetch_artifacts(run_id if wrong is None else wrong, [name], tmp_path)
    assert f"{run_id} (demo: all)" in str(caught.value)
    assert name in str(caught.value)

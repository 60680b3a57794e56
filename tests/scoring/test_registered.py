"""All stages as one model of MLflow: logged and registered when asked, and fetched again."""

from __future__ import annotations

from types import SimpleNamespace

import mlflow
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from mlflow.tracking import MlflowClient

from lvo_kedro.errors import RunError
from lvo_kedro.scoring import open_bundle
from lvo_kedro.scoring.opening import fetch_bundle
from lvo_kedro.tracking import TrackingOptions, end_run, start_tracking
from lvo_kedro.tracking_hooks import TrackingHooks


@pytest.fixture
def finished(models, tmp_path, monkeypatch):
    """End a run that made ``made``, with these registered models; returns its id."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("lvo_kedro.scoring.models_of", lambda _: models)

    def finish(made: str, registered: dict[str, str]) -> str:
        hooks = TrackingHooks()
        hooks._options = TrackingOptions(folder="mlflow", registered_models=registered)
        hooks._project, hooks._data, hooks._context = tmp_path, tmp_path / "run", None
        (tmp_path / "run" / "06_models").mkdir(parents=True, exist_ok=True)
        run = start_tracking(hooks._options, tmp_path, "test", {})
        steps = pipeline([node(lambda x: x, "study", made, name="write")])
        hooks.after_pipeline_run(steps, DataCatalog({made: MemoryDataset("")}))
        return run.place.run_id

    yield finish
    end_run()


def test_a_run_of_the_whole_method_registers_its_bundle_and_no_other_does(
    finished, models, tmp_path
):
    finished("vessel_metrics", {"scorer": "lvo"})  # a part of the method
    assert not MlflowClient().search_registered_models()
    assert not (tmp_path / "run" / "06_models" / "bundle").exists()
    run = finished("report", {"scorer": "lvo"})
    (version,) = MlflowClient().search_model_versions("name = 'lvo'")
    assert version.run_id == run
    config = {"mlflow": {"folder": "mlflow"}}
    context = SimpleNamespace(project_path=tmp_path, config_loader=config)
    fetched = fetch_bundle(context, run, tmp_path / "fetched")
    assert open_bundle(fetched, "run").sha256 == models.sha256
    local = mlflow.artifacts.download_artifacts(f"models:/lvo/{version.version}")
    described = yaml.safe_load(open(f"{local}/MLmodel"))
    loader = described["flavors"]["python_function"]
    assert (loader["loader_module"], loader["data"]) == ("lvo_kedro.scoring.served", "bundle")
    assert [spec["name"] for spec in yaml.safe_load(described["signature"]["inputs"])] == [
        "path",
        "nifti",
    ]
    with pytest.raises(RunError, match="with a bundle"):
        fetch_bundle(context, "0" * 32, tmp_path / "none")

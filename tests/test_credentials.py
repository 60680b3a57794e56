"""Passwords and keys of a run's surroundings show nowhere: not in MLflow, logs, errors, records."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.errors import RunError
from lvo_kedro.results import show_results
from lvo_kedro.tracking import (
    FoldLog,
    TrackingOptions,
    fetch_artifacts,
    use_tracking,
    without_credentials,
)
from lvo_kedro.tracking_hooks import TrackingHooks
from lvo_kedro.tracking_server import shown

PASSWORD = "p@ss-w0rd"  # noqa: S105
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7SECRET",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-secret-key",
    "AWS_SESSION_TOKEN": "session-token-secret",
    "MLFLOW_S3_ENDPOINT_URL": "https://minio:minio-secret@host",
    "DATABRICKS_TOKEN": "dapi-secret",
}
HIDDEN = (PASSWORD, "p%40ss-w0rd", *SECRETS.values())
EXPERIMENT = {"experiment_id": "1", "name": "lvo_kedro", "lifecycle_stage": "active"}
RUN = {
    "info": {"run_id": "f00", "experiment_id": "1", "status": "RUNNING", "artifact_uri": "x:/"},
    "data": {},
}


class Server(ThreadingHTTPServer):
    """As much of MLflow's server as a run needs; keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.received: list[str] = []
        self.authorized: set[str] = set()
        self.broken = False


class Answer(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.server.received.append(self.path + self.rfile.read(size).decode())
        self.server.authorized.add(self.headers.get("Authorization", ""))
        name = "experiment" if "experiments" in self.path else "run"
        content = {name: EXPERIMENT if name == "experiment" else RUN}
        self.send_response(500 if self.server.broken else 200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    do_GET = do_POST = answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    """A server that is named with user and password, in an environment full of keys."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            monkeypatch.setenv(name, "")
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:p%40ss-w0rd@{host}/")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.chdir(tmp_path)
        before = mlflow.get_tracking_uri()
        yield server
        mlflow.end_run()
        mlflow.set_tracking_uri(before)
        server.shutdown()


def started(project: Path, parameters: dict[str, Any]) -> TrackingHooks:
    """Begin a tracked run, as Kedro does."""
    hooks = TrackingHooks()
    hooks._project = project
    catalog = DataCatalog({"parameters": MemoryDataset(parameters)})
    hooks.before_pipeline_run({"pipeline_names": None, "env": None}, catalog)
    return hooks


def nothing_hidden_in(text: str) -> bool:
    return not [secret for secret in HIDDEN if secret in text]


def test_a_server_gets_the_password_by_its_header_and_nothing_by_its_contents(
    server, tmp_path, caplog, capsys
):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "lvo_kedro")
    hooks = started(tmp_path, {"folds": {"count": 5}})
    hooks.on_pipeline_error(ValueError(f"with {PASSWORD}"))
    sent = "".join(server.received)
    assert "folds.count" in sent and "ValueError" in sent
    assert nothing_hidden_in(sent)
    expected = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    assert server.authorized == {expected, ""}  # whether it is there at all is asked without
    assert "MLflow run" in caplog.text
    out = capsys.readouterr()
    assert nothing_hidden_in(caplog.text + out.out + out.err)


def test_an_error_of_the_server_shows_no_password(server, tmp_path):
    use_tracking(TrackingOptions(), tmp_path)
    server.broken = True
    with pytest.raises(Exception, match="takes no runs from you") as caught:
        use_tracking(TrackingOptions(), tmp_path)
    assert nothing_hidden_in(str(caught.value))
    with pytest.raises(RunError, match="no run") as told:
        server.broken = False
        fetch_artifacts("", ["scores.csv"], tmp_path)
    assert nothing_hidden_in(str(told.value))


def log_once(log: FoldLog, *, folder: Path) -> dict[str, Any]:
    log({"loss": 0.5}, 0)
    return {}


def test_a_fold_whose_server_fails_keeps_no_password(server, tmp_path, caplog):
    started(tmp_path, {})
    log = FoldLog("models", "fold_0", 1)
    server.broken = True
    models = CaseDataset(path=str(tmp_path / "models"), resumable=True)
    models.save({"fold_0": partial(log_once, log)})
    server.broken = False
    kept = "".join(file.read_text() for file in tmp_path.rglob("*.json*"))
    assert "loss" in kept
    assert nothing_hidden_in(kept + caplog.text)


def test_keys_of_the_environment_reach_no_file_of_a_run(server, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    hooks = started(tmp_path, {"folds": {"count": 5}})
    hooks.on_pipeline_error(ValueError("no"))
    assert (tmp_path / "data" / "mlflow" / "mlflow.db").is_file()
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [s for s in HIDDEN if any(s.encode() in content for content in contents)]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql+psycopg://user:secret@host:5432/db", "postgresql+psycopg://host:5432/db"),
        ("mysql://user:se@cret@host/db", "mysql://host/db"),
        ("https://token@host/path", "https://host/path"),
        ("sqlite:////mnt/a@b/mlflow.db", "sqlite:////mnt/a@b/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
        ("databricks", "databricks"),
    ],
)
def test_the_results_show_an_address_without_its_password(address, expected, capsys, monkeypatch):
    assert shown(address) == expected
    monkeypatch.setattr("lvo_kedro.results.settings.EVALUATED_SPLITS", {"s": "s"}, raising=False)
    row = {"title": "AUC", "value": 0.9, "low": 0.8, "high": 1.0, "n": 4}
    none = pd.DataFrame({"check": [], "severity": [], "message": []}, dtype=str)
    tables = {
        "s.summary": pd.DataFrame([row]),
        "s.detection": {"findings": lambda: none},
        "study": {"findings": none},
        "cohort": pd.DataFrame(),
        "report": ReportAt(Path("report.html")),
    }
    show_results(Tables(tables), Path.cwd(), address)
    assert f"Tracking: {expected} " in capsys.readouterr().out


class ReportAt:
    def __init__(self, report: Path) -> None:
        self.report = report


class Tables(dict[str, Any]):
    def load(self, name: str) -> Any:
        return self[name]

    def exists(self, name: str) -> bool:
        return name in self


@pytest.mark.parametrize(
    "address", ["", "http://host:5000/x", "sqlite:////a", "postgresql://u:p@h"]
)
def test_addresses_without_a_servers_password_stay_as_they_are(address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mine")
    assert without_credentials(address) == address
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "mine"  # noqa: S105

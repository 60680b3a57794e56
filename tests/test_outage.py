"""An MLflow server that goes away in mid-run and comes back: nothing waits, nothing is lost."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from lvo_kedro import tracking_run
from lvo_kedro.tracking import TrackingOptions, end_run, log_parameters, start_tracking
from lvo_kedro.tracking_folds import FoldLog
from lvo_kedro.tracking_server import ServerAwayError, answers

OPTIONS = TrackingOptions(folder="mlflow")
PATIENCE = 60.0


class Server:
    """MLflow's own server on this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.address = folder, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store, files = f"sqlite:///{self.folder / 'server.db'}", str(self.folder / "files")
        where = ["--backend-store-uri", store, "--artifacts-destination", files]
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), *where]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [*command, "--workers", "1"], stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + PATIENCE
        while not answers(self.address, 1.0):
            assert time.monotonic() < end, (self.folder / "server.log").read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process:
            import psutil

            family = psutil.Process(self.process.pid).children(recursive=True)
            for process in (*family, self.process):
                process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    before = mlflow.get_tracking_uri()
    yield server
    end_run()
    server.stop()
    mlflow.set_tracking_uri(before)


def test_a_server_that_is_away_at_the_start_is_named_within_seconds(server, tmp_path):
    start = time.monotonic()
    with pytest.raises(ServerAwayError, match=f"127.0.0.1:{server.port} does not answer. Start it"):
        start_tracking(OPTIONS, tmp_path, "test", {})
    assert time.monotonic() - start < 15


@pytest.mark.slow
def test_what_a_server_misses_is_filled_in_when_it_is_back(server, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    server.start()
    run = start_tracking(OPTIONS, tmp_path, "test", {"cohort.sha256": "123"})
    log_parameters(run, {"folds": {"count": 5}})
    log = FoldLog("detectors", "fold_0", 40)
    log({"train_loss": 1.0}, 0)
    server.stop()
    start = time.monotonic()
    for step in range(1, 40):
        log({"train_loss": 1.0 / step}, step)
    run.metrics({"auc": 0.9})
    assert time.monotonic() - start < 15
    assert len([r for r in caplog.records if "does not take" in r.message]) <= 2  # log and run
    end_run()
    assert list((tmp_path / "mlflow" / "unfinished").iterdir())
    server.start()
    monkeypatch.setattr(tracking_run, "RETRY", 0.0)
    start_tracking(OPTIONS, tmp_path, "the next", {})
    end_run()
    client = MlflowClient(server.address)
    told = client.get_run(run.place.run_id)
    assert (told.info.status, told.data.metrics) == ("FINISHED", {"auc": 0.9})
    (child,) = client.search_runs([told.info.experiment_id], "tags.fold = 'detectors.fold_0'")
    history = client.get_metric_history(child.info.run_id, "train_loss")
    assert sorted(metric.step for metric in history) == list(range(40))
    assert child.info.status == "FINISHED"
    assert not list((tmp_path / "mlflow" / "unfinished").iterdir())

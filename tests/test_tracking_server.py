"""An MLflow server that is away, comes back, or never was there; runs that were killed."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from lvo_kedro import tracking_run
from lvo_kedro.tracking import (
    FoldLog,
    TrackingOptions,
    end_run,
    log_parameters,
    start_tracking,
    use_tracking,
)
from lvo_kedro.tracking_calls import describe_file
from lvo_kedro.tracking_run import missed_calls
from lvo_kedro.tracking_server import ServerAwayError, ServerRefusesError, is_outage, shown
from tests.lengths import one_of
from tests.mlflow_server import Server

OPTIONS = TrackingOptions(folder="mlflow")
SERVER = "MLFLOW_TRACKING_URI"
SHOWN = "http://127.0.0.1"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No server unless a test starts one, and no run left open."""
    monkeypatch.delenv(SERVER, raising=False)
    for name in list(os.environ):
        if name.startswith("MLFLOW_HTTP_"):
            monkeypatch.delenv(name)
    yield
    vars(tracking_run._runs).pop("current", None)


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "server")
    yield server
    server.stop()


def unfinished(project):
    return list((project / "mlflow" / "unfinished").iterdir())


@pytest.mark.long
@pytest.mark.slow
def test_what_a_lost_server_missed_is_filled_in_by_the_next_run(
    tmp_path, server, monkeypatch, caplog, capfd
):
    project = tmp_path / "project"
    project.mkdir()
    for name in ("kept.csv", "changed.csv"):
        (project / name).write_text("case_id\na\n")
    server.start()
    monkeypatch.setenv(SERVER, server.address.replace("//", "//reader:secret@"))
    run = start_tracking(OPTIONS, project, "first", {})
    log = FoldLog("detectors", "fold_0", 60)
    log({"train_loss": 1.0}, 0)
    server.stop()

    start = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for epoch in range(1, 60):
            log({"train_loss": 1.0 / (1 + epoch)}, epoch)
        log_parameters(run, {"folds": {"count": 5}})
        run.metrics({"auc": 0.9})
        for name in ("kept.csv", "changed.csv"):
            run.write("artifact", **describe_file(project / name, None))
        run.write("register", "detectors.fold_0", name="lvo-detector")
        end_run()
    assert time.monotonic() - start < 5
    told = [r.getMessage() for r in caplog.records if "does not take" in r.getMessage()]
    assert len(told) == 2  # the fold's process, which here is the same, and the run
    assert all(f"{SHOWN}:{server.port}" in text for text in told)
    files = [path for path in (project / "mlflow").rglob("*") if path.is_file()]
    assert files
    assert not any(b"secret" in path.read_bytes() for path in files)
    assert "secret" not in caplog.text
    assert "secret" not in "".join(capfd.readouterr())

    (project / "changed.csv").write_text("case_id\nanother\n")
    server.start()
    start_tracking(OPTIONS, project, "second", {})
    end_run()
    assert unfinished(project) == []
    client = MlflowClient()
    found = client.get_run(run.place.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"folds.count": "5"}
    assert found.data.metrics == {"auc": 0.9}
    assert [f.path for f in client.list_artifacts(run.place.run_id)] == ["kept.csv"]
    child = client.get_run(run.place.of("detectors.fold_0"))
    assert child.info.status == "FINISHED"
    curve = client.get_metric_history(child.info.run_id, "train_loss")
    assert sorted(point.step for point in curve) == list(range(60))
    (version,) = client.search_model_versions("name = 'lvo-detector'")
    assert version.tags == {"fold": "fold_0"}
    assert "secret" not in "".join(capfd.readouterr())
    assert "changed.csv was changed" in caplog.text


class Away:
    """Stands for a server that is away until it is told to be back."""

    def __init__(self, monkeypatch):
        self.back, self.asked, self.time = False, 0, 1000.0
        self._perform = tracking_run.perform
        monkeypatch.setattr(tracking_run, "perform", self.perform)
        monkeypatch.setattr(tracking_run, "answers", self.answers)
        monkeypatch.setattr(tracking_run, "is_embedded", lambda _: False)
        monkeypatch.setattr(tracking_run.time, "monotonic", lambda: self.time)

    def answers(self, _):
        self.asked += 1
        return self.back

    def perform(self, place, entry):
        if not self.back:
            self.asked += 1
            self.time += 10.0
            raise MlflowException("API request failed")
        self._perform(place, entry)


@pytest.mark.long
def test_a_server_is_asked_only_now_and_then_and_gets_the_rest_at_the_end(tmp_path, monkeypatch):
    run = start_tracking(OPTIONS, tmp_path, "test", {})
    away = Away(monkeypatch)
    for epoch in range(1000):  # a second each
        away.time += 1
        run.metrics({"loss": float(epoch)}, epoch)
    assert 2 <= away.asked <= 40
    away.back = True
    away.time += 1000
    end_run()
    client = MlflowClient()
    history = client.get_metric_history(run.place.run_id, "loss")
    assert sorted((m.step, m.value) for m in history) == [(n, float(n)) for n in range(1000)]
    assert client.get_run(run.place.run_id).info.status == "FINISHED"
    assert unfinished(tmp_path) == []


@pytest.mark.long
def test_a_call_that_is_sent_twice_changes_nothing(tmp_path):
    run = start_tracking(OPTIONS, tmp_path, "test", {})
    numbers = [["loss", 0.5, 1, 0], ["loss", 0.25, 1, 1]]
    for _ in range(2):
        run.write("metrics", "detectors.fold_0", numbers=numbers)
        run.write("history", "detectors.fold_0", numbers=[["loss", 7.0, 0, 9]])
        run.write("register", "detectors.fold_0", name="lvo-detector")
        run.write("params", values={"a": "1"})
    client, child = MlflowClient(), run.place.of("detectors.fold_0")
    assert [m.value for m in client.get_metric_history(child, "loss")] == [0.5, 0.25]
    assert len(client.search_model_versions("name = 'lvo-detector'")) == 1
    end_run()


def test_what_is_wrong_is_not_kept_for_later(tmp_path):
    run = start_tracking(OPTIONS, tmp_path, "test", {})
    with pytest.raises(MlflowException):
        run.metrics({"C7+M1": 1.0})
    assert missed_calls(run.place.folder) == []
    end_run()
    assert not is_outage(RestException({"error_code": "INVALID_PARAMETER_VALUE"}))
    assert is_outage(RestException({"error_code": "TEMPORARILY_UNAVAILABLE"}))


@pytest.mark.parametrize("listens", one_of(2, [False, True]))
def test_a_server_that_does_not_answer_is_a_clear_error(tmp_path, monkeypatch, listens):
    monkeypatch.setattr("lvo_kedro.tracking_server.ATTEMPTS", 2 - listens)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if not listens:
            silent.close()
        monkeypatch.setenv(SERVER, f"http://reader:secret@127.0.0.1:{port}")
        start = time.monotonic()
        with pytest.raises(ServerAwayError) as caught:
            use_tracking(OPTIONS, tmp_path)
    assert time.monotonic() - start < 6
    said = caught.value.message
    assert f"{SHOWN}:{port} does not answer" in said
    assert SERVER in said
    assert "secret" not in said


class Refusing(BaseHTTPRequestHandler):
    """Answers as a server does that wants a password."""

    def do_GET(self):
        self.send_response(401)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        """Say nothing."""


def test_a_server_that_refuses_is_a_clear_error(tmp_path, monkeypatch):
    with HTTPServer(("127.0.0.1", 0), Refusing) as refusing:
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        monkeypatch.setenv(SERVER, f"http://reader:secret@127.0.0.1:{refusing.server_port}")
        with pytest.raises(ServerRefusesError, match="MLFLOW_TRACKING_PASSWORD") as caught:
            use_tracking(OPTIONS, tmp_path)
        refusing.shutdown()
    assert "secret" not in caught.value.message


def test_the_users_patience_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    use_tracking(OPTIONS, tmp_path)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://name:token@host:5000/path?key=1", "https://host:5000/path"),
        ("postgresql://name:word@host/base", "postgresql://host/base"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address, expected):
    assert shown(address) == expected


OTHER = """
import os, sys
from pathlib import Path
from lvo_kedro.tracking import FoldLog, TrackingOptions, end_run, start_tracking
run = start_tracking(TrackingOptions(folder="mlflow"), Path(sys.argv[1]), "score", {})
FoldLog("detectors", "fold_0", 1)({"train_loss": 1.0}, 0)
print(run.place.run_id, flush=True)
sys.stdin.readline()
end_run()
"""


@pytest.mark.long
def test_runs_that_were_killed_are_closed_and_those_that_live_are_left_alone(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    with (
        subprocess.Popen(command, **pipes) as killed,  # noqa: S603
        subprocess.Popen(command, **pipes) as alive,  # noqa: S603
    ):
        first, second = killed.stdout.readline().strip(), alive.stdout.readline().strip()
        killed.kill()
        killed.wait()
        start_tracking(OPTIONS, tmp_path, "next", {})
        end_run()
        client = MlflowClient()
        runs = {
            r.info.run_id: r
            for r in mlflow.search_runs(search_all_experiments=True, output_format="list")
        }
        status = {run_id: run.info.status for run_id, run in runs.items()}
        children = {
            run.data.tags["mlflow.parentRunId"]: run.info.status
            for run in runs.values()
            if "fold" in run.data.tags
        }
        assert (status[first], children[first]) == ("KILLED", "KILLED")
        assert (status[second], children[second]) == ("RUNNING", "RUNNING")
        assert [path.name for path in unfinished(tmp_path)] == [second]
        alive.communicate("end\n")
    assert client.get_run(second).info.status == "FINISHED"
    assert unfinished(tmp_path) == []


@pytest.mark.long
def test_a_run_whose_last_call_was_cut_off_is_closed(tmp_path):
    run = start_tracking(OPTIONS, tmp_path, "test", {})
    entry = {"call": "metrics", "fold": "", "when": 1, "numbers": [["auc", 0.5, 0, 0]]}
    missed = run.place.folder / "missed-1.jsonl"
    missed.write_text(json.dumps(entry) + '\n{"call": "metr')
    run._lock.release()  # as when its process is killed
    start_tracking(OPTIONS, tmp_path, "next", {})
    end_run()
    found = MlflowClient().get_run(run.place.run_id)
    assert found.info.status == "KILLED"
    assert found.data.metrics == {"auc": 0.5}

"""An MLflow server on PostgreSQL, as a group shares it: everything that a run writes.

Needs psycopg2 and PostgreSQL's ``initdb`` and ``pg_ctl``; PostgreSQL does not run as root, so root
needs ``runuser`` and the user postgres or nobody.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from lvo_kedro import tracking_run
from lvo_kedro.tracking import (
    FoldLog,
    TrackingOptions,
    end_run,
    log_fold,
    log_parameters,
    start_tracking,
)
from lvo_kedro.tracking_calls import describe_file
from tests.mlflow_server import Server

pwd = pytest.importorskip("pwd", reason="Windows has no such users")
pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
DEBIAN = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
"""Where Debian's packages put what is not for everybody's path."""
PLACES = os.pathsep.join([os.environ.get("PATH", ""), *DEBIAN])
for _program in ("initdb", "pg_ctl"):
    if not shutil.which(_program, path=PLACES):
        pytest.skip(f"PostgreSQL's {_program} is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow

ROWS = 1000
CASES = 10000


def unprivileged() -> str:
    """Return the user that PostgreSQL runs as, where we are root; nothing where we are not."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    found = [name for name in ("postgres", "nobody") if name in known]
    if not found or not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no other user to run it")
    return found[0]


class Database:
    """A PostgreSQL of its own, in a folder that its user may reach."""

    def __init__(self) -> None:
        self._user = unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="lvo-postgres-"))
        if self._user:
            shutil.chown(self.folder, self._user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._run("initdb", "-A", "trust", "-U", "mlflow", "--no-sync")
        self.address = f"postgresql+psycopg2://mlflow:secret@127.0.0.1:{self.port}/postgres"

    def control(self, order: str) -> None:
        """Start, stop or restart it, and wait until it has."""
        settings = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", order, "-w", "-m", "immediate", "-o", settings, "-l", log)

    def _run(self, program: str, *arguments: str) -> None:
        user = ["runuser", "-u", self._user, "--"] if self._user else []
        subprocess.run(  # noqa: S603
            [
                *user,
                str(shutil.which(program, path=PLACES)),
                "-D",
                str(self.folder / "data"),
                *arguments,
            ],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )


@pytest.fixture
def database():
    database = Database()
    try:
        database.control("start")
        yield database
        database.control("stop")
    finally:
        shutil.rmtree(database.folder, ignore_errors=True)


@pytest.fixture
def server(tmp_path, database, monkeypatch):
    server = Server(tmp_path / "server", database.address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    yield server
    server.stop()
    vars(tracking_run._runs).pop("current", None)


def test_a_run_on_postgresql_has_everything_also_after_a_restart(tmp_path, database, server):
    model, table = tmp_path / "fold_0", tmp_path / "scores.csv"
    model.mkdir()
    epochs = range(ROWS)
    history = {"epoch": epochs, "train_loss": [1 / (1 + n) for n in epochs]}
    pd.DataFrame(history).to_csv(model / "history.csv", index=False)
    scores = {"case_id": [f"case-{n:05d}" for n in range(CASES)], "probability": 0.123456789}
    pd.DataFrame(scores).to_csv(table, index=False)
    server.start()
    run = start_tracking(TrackingOptions(folder="mlflow"), tmp_path, "test", {"a": "tag"})
    log_parameters(run, {"block": {f"option_{n}": n for n in range(250)}})
    curves = FoldLog("occlusion_models", "fold_0", 3)
    curves({"train_loss": 1.0}, 0)
    log_fold(run, "detectors.fold_0", model, ("*.csv",))
    server.stop()
    database.control("restart")

    curves({"train_loss": 0.5}, 1)  # missed
    run.metrics({f"detection.{n}": n / ROWS for n in range(ROWS)})
    run.write("artifact", **describe_file(table, "tables"))
    server.start()
    run.write("register", "detectors.fold_0", name="lvo-detector")
    end_run()

    assert list((tmp_path / "mlflow" / "unfinished").iterdir()) == []
    client = MlflowClient()
    found = client.get_run(run.place.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {f"block.option_{n}": str(n) for n in range(250)}
    assert found.data.metrics == {f"detection.{n}": n / ROWS for n in range(ROWS)}
    stored = client.download_artifacts(run.place.run_id, "tables/scores.csv", str(tmp_path))
    assert Path(stored).read_bytes() == table.read_bytes()
    child = run.place.of("detectors.fold_0")
    points = client.get_metric_history(child, "train_loss")
    assert sorted((p.step, p.value) for p in points) == list(zip(*history.values(), strict=True))
    other = client.get_run(run.place.of("occlusion_models.fold_0"))
    assert (other.info.status, other.data.metrics) == ("FINISHED", {"train_loss": 0.5})
    (version,) = client.search_model_versions("name = 'lvo-detector'")
    assert (version.run_id, version.tags) == (child, {"fold": "fold_0"})
    assert [f.path for f in client.list_artifacts(child, "model")] == ["model/history.csv"]

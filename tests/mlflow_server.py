"""Real servers of MLflow on this machine, which a test may stop and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lvo_kedro.tracking_server import answers


class Program:
    """A command of MLflow that listens at a free port of this machine.

    Args:
        folder: Where it runs; its words go to ``server.log`` there.
        command: What follows ``mlflow``, but for the port.
        settings: Environment variables besides this process's, of which it gets none of MLflow's.
    """

    def __init__(self, folder: Path, *command: str, **settings: str) -> None:
        self._folder, self._command, self._settings = folder, command, settings
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._folder.mkdir(exist_ok=True)
        own = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "mlflow", *self._command, "--port", str(self.port)],
                cwd=self._folder,
                env=own | self._settings,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 180
        while not answers(self.address, 1.0):
            assert self._process.poll() is None, log.name
            assert time.monotonic() < end
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop it, with its workers."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Server(Program):
    """A server with a store of its own, below ``folder`` unless ``store`` names another.

    Args:
        folder: Where its artifacts lie.
        store: Address of its database.
    """

    def __init__(self, folder: Path, store: str = "") -> None:
        store = store or f"sqlite:///{folder / 'server.db'}"
        places = ["--backend-store-uri", store, "--artifacts-destination"]
        artifacts = (folder / "artifacts").as_uri()
        super().__init__(folder, "server", "--workers", "1", *places, artifacts)


class ModelServer(Program):
    """``mlflow models serve`` with the packages that are installed, on loopback.

    Args:
        folder: Where it runs.
        model: Folder of the model.
        settings: Environment variables.
    """

    def __init__(self, folder: Path, model: Path, **settings: str) -> None:
        how = ["--env-manager", "local", "--host", "127.0.0.1", "--workers", "1"]
        # it looks for uvicorn there, as in an environment that is activated
        settings["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        super().__init__(folder, "models", "serve", "--model-uri", str(model), *how, **settings)

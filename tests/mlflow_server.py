"""A real MLflow server on this machine, which a test may stop and start again."""

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


class Server:
    """A server with a store of its own, below ``folder`` unless ``store`` names another.

    Args:
        folder: Where its artifacts lie.
        store: Address of its database.
    """

    def __init__(self, folder: Path, store: str = "") -> None:
        self._folder, self._store = folder, store or f"sqlite:///{folder / 'server.db'}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port"]
        places = ["--backend-store-uri", self._store, "--artifacts-destination"]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [*command, str(self.port), *places, (self._folder / "artifacts").as_uri()],
                env={k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + 90
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

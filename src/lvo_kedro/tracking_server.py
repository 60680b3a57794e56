"""An MLflow server that may be away: how long it is waited for, and what of it is shown."""

from __future__ import annotations

import logging
import os
import socket
import time
from urllib.parse import urlsplit, urlunsplit

import requests
from click import ClickException
from mlflow.exceptions import MlflowException

SERVER = "MLFLOW_TRACKING_URI"
REQUESTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""MLflow's own settings, unless somebody has set them: its defaults wait for minutes."""
PRINTING = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
"""Or MLflow prints the address at the end of each run, with the password that may be in it."""
ATTEMPTS, PAUSE = 3, 1.0
"""How often a server is asked at the start of a run, and the seconds in between."""
SECONDS = 4.0
"""How long a server may take to say that it is there."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class ServerAwayError(ClickException):
    """The tracking server does not answer; shown on the command line as it is."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"the MLflow server at {shown(address)} does not answer. Start it, correct the "
            f"environment variable {SERVER}, or unset that to track runs in the data folder; "
            "nothing was computed"
        )


class ServerRefusesError(ClickException):
    """Something answers there, but takes no runs; shown on the command line as it is."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{shown(address)} answers, but takes no runs from you. See that {SERVER} is the "
            "address of an MLflow server, and that name and password (MLFLOW_TRACKING_USERNAME, "
            "MLFLOW_TRACKING_PASSWORD) or token (MLFLOW_TRACKING_TOKEN) are right; nothing was "
            "computed"
        )


def be_impatient() -> None:
    """Let requests to a server fail soon, and let nobody read about each attempt."""
    for name, value in REQUESTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault(PRINTING, "true")
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    # errors of a database are raised, with a page of the log before
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def require_server(address: str) -> None:
    """See to it that a server is there.

    Raises:
        ServerAwayError: It is not, within some seconds.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        if answers(address):
            return
    raise ServerAwayError(address)


def is_embedded(address: str) -> bool:
    """Return whether an address is that of a file, which cannot be away."""
    return urlsplit(address).scheme.partition("+")[0] in ("sqlite", "file", "")


def answers(address: str, seconds: float = SECONDS) -> bool:
    """Return whether a server, or a database, is there at all; what it says does not matter."""
    parts = urlsplit(address)
    try:
        if parts.scheme in ("http", "https"):
            reply = requests.get(f"{address.rstrip('/')}/health", timeout=seconds, stream=True)
            reply.close()
            return reply.status_code not in (502, 503, 504)
        port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
        if parts.hostname and port:
            socket.create_connection((parts.hostname, port), timeout=seconds).close()
    except requests.exceptions.SSLError:  # it is there, and MLflow may be told to trust it
        return True
    except (requests.RequestException, OSError):
        return False
    return True


def is_outage(error: Exception) -> bool:
    """Return whether a server may take the same call another time: it was not wrong."""
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        return status >= 500 or status in (401, 403, 408, 429)
    return isinstance(error, requests.RequestException)


def shown(address: str) -> str:
    """Return an address as it may be shown: without name, password or token."""
    parts = urlsplit(address)
    if is_embedded(address):
        return address
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path, "", ""))

"""What runs left behind that were killed, or whose server was away when they ended."""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING

from filelock import Timeout
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from lvo_kedro.lock import file_lock, one_at_a_time
from lvo_kedro.tracking_calls import Place, perform
from lvo_kedro.tracking_database import embedded_address
from lvo_kedro.tracking_run import (
    CARD,
    LOCKED,
    UNFINISHED,
    forget,
    missed_calls,
    replay,
)
from lvo_kedro.tracking_server import (
    SERVER,
    answers,
    be_impatient,
    is_embedded,
    is_outage,
    shown,
)

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)


def close_left_runs(folder: Path, patience: float = 0.0) -> None:
    """Send what the servers of earlier runs missed, and close as killed those that did not end.

    Runs of a process that lives are left alone, and those whose server is away.

    Args:
        folder: Of the embedded database; runs on a server are listed there as well.
        patience: Seconds to wait for a process that is just ending: its last thread lets go.
    """
    be_impatient()
    for left in sorted((folder / UNFINISHED).glob("*")):
        try:
            with one_at_a_time(folder):  # or it could be one that is just being listed
                lock = file_lock(left / LOCKED)
                lock.acquire(timeout=patience)
        except (Timeout, FileNotFoundError):  # it goes on, or somebody else has closed it
            continue
        try:
            closed = not (left / CARD).is_file() or _close(left, folder)
        finally:
            lock.release()
        if closed:
            forget(left)


def _close(left: Path, folder: Path) -> bool:
    """Close one run; return whether that is all there is to do about it."""
    card = json.loads((left / CARD).read_text(encoding="utf-8"))
    address = _address(card["address"], folder)
    if not is_embedded(address) and not answers(address):
        text = "a run of %s waits in %s until the MLflow server at %s is back"
        logger.warning(text, card["host"], left, shown(address))
        return False
    place = Place(address, card["experiment"], card["run_id"], left)
    ended = any(call["call"] == "end" and not call["fold"] for call in missed_calls(left))
    try:
        if not replay(place):
            return False
        run = MlflowClient(address).get_run(place.run_id)
        if run.info.status == "RUNNING" and not ended:
            killed = {"call": "end", "fold": "", "status": "KILLED", "when": time.time_ns()}
            perform(place, killed)
            logger.info("MLflow run %s, which was killed, is closed", place.run_id)
    except MlflowException as error:
        if is_embedded(address) and is_outage(error):
            raise
        if is_outage(error):
            return False
        logger.warning("MLflow does not know the run %s any more", place.run_id)
    return True


def _address(noted: str, folder: Path) -> str:
    """Return the address that a card means: a password is not noted, but may still be set."""
    given = os.environ.get(SERVER, "")
    if not noted:
        return embedded_address(folder)
    return given if shown(given) == noted else noted

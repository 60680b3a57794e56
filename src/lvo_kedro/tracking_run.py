"""One tracked run: all that is written to it passes through :class:`Recorder`.

A server may go away in mid-run. What it misses is then kept in the run's folder below
``<data>/mlflow/unfinished``, a line of JSON a call, and sent once it is back: at the end of the
run, or by the next one (:mod:`lvo_kedro.tracking_recovery`).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from lvo_kedro.artifacts import write_json
from lvo_kedro.lock import file_lock, one_at_a_time
from lvo_kedro.tracking_calls import Call, Place, perform
from lvo_kedro.tracking_server import answers, is_embedded, is_outage, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from filelock import FileLock

logger = logging.getLogger(__name__)

UNFINISHED = "unfinished"
"""Beside the embedded database: a folder for each run that is open, or that was not sent whole."""
CARD, LOCKED, MISSED = "run.json", ".lock", "missed-{}.jsonl"
RETRY, SHARE = 30.0, 20.0
"""After a failure nothing is sent for so many seconds, and for so many times as long as it took."""
FRESH = 5.0
"""Seconds for which a server that took a call is known to be there."""

_runs = threading.local()


class Recorder:
    """Writes to a run; where its server is away, to a file, and goes on at once.

    Args:
        place: The run.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._away_until = self._heard = 0.0
        self._told = False

    def metrics(self, numbers: Mapping[str, float], step: int = 0, fold: str = "") -> None:
        """Write numbers by name."""
        now = round(time.time() * 1000)
        self.write("metrics", fold, numbers=[[n, float(v), now, step] for n, v in numbers.items()])

    def write(self, call: str, fold: str = "", **what: Any) -> None:
        """Carry out a call (see :func:`perform`), at once or later.

        Args:
            call: Its name.
            fold: Whose run it is for: a fold's, or the run itself.
            what: Its arguments, in plain values.
        """
        entry = {"call": call, "fold": fold, "when": time.time_ns()} | what
        if self._is_away():
            self._keep(entry)
            return
        start = time.monotonic()
        try:
            perform(self.place, entry)
        except Exception as error:
            if is_embedded(self.place.address) or not is_outage(error):
                raise
            self._note_absence(time.monotonic() - start, type(error).__name__)
            self._keep(entry)
        else:
            self._heard = time.monotonic()

    def _is_away(self) -> bool:
        """Return whether to do without the server; it is asked now and then."""
        now = time.monotonic()
        if now < self._away_until:
            return True
        known = not self._away_until and now < self._heard + FRESH
        if known or is_embedded(self.place.address):
            return False
        if answers(self.place.address):  # sooner than a call, which waits much longer
            self._heard, self._away_until = time.monotonic(), 0.0
            return False
        self._note_absence(time.monotonic() - now, "no answer")
        return True

    def _note_absence(self, took: float, reason: str) -> None:
        self._away_until = time.monotonic() + max(RETRY, SHARE * took)
        if not self._told:
            text = (
                "the MLflow server at %s does not take what the run has to tell (%s): the run goes "
                "on, and that is kept in %s until the server is back"
            )
            logger.warning(text, shown(self.place.address), reason, self.place.folder)
        self._told = True

    def _keep(self, entry: Call) -> None:
        with (self.place.folder / MISSED.format(os.getpid())).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


class TrackedRun(Recorder):
    """The run of this process, which others see that it is open.

    Args:
        place: The run.
        lock: Held as long as it is open.
        tags: What it was started with.
    """

    def __init__(self, place: Place, lock: FileLock, tags: Mapping[str, str]) -> None:
        super().__init__(place)
        self._lock, self._heard = lock, time.monotonic()
        self.tags = dict(tags)

    def end(self, status: str = "FINISHED") -> None:
        """End the run, and those of its folds that nobody completed; send what waits."""
        try:
            if is_waiting(self.place) and answers(self.place.address):
                self._away_until = 0.0
                replay(self.place)
            self.write("end", status=status)
        finally:
            self._lock.release()
        if not is_waiting(self.place):
            forget(self.place.folder)
        else:
            text = "MLflow has not got all of this run: the next run sends the rest, in %s"
            logger.warning(text, self.place.folder)


def start_run(address: str, experiment: str, folder: Path, name: str, tags: Call) -> TrackedRun:
    """Start a run, which becomes this thread's.

    Args:
        address: Of a server or of the embedded database.
        experiment: Id of the experiment.
        folder: Where unfinished runs are listed.
        name: As MLflow shows it.
        tags: What is known of it.
    """
    made = MlflowClient(address).create_run(experiment, tags=resolve_tags(tags), run_name=name)
    place = Place(address, experiment, made.info.run_id, folder / UNFINISHED / made.info.run_id)
    card = asdict(place) | {
        "address": "" if is_embedded(address) else shown(address),  # no password in a file
        "folder": "",
        "host": socket.gethostname(),
        "process": os.getpid(),
    }
    with one_at_a_time(folder):
        place.folder.mkdir(parents=True)
        lock = file_lock(place.folder / LOCKED)
        lock.acquire()
        write_json(place.folder / CARD, card)
    _runs.current = TrackedRun(place, lock, tags)
    return _runs.current


def current_run() -> TrackedRun | None:
    """Return this thread's run, if one is open."""
    run: TrackedRun | None = vars(_runs).get("current")
    return run


def end_run(status: str = "FINISHED") -> None:
    """End this thread's run, if one is open."""
    run: TrackedRun | None = vars(_runs).pop("current", None)
    if run:
        run.end(status)


def is_waiting(place: Place) -> bool:
    """Return whether a run has calls that its server missed."""
    return any(_missed_files(place.folder))


def missed_calls(folder: Path) -> list[Call]:
    """Return them in the order in which they were made; a line that was cut off is none."""
    calls = []
    for path in _missed_files(folder):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                calls.append(json.loads(line))
            except ValueError:
                logger.warning("a line in %s is cut off: left out", path)
    return sorted(calls, key=lambda call: int(call["when"]))


def replay(place: Place) -> bool:
    """Send what a run's server missed; return whether it was there to the end.

    A call that it refuses is left out, with a warning: it would refuse it every time.
    """
    for call in missed_calls(place.folder):
        try:
            perform(place, call)
        except Exception as error:
            if is_outage(error):
                return False
            if not isinstance(error, MlflowException | OSError):
                raise
            logger.warning("MLflow refuses '%s' (%s): left out", call["call"], type(error).__name__)
    for path in _missed_files(place.folder):
        path.unlink()
    return True


def forget(folder: Path) -> None:
    """Take a run that is closed and complete off the list."""
    for path in [*_missed_files(folder), folder / CARD, folder / LOCKED]:
        path.unlink(missing_ok=True)
    folder.rmdir()


def _missed_files(folder: Path) -> Iterator[Path]:
    return folder.glob(MISSED.format("*"))

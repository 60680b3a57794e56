"""One tracked run: all that is written to it passes through :class:`Recorder`.

A server may go away in mid-run. What it misses is then kept in the run's folder below
``<data>/mlflow/unfinished``, a line of JSON a call, and sent once it is back: at the end of the
run, or by the next one (:mod:`lvo_kedro.tracking_recovery`). The same function,
:func:`perform`, carries out a call at once and later.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags

from lvo_kedro.artifacts import write_json
from lvo_kedro.lock import file_lock, one_at_a_time
from lvo_kedro.tracking_server import answers, is_embedded, is_outage, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from filelock import FileLock

logger = logging.getLogger(__name__)

PARENT_TAG = "mlflow.parentRunId"
UNFINISHED = "unfinished"
"""Beside the embedded database: a folder for each run that is open, or that was not sent whole."""
CARD, LOCKED, MISSED = "run.json", ".lock", "missed-{}.jsonl"
RETRY, SHARE = 30.0, 20.0
"""After a failure nothing is sent for so many seconds, and for so many times as long as it took."""
PER_CALL = 900
"""Metrics that are sent at once."""

Call = dict[str, Any]

_runs = threading.local()


@dataclass(frozen=True)
class Place:
    """Where a run is; may be sent to another process."""

    address: str
    experiment: str
    run_id: str
    folder: Path
    children: dict[str, str] = field(default_factory=dict, compare=False)
    """Ids of the folds' runs, as far as they are known here."""

    def of(self, fold: str) -> str:
        """Return the id of the run itself, or of its child for a fold, made where there is none."""
        if fold and fold not in self.children:
            self.children[fold] = self._child(fold)
        return self.children[fold] if fold else self.run_id

    def _child(self, fold: str) -> str:
        client = MlflowClient(self.address)
        query = f"tags.`{PARENT_TAG}` = '{self.run_id}' and tags.fold = '{fold}'"
        found = client.search_runs([self.experiment], query)
        if found:
            return str(found[0].info.run_id)
        tags, name = {PARENT_TAG: self.run_id, "fold": fold}, fold.replace(".", " ", 1)
        return str(client.create_run(self.experiment, tags=tags, run_name=name).info.run_id)


class Recorder:
    """Writes to a run; where its server is away, to a file, and goes on at once.

    Args:
        place: The run.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._away_until = 0.0
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

    def _is_away(self) -> bool:
        """Return whether to do without the server; it is asked now and then."""
        if not self._away_until:
            return False
        start = time.monotonic()
        if start < self._away_until:
            return True
        if answers(self.place.address):
            self._away_until = 0.0
            return False
        self._note_absence(time.monotonic() - start, "")
        return True

    def _note_absence(self, took: float, error: str) -> None:
        self._away_until = time.monotonic() + max(RETRY, SHARE * took)
        if not self._told:
            text = (
                "the MLflow server at %s does not take what the run has to tell (%s): the run goes "
                "on, and that is kept in %s until the server is back"
            )
            logger.warning(text, shown(self.place.address), error, self.place.folder)
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
        self._lock = lock
        self.tags = dict(tags)

    def end(self, status: str = "FINISHED") -> None:
        """End the run, and those of its folds that nobody completed; send what waits."""
        if is_waiting(self.place) and not self._is_away():
            replay(self.place)
        self.write("end", status=status)
        waits = is_waiting(self.place)
        self._lock.release()
        if not waits:
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


def perform(place: Place, entry: Call) -> None:
    """Carry out one call; a second time changes nothing."""
    client, run_id = MlflowClient(place.address), place.of(entry["fold"])
    match entry["call"]:
        case "metrics":
            send_metrics(client, run_id, entry["numbers"])
        case "history":  # of a fold that an earlier run trained, and that has no curves here
            if not client.get_run(run_id).data.metrics:
                send_metrics(client, run_id, entry["numbers"])
        case "params":
            flat = [Param(name, value) for name, value in entry["values"].items()]
            for start in range(0, len(flat), 100):
                client.log_batch(run_id, params=flat[start : start + 100])
        case "tag":
            client.set_tag(run_id, entry["name"], entry["value"])
        case "artifact":
            _send_file(client, run_id, entry)
        case "signature":
            from lvo_kedro import serving  # noqa: PLC0415 - loads torch

            serving.log_signature(client, run_id, Path(entry["path"]))
        case "register":
            _register(client, run_id, entry["name"], entry["fold"])
        case "end":
            _end(client, place, run_id, entry)


def send_metrics(client: MlflowClient, run_id: str, numbers: Sequence[Sequence[Any]]) -> None:
    """Send rows of name, value, time (ms) and step."""
    for start in range(0, len(numbers), PER_CALL):
        rows = numbers[start : start + PER_CALL]
        client.log_batch(run_id, metrics=[Metric(*row) for row in rows])


def describe_file(path: Path, place: str | None) -> Call:
    """Return what a call ``artifact`` must know to send a file now or later."""
    return {"path": str(path.resolve()), "place": place, "state": _state(path)}


def _state(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


def _send_file(client: MlflowClient, run_id: str, entry: Call) -> None:
    path = Path(entry["path"])
    if not path.is_file() or _state(path) != entry["state"]:
        logger.warning("%s was changed before MLflow had got it: left out", path.name)
        return
    client.log_artifact(run_id, str(path), entry["place"])


def _register(client: MlflowClient, run_id: str, name: str, fold: str) -> None:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    if client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        return
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    tags = {"fold": fold.partition(".")[2]}
    client.create_model_version(name, source, run_id, tags=tags)


def _end(client: MlflowClient, place: Place, run_id: str, entry: Call) -> None:
    when = entry["when"] // 1_000_000
    if not entry["fold"]:
        query = f"tags.`{PARENT_TAG}` = '{run_id}' and attributes.status = 'RUNNING'"
        for child in client.search_runs([place.experiment], query):
            client.set_terminated(child.info.run_id, entry["status"], when)
    client.set_terminated(run_id, entry["status"], when)


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

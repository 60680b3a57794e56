"""The calls by which a run is written to MLflow, in plain values: carried out at once, or later."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

PARENT_TAG = "mlflow.parentRunId"
PER_CALL = 900
"""Metrics that are sent at once."""

Call = dict[str, Any]
"""Its name (``call``), whose run it is for (``fold``), ``when`` (ns), and its arguments."""


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

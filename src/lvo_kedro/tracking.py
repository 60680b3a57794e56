"""MLflow: where runs go, and the live curves of a fold.

The science code is handed a callable ``log(metrics, step)``; :class:`FoldLog` is that callable.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import sqlite3
import subprocess
from collections.abc import Collection, Mapping
from contextlib import closing, nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pydantic import Field
from sqlalchemy import URL

from lvo_kedro import progress
from lvo_kedro.errors import RunError
from lvo_kedro.lock import one_at_a_time
from lvo_kedro.options import Options

PACKAGES = ("lvo-kedro", "kedro", "torch", "nnunetv2", "antspyx", "monai", "nibabel", "mlflow")
PARENT_TAG = "mlflow.parentRunId"
COHORT_TAG = "cohort.sha256"
DATABASE = "mlflow.db"
SERVER = "MLFLOW_TRACKING_URI"
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Tables and columns in which MLflow keeps where artifacts lie."""
TOLD = (("pseudo_dice", "Dice"), ("validation_auc", "AUC"), ("train_loss", "loss"))
"""Metrics of an epoch, of which its line of the log shows the first that is there, by this name."""
METRICS_PER_CALL = 900
PRIVATE = ("new_scans",)
"""Parameters that name a user's files: they are neither tracked nor reported."""


class TrackingOptions(Options):
    """What of a run goes to MLflow; every name is a catalog entry (``conf/base/mlflow.yml``)."""

    experiment: str = "lvo_kedro"
    """Experiment of all runs."""
    folder: str = "data/mlflow"
    """Database and artifacts; ``MLFLOW_TRACKING_URI`` names a server instead."""
    metrics: tuple[str, ...] = ()
    """Entries that hold numbers by name, logged as metrics ``<entry>.<name>``."""
    artifacts: tuple[str, ...] = ()
    """Entries whose files are copied as artifacts: tables, figures, the report. No images."""
    models: tuple[str, ...] = ()
    """Entries with a model folder per fold: a child run each, with curves and the files."""
    model_files: tuple[str, ...] = Field(default=("*.json", "*.csv", "*.safetensors", "*.pth"))
    """Files of a model folder that are copied."""
    registered_models: Mapping[str, str] = Field(default_factory=dict)
    """Registered name by entry of ``models``; empty registers nothing."""


def use_tracking(options: TrackingOptions, project: Path) -> str:
    """Point MLflow to its server or embedded database, and return the address as it may be shown.

    The embedded default is an absolute SQLite path, so that it is the same from any folder. Its
    artifacts lie beside it, also after the folder was copied or moved.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # its database's upkeep is no news
    given = address = without_credentials(os.environ.get(SERVER, ""))
    folder = (project / options.folder).resolve()
    place = (folder / "artifacts").as_uri()
    if not address:
        folder.mkdir(parents=True, exist_ok=True)
        follow_artifacts(folder / DATABASE, place)
        # SQLAlchemy knows which characters of a path an address must not show as they are
        address = URL.create("sqlite", database=str(folder / DATABASE)).render_as_string()
    mlflow.set_tracking_uri(address)
    if not given:  # MLflow sets it: the next run in this process, on other data, would come here
        os.environ.pop(SERVER, None)
    # two that make the tables or the experiment at once would both fail
    with nullcontext() if given else one_at_a_time(folder):
        if mlflow.get_experiment_by_name(options.experiment) is None:
            local = place if address.startswith("sqlite:") else None
            mlflow.create_experiment(options.experiment, artifact_location=local)
    mlflow.set_experiment(options.experiment)
    return shown(address)


def without_credentials(address: str) -> str:
    """Return a server's address without user and password, which MLflow gets by its own variables.

    It would put them into every error of a request, and those of a worker stand in a case's record.
    """
    parts = urlsplit(address)
    if not parts.scheme.startswith("http") or not parts.password:
        return address
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def shown(address: str) -> str:
    """Return an address as it may be shown: without the user and password of a database server."""
    return re.sub(r"^([\w+.-]+://)[^/]*@", r"\1***@", address)


def follow_artifacts(database: Path, place: str) -> None:
    """Let an embedded database that was copied or moved with its artifacts name their new place.

    MLflow stores absolute locations, of which a copy's would still be those of the original. Only
    what lies in a place that this project made (``.../mlflow/artifacts``) is renamed.

    Args:
        database: The SQLite file; nothing happens where there is none yet.
        place: Address of the folder of artifacts, as it is now.
    """
    if not database.is_file():
        return
    own = place.split("/")[-2:]
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        columns = [pair for pair in LOCATIONS if _has_column(connection, *pair)]
        if LOCATIONS[0] not in columns:  # MLflow has not got as far as its tables yet
            return
        known = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        moved = [old for (old,) in known if old and old != place and old.split("/")[-2:] == own]
        if not moved:
            return
        connection.execute("BEGIN IMMEDIATE")
        for old in moved:
            for table, column in columns:
                # not LIKE, to which the % of an address is a wildcard
                rename = (
                    f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "  # noqa: S608
                    f"WHERE substr({column} || '/', 1, length(:old) + 1) = :old || '/'"
                )
                connection.execute(rename, {"old": old, "new": place})
        connection.execute("COMMIT")


def _has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    query = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
    return connection.execute(query, (table, column)).fetchone() is not None


def run_tags(project: Path) -> dict[str, str]:
    """Return git revision and package versions: what a number must be traced back to."""
    versions = {f"version.{name}": version for name, version in package_versions().items()}
    return versions | {"git.revision": git_revision(project)}


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def provenance(*, with_cohort: bool) -> dict[str, str]:
    """Return where results come from: date, run, revision, digest of the cohort if there is one.

    The digest is the one that the run carries as a tag: the SHA-256 of the cohort table's file, as
    the user wrote it and as it was when the run began, wherever the data folder lies.

    Args:
        with_cohort: Whether the results are those of the run's own cohort.

    Returns:
        Values by the names that the report shows.
    """
    run = mlflow.active_run()
    digest = {"Cohort (SHA-256)": cohort_digest(run)} if with_cohort else {}
    return {
        "Date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "MLflow run": run.info.run_id if run else "none",
        "Source revision": git_revision(Path(__file__).parent),
    } | digest


def cohort_digest(run: Run | None) -> str:
    """Return the digest of a run's cohort table, which :func:`provenance` describes."""
    return str(run.data.tags.get(COHORT_TAG, "unknown")) if run else "unknown"


def git_revision(project: Path) -> str:
    """Return the commit, with ``+changes`` where the working tree differs from it."""
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "-uno"])
    try:
        commit, changes = (
            subprocess.run(c, cwd=project, capture_output=True, text=True, check=True).stdout  # noqa: S603
            for c in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.strip() + ("+changes" if changes.strip() else "")


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested parameters as dotted names, each with a plain value."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return flat


class FoldLog:
    """Follows one fold's training: tells its epochs, and logs its curves to a child run.

    It may be sent to another process: it logs to the run that was active where it was made, and
    to nothing where there was none.

    Args:
        stage: What is trained, such as ``vessel_models``.
        fold: Its name, such as ``fold_0``.
        epochs: How many it trains for.
    """

    fingerprint = None  # watching a training does not change it

    def __init__(self, stage: str, fold: str, epochs: int) -> None:
        self.stage, self.fold, self.epochs = stage, fold, epochs
        run = mlflow.active_run()
        self._parent, self._experiment = "", ""
        if run is not None:
            self._parent, self._experiment = run.info.run_id, run.info.experiment_id
        self._address = mlflow.get_tracking_uri()
        self._run_id: str | None = None

    def __call__(self, metrics: Mapping[str, float], step: int) -> None:
        """Tell and log ``metrics`` of the given epoch, counted from 0."""
        shown = [f"{word} {metrics[name]:.2f}" for name, word in TOLD if name in metrics]
        progress.tell(step + 1, self.epochs, "".join(shown[:1]))
        if not self._parent:
            return
        client = MlflowClient(self._address)
        if self._run_id is None:
            parent = (self._parent, self._experiment)
            self._run_id = child_run(client, *parent, self.stage, self.fold)
        numbers = [Metric(name, float(value), 0, step) for name, value in metrics.items()]
        client.log_batch(self._run_id, metrics=numbers)


def child_run(client: MlflowClient, parent: str, experiment: str, stage: str, fold: str) -> str:
    """Return the id of a run's child for a fold, made where there is none."""
    query = f"tags.`{PARENT_TAG}` = '{parent}' and tags.fold = '{stage}.{fold}'"
    found = client.search_runs([experiment], query)
    if found:
        run_id: str = found[0].info.run_id
        return run_id
    tags = {PARENT_TAG: parent, "fold": f"{stage}.{fold}"}
    created: str = client.create_run(experiment, tags=tags, run_name=f"{stage} {fold}").info.run_id
    return created


def log_fold(stage: str, fold: str, folder: Path, patterns: tuple[str, ...]) -> str:
    """Complete a fold's child run: its whole history and a copy of its model files."""
    client, run = MlflowClient(), mlflow.active_run()
    if run is None:
        raise RuntimeError("a fold's run needs an active run above it")
    run_id = child_run(client, run.info.run_id, run.info.experiment_id, stage, fold)
    logged = set(client.get_run(run_id).data.metrics)
    history = folder / "history.csv"
    if history.is_file() and not logged:  # trained in an earlier run: its curves are shown again
        log_history(run_id, pd.read_csv(history))
    for file in sorted({f for pattern in patterns for f in folder.rglob(pattern)}):
        if not file.name.startswith("."):
            place = Path("model") / file.parent.relative_to(folder)
            client.log_artifact(run_id, str(file), place.as_posix())
    client.set_terminated(run_id)
    return run_id


def end_run(status: str = "FINISHED") -> None:
    """End the active run, and those of its folds that nobody completed."""
    parent = mlflow.active_run()
    if parent is None:
        return
    client = MlflowClient()
    query = f"tags.`{PARENT_TAG}` = '{parent.info.run_id}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([parent.info.experiment_id], query):
        client.set_terminated(child.info.run_id, status)
    mlflow.end_run(status)


def log_history(run_id: str, history: pd.DataFrame) -> None:
    """Log a table of curves, one row per epoch, with its first column as the step."""
    steps = history.iloc[:, 0].astype(int)
    numbers = history.iloc[:, 1:].select_dtypes("number")
    metrics = [
        Metric(name, float(value), 0, int(step))
        for name in numbers
        for step, value in zip(steps, numbers[name], strict=True)
        if pd.notna(value)
    ]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        MlflowClient().log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])


def without_private(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that may be shown: none of them names a patient's file."""
    return {name: value for name, value in parameters.items() if name not in PRIVATE}


def log_parameters(run_id: str, parameters: Mapping[str, Any]) -> None:
    """Log nested parameters flat, but not the private ones; MLflow cuts what is too long for it."""
    shown = flatten(without_private(parameters))
    # MLflow allows no '+', as in the class C7+M1
    names = {name: re.sub(r"[^\w\-. :/]", "_", name) for name in shown}
    flat = [Param(names[name], str(value)[:6000]) for name, value in shown.items()]
    for start in range(0, len(flat), 100):
        MlflowClient().log_batch(run_id, params=flat[start : start + 100])


def fetch_artifacts(run_id: str, names: Collection[str], folder: Path) -> list[Path]:
    """Download files of a run into ``folder``.

    Args:
        run_id: As MLflow and the report show it.
        names: Paths of the files within the run's artifacts.
        folder: Where they go.

    Returns:
        The files, in the order of ``names``.

    Raises:
        RunError: There is no such run, or it lacks one of the files; recent runs that have
            metrics are listed.
    """
    client = MlflowClient()
    try:
        client.get_run(run_id)
        return [Path(client.download_artifacts(run_id, name, str(folder))) for name in names]
    except (MlflowException, OSError) as error:
        raise RunError(
            f"no run {run_id!r} with {', '.join(names)} in {shown(mlflow.get_tracking_uri())}",
            "the id of a finished run of the whole method",
            f"take one of: {'; '.join(_recent_runs(client)) or 'none yet, kedro run makes one'}",
        ) from error


def describe_run(run_id: str) -> dict[str, str]:
    """Return what a tracked run was: name, date, source revision, digest of its cohort table."""
    run = MlflowClient().get_run(run_id)
    started = datetime.fromtimestamp(run.info.start_time / 1000, timezone.utc)
    return {
        "MLflow run": run_id,
        "Name": run.info.run_name,
        "Date": f"{started:%Y-%m-%d %H:%M} UTC",
        "Source revision": run.data.tags.get("git.revision", "unknown"),
        "Cohort (SHA-256)": cohort_digest(run),
    }


def _recent_runs(client: MlflowClient, limit: int = 8) -> list[str]:
    """Ids and names of the latest runs that logged metrics."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run for run in client.search_runs(experiments) if run.data.metrics]
    parents = [run for run in runs if PARENT_TAG not in run.data.tags]
    return [f"{run.info.run_id} ({run.info.run_name})" for run in parents[:limit]]

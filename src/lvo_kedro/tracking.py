"""MLflow: where runs go, what is known of them, and what of them is fetched again."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import re
import subprocess
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pydantic import Field

from lvo_kedro.errors import RunError
from lvo_kedro.lock import one_at_a_time
from lvo_kedro.options import Options
from lvo_kedro.tracking_calls import PARENT_TAG
from lvo_kedro.tracking_database import DATABASE, embedded_address, follow_artifacts
from lvo_kedro.tracking_folds import FoldLog, log_fold
from lvo_kedro.tracking_recovery import close_left_runs
from lvo_kedro.tracking_run import (
    Recorder,
    TrackedRun,
    current_run,
    end_run,
    start_run,
)
from lvo_kedro.tracking_server import (
    SERVER,
    ServerRefusesError,
    be_impatient,
    is_embedded,
    require_server,
    shown,
)

__all__ = [
    "FoldLog",
    "TrackingOptions",
    "current_run",
    "describe_run",
    "end_run",
    "fetch_artifacts",
    "flatten",
    "git_revision",
    "log_fold",
    "log_parameters",
    "package_versions",
    "provenance",
    "run_tags",
    "start_tracking",
    "use_tracking",
    "without_private",
]

PACKAGES = ("lvo-kedro", "kedro", "torch", "nnunetv2", "antspyx", "monai", "nibabel", "mlflow")
COHORT_TAG = "cohort.sha256"
SCORER = "scorer"
"""Stands for all stages as one model among the registered ones."""
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
    """Registered name by entry of ``models``, or by ``scorer`` for all stages as one model, which a
    run of the whole method then writes; empty registers nothing."""


def use_tracking(options: TrackingOptions, project: Path) -> str:
    """Point MLflow to its server or embedded database, and return the address as it may be shown.

    The embedded default is an absolute SQLite path, so that it is the same from any folder. Its
    artifacts lie beside it, also after the folder was copied or moved.

    Raises:
        ServerAwayError: There is a server, and it does not answer.
        ServerRefusesError: It is no MLflow server, or wants another password.
    """
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # its database's upkeep is no news
    be_impatient()
    given = address = without_credentials(os.environ.get(SERVER, ""))
    folder = (project / options.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    place = (folder / "artifacts").as_uri()
    if address:
        require_server(address)
    else:
        follow_artifacts(folder / DATABASE, place)
        address = embedded_address(folder)
    mlflow.set_tracking_uri(address)
    if not given:  # MLflow sets it: the next run in this process, on other data, would come here
        os.environ.pop(SERVER, None)
    try:
        # two that make the tables or the experiment at once would both fail
        with nullcontext() if given else one_at_a_time(folder):
            _open_experiment(options.experiment, place if is_embedded(address) else None)
    except MlflowException as error:
        if given and not is_embedded(address):
            raise ServerRefusesError(address) from error
        raise
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


def _open_experiment(name: str, place: str | None) -> None:
    if mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=place)
    mlflow.set_experiment(name)


def start_tracking(
    options: TrackingOptions, project: Path, name: str, tags: dict[str, str]
) -> TrackedRun:
    """Start a run, and close those that earlier processes left open.

    Args:
        options: Where it goes.
        project: The project's folder.
        name: As MLflow shows it.
        tags: What is known of it.
    """
    use_tracking(options, project)
    folder = (project / options.folder).resolve()
    close_left_runs(folder)
    experiment = mlflow.set_experiment(options.experiment)
    return start_run(mlflow.get_tracking_uri(), experiment.experiment_id, folder, name, tags)


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
    run = current_run()
    digest = {"Cohort (SHA-256)": cohort_digest(run.tags if run else {})} if with_cohort else {}
    return {
        "Date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "MLflow run": run.place.run_id if run else "none",
        "Source revision": git_revision(Path(__file__).parent),
    } | digest


def cohort_digest(tags: Mapping[str, str]) -> str:
    """Return the digest of a run's cohort table, which :func:`provenance` describes."""
    return tags.get(COHORT_TAG, "unknown")


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


def without_private(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that may be shown: none of them names a patient's file."""
    return {name: value for name, value in parameters.items() if name not in PRIVATE}


def log_parameters(run: Recorder, parameters: Mapping[str, Any]) -> None:
    """Log nested parameters flat, but not the private ones; MLflow cuts what is too long for it."""
    shown = flatten(without_private(parameters))
    # MLflow allows no '+', as in the class C7+M1
    values = {re.sub(r"[^\w\-. :/]", "_", name): str(value)[:6000] for name, value in shown.items()}
    run.write("params", values=values)


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
        "Cohort (SHA-256)": cohort_digest(run.data.tags),
    }


def _recent_runs(client: MlflowClient, limit: int = 8) -> list[str]:
    """Ids and names of the latest runs that logged metrics."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run for run in client.search_runs(experiments) if run.data.metrics]
    parents = [run for run in runs if PARENT_TAG not in run.data.tags]
    return [f"{run.info.run_id} ({run.info.run_name})" for run in parents[:limit]]

"""Commands about a project's data folder: results, what a run would do, cleaning, MLflow's page."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import mlflow
from kedro.framework.cli.utils import _split_params
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline

from lvo_kedro.cleaning import as_table, in_words, remove, survey
from lvo_kedro.errors import CaseError
from lvo_kedro.hooks import data_folder
from lvo_kedro.lock import working_on
from lvo_kedro.planning import plan
from lvo_kedro.results import show_results
from lvo_kedro.run_hooks import check_names
from lvo_kedro.tracking import TrackingOptions, use_tracking

env_option = click.option("--env", "-e", default=None, help="Configuration, such as demo.")


@click.command()
@env_option
def results(env: str | None) -> None:
    """Print the main metrics of the last run and where everything lies."""
    with _session(env) as session:
        context = session.load_context()
        project = Path(context.project_path)
        with working_on(data_folder(context), "results", writes=False):
            options = TrackingOptions(**context.config_loader["mlflow"])
            show_results(context.catalog, project, use_tracking(options, project))


@click.command("plan")
@env_option
@click.option("--pipelines", "-p", "names", default="__default__", help="As of kedro run.")
@click.option("--params", default="", help="As of kedro run.", callback=_split_params)
def show_plan(env: str | None, names: str, params: dict[str, Any]) -> None:
    """Say what a run would compute and why, without computing anything."""
    logging.getLogger("lvo_kedro").setLevel(logging.WARNING)
    with _session(env, params) as session:
        context = session.load_context()
        check_names(context)
        with working_on(data_folder(context), "plan", writes=False):
            try:
                for step in plan(_pipelines_of(names), context.catalog):
                    click.echo(f"{step.node:<48} {step.dataset:<20} {step}")
            except CaseError as error:
                raise click.ClickException(str(error)) from error
    click.echo("\nTables, figures and the report are written by every run. Nothing was computed.")


def _pipelines_of(names: str) -> Pipeline:
    """Return the pipelines that a list of names, with commas, asks for."""
    asked = [name.strip() for name in names.split(",")]
    unknown = [name for name in asked if name not in pipelines]
    if unknown:
        raise click.ClickException(
            f"no pipeline {', '.join(unknown)}; there are {', '.join(sorted(pipelines))}"
        )
    return sum((pipelines[name] for name in asked), Pipeline([]))


@click.command()
@env_option
@click.option("--models/--keep-models", default=False, help="Trained models, which cost most.")
@click.option("--runs/--keep-runs", default=False, help="MLflow's database, curves, artifacts.")
@click.option("--dry-run", is_flag=True, help="Only show what there is; lock and change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def clean(env: str | None, models: bool, runs: bool, dry_run: bool, yes: bool) -> None:
    """Remove what can be computed again: the folders of cases; models and runs only if asked for.

    Scans, annotations, tables, reports and the results of kedro score always stay.
    """
    with _session(env) as session:
        context = session.load_context()
        data = data_folder(context)
        options = TrackingOptions(**context.config_loader["mlflow"])
    tracked = Path(context.project_path) / options.folder
    kinds = {"cases"} | ({"models"} if models else set()) | ({"runs"} if runs else set())
    survey(data, tracked)  # before anything is written to what may be somebody else's folder
    with nullcontext() if dry_run else working_on(data, "clean", writes=True):
        found = survey(data, tracked)
        chosen = [item for item in found.items if item.kind in kinds]
        size = in_words(sum(item.size for item in chosen))
        click.echo(f"{data}\n\n{as_table(found, chosen)}\n")
        if dry_run or not chosen:
            click.echo(f"{size} in {len(chosen)} folders would be removed")
            return
        if not yes:
            click.confirm(f"Remove {size} in {len(chosen)} folders?", abort=True)
        remove(data, chosen)
    click.echo(f"{size} removed; kedro run computes it again")


@click.command("mlflow-ui")
@env_option
@click.option("--port", default=5000, show_default=True)
def mlflow_ui(env: str | None, port: int) -> None:
    """Look at the runs in a browser."""
    with _session(env) as session:
        context = session.load_context()
        options = TrackingOptions(**context.config_loader["mlflow"])
        use_tracking(options, Path(context.project_path))
    # not as an argument, which everybody on the machine can read: it may hold a password
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": mlflow.get_tracking_uri()}
    command = [sys.executable, "-m", "mlflow", "ui", "--port", str(port)]
    subprocess.run(command, check=True, env=environment)  # noqa: S603


def _session(env: str | None, parameters: dict[str, Any] | None = None) -> Any:
    project = Path.cwd()
    bootstrap_project(project)
    session: Any = KedroSession.create(project, env=env, runtime_params=parameters)
    return session  # typed by Kedro as its abstract parent

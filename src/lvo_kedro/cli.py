"""Commands that this project adds to ``kedro``."""

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
from lvo_kedro.cli_adoption import adopt_command
from lvo_kedro.cli_annotation import export_command, take_command
from lvo_kedro.cli_infarcts import infarcts_command
from lvo_kedro.cli_studies import import_command
from lvo_kedro.errors import CaseError
from lvo_kedro.hooks import data_folder
from lvo_kedro.lock import working_on
from lvo_kedro.planning import plan
from lvo_kedro.results import show_results
from lvo_kedro.run_hooks import check_names
from lvo_kedro.scoring.commands import bundle, receive, score
from lvo_kedro.simulation import write_export
from lvo_kedro.tracking import TrackingOptions, use_tracking
from lvo_kedro.weights import write_weights

env_option = click.option("--env", "-e", default=None, help="Configuration, such as demo.")


@click.group()
def cli() -> None:
    """Large-vessel occlusion on non-contrast CT."""


cli.add_command(import_command)
cli.add_command(adopt_command)
cli.add_command(export_command)
cli.add_command(take_command)
cli.add_command(score)
cli.add_command(bundle)
cli.add_command(receive)
cli.add_command(infarcts_command)


@cli.command()
@env_option
def results(env: str | None) -> None:
    """Print the main metrics of the last run and where everything lies."""
    with _session(env) as session:
        context = session.load_context()
        project = Path(context.project_path)
        with working_on(data_folder(context), "results", writes=False):
            options = TrackingOptions(**context.config_loader["mlflow"])
            show_results(context.catalog, project, use_tracking(options, project))


@cli.command("plan")
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


@cli.command()
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


@cli.command("simulate-export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--studies", default=30, show_default=True, type=click.IntRange(1, 1000))
@click.option("--seed", default=0, show_default=True)
def simulate_export(folder: Path, studies: int, seed: int) -> None:
    """Write a simulated export of an archive into a new FOLDER, to try kedro import-studies on.

    All patients, names and numbers in it are invented.
    """
    try:
        written = write_export(folder, studies, seed)
    except CaseError as error:
        raise click.ClickException(str(error)) from error
    forms = ", ".join(sorted(set(written["form"])))
    click.echo(f"{folder}: {len(written)} simulated studies ({forms}), labels.xlsx, mapping.yml")


@cli.command("export-weights")
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What others should know: data, licence, numbers.")
def export_weights(model: Path, file: Path, note: str) -> None:
    """Write a trained fold as one small file that other trainings can start from.

    MODEL is a folder such as data/06_models/vessels/fold_0, FILE ends with .safetensors. The file
    lists ids and content hashes of the scans that the model was trained on.
    """
    weights = write_weights(file, model, facts={"note": note} if note else None)
    click.echo(f"{file}: {file.stat().st_size / 1e6:.2f} MB, sha256 {weights.sha256}")
    click.echo(f"trained on {len(weights.trained_on)} scans, whose ids and hashes it lists")


@cli.command("mlflow-ui")
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

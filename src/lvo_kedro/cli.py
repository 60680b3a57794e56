"""Commands that this project adds to ``kedro``: ``results``, ``score`` and ``mlflow-ui``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pandas as pd
from kedro.framework.project import settings
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from lvo_kedro.hooks import file_of
from lvo_kedro.tracking import TrackingOptions, use_tracking
from lvo_kedro.vocabulary import RESEARCH_ONLY

env_option = click.option("--env", "-e", default=None, help="Configuration, such as demo.")


@click.group()
def cli() -> None:
    """Large-vessel occlusion on non-contrast CT."""


@cli.command()
@env_option
def results(env: str | None) -> None:
    """Print the main figures of the last run and where everything lies."""
    with _session(env) as session:
        context = session.load_context()
        catalog, project = context.catalog, Path(context.project_path)
        figures = pd.concat(
            {name: catalog.load(f"{name}.summary") for name in settings.EVALUATED_SPLITS}
        )
        click.echo(_as_table(figures))
        if catalog.exists("control_summary"):
            click.echo(f"\nAUC with shuffled labels:\n{_control(catalog.load('control_summary'))}")
        if "simulated" in catalog.load("cohort"):
            click.echo("\nSimulated data: these figures say nothing about patients.")
        options = TrackingOptions(**context.config_loader["mlflow"])
        report = file_of(catalog, "report").relative_to(project)
    click.echo(f"\nReport:   {report}")
    click.echo(f"Tracking: {use_tracking(options, project)}   (make mlflow)")
    click.echo(RESEARCH_ONLY)


def _as_table(figures: pd.DataFrame) -> str:
    """Show figures with their intervals, one column a split."""
    cells = {
        split: {
            row.title: f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f}), n = {row.n:.0f}"
            for row in figures.loc[split].itertuples()
        }
        for split in figures.index.unique(level=0)
    }
    return pd.DataFrame(cells).fillna("").rename(columns=lambda c: c.replace("_", " ")).to_string()


def _control(summary: pd.DataFrame) -> str:
    """Show the control's AUC, one row a shuffle and one for their mean."""
    titled = summary.assign(title=summary["shuffle"])
    return _as_table(titled.set_index("split", append=True).swaplevel())


@cli.command()
@click.argument("scans", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@env_option
def score(scans: tuple[Path, ...], env: str | None) -> None:
    """Run the trained models on new scans: NIfTI files or folders with one DICOM series each."""
    paths = [str(path.resolve()) for path in scans]
    with _session(env, {"new_scans": paths}) as session:
        session.run(pipeline_names=["inference"])
        catalog = session.load_context().catalog
        cohort = catalog.load("new.cohort")
        outcome = catalog.load("new.outcome").set_index("case_id")
        folder = file_of(catalog, "new.outcome").parent
        simulated = "simulated" in catalog.load("cohort")
    for path, case in zip(scans, cohort["case_id"], strict=True):
        click.echo(f"\n{path}  ({case})")
        for name, value in outcome.loc[case].items():
            if value != "" and not pd.isna(value):
                click.echo(f"  {str(name).replace('_', ' '):<28}{_plain(value)}")
    if simulated:
        click.echo(
            "\nThe models were trained on simulated scans: on a real one this means nothing."
        )
    click.echo(f"\nMasks, maps and pictures: {folder}\n{RESEARCH_ONLY}")


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@cli.command("mlflow-ui")
@env_option
@click.option("--port", default=5000, show_default=True)
def mlflow_ui(env: str | None, port: int) -> None:
    """Look at the runs in a browser."""
    with _session(env) as session:
        context = session.load_context()
        options = TrackingOptions(**context.config_loader["mlflow"])
        address = use_tracking(options, Path(context.project_path))
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", address]
    subprocess.run([*command, "--port", str(port)], check=True)  # noqa: S603


def _session(env: str | None, parameters: dict[str, Any] | None = None) -> Any:
    project = Path.cwd()
    bootstrap_project(project)
    session: Any = KedroSession.create(project, env=env, runtime_params=parameters)
    return session  # typed by Kedro as its abstract parent

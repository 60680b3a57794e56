"""The main metrics of a run, in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from kedro.framework.project import settings

from lvo_kedro.evaluation import WITHOUT_CONTROLS, gravest_first
from lvo_kedro.tracking import shown
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from pathlib import Path


def show_results(catalog: Any, project: Path, tracking: str) -> None:
    """Print the main metrics of the last run, what is wrong with them, and where everything lies.

    Args:
        catalog: Kedro's catalog, in which the run's tables are.
        project: The project's folder, from which the report's path is shown.
        tracking: Address of the tracking database.
    """
    metrics = {name: catalog.load(f"{name}.summary") for name in settings.EVALUATED_SPLITS}
    click.echo(_as_table(pd.concat(metrics)))
    for severity, message in _grave(catalog):
        click.echo(f"\n{severity.capitalize()}: {message}")
    if catalog.exists("permutation_summary"):
        click.echo(
            f"\nAUC with shuffled labels:\n{_permutation(catalog.load('permutation_summary'))}"
        )
    if "simulated" in catalog.load("cohort"):
        click.echo("\nSimulated data: these numbers say nothing about patients.")
    report = catalog.get("report").report
    if report.is_relative_to(project):  # the data may lie anywhere
        report = report.relative_to(project)
    click.echo(f"\nReport:   {report}")
    click.echo(f"Tracking: {shown(tracking)}   (make mlflow)")
    click.echo(RESEARCH_ONLY)


def _grave(catalog: Any) -> list[tuple[str, str]]:
    """Say what makes metrics invalid, labels that equal the source first, and what no metric says.

    Severity and message of each: errors, and that there were no controls to learn from.
    """
    parts = []
    for name in settings.EVALUATED_SPLITS:
        findings = catalog.load(f"{name}.detection")["findings"]()
        set_name = name.replace("_", " ")
        parts.append(findings.assign(message=f"{set_name}: " + findings["message"]))
    together = gravest_first(pd.concat([*parts, catalog.load("study")["findings"]]))
    told = together[(together["severity"] == "error") | (together["check"] == WITHOUT_CONTROLS)]
    return list(zip(told["severity"], told["message"], strict=True))


def _as_table(metrics: pd.DataFrame) -> str:
    """Show metrics with their intervals, one column per split."""
    cells = {
        split: {row.title: _figure(row._asdict()) for row in metrics.loc[split].itertuples()}
        for split in metrics.index.unique(level=0)
    }
    return pd.DataFrame(cells).fillna("").rename(columns=lambda c: c.replace("_", " ")).to_string()


def _figure(row: dict[str, Any]) -> str:
    """Show one metric; the reason where it has no value, or no interval."""
    if pd.isna(row["value"]):
        return f"not estimable ({row['method']})"
    known = not pd.isna(row["low"])
    between = f"{row['low']:.2f} to {row['high']:.2f}" if known else row["method"]
    return f"{row['value']:.2f} ({between}), n = {row['n']:.0f}"


def _permutation(summary: pd.DataFrame) -> str:
    """Show the AUC of the permutation test, one row per shuffle and one for their mean."""
    titled = summary.assign(title=summary["shuffle"])
    return _as_table(titled.set_index("split", append=True).swaplevel())

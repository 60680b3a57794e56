"""The command that writes a simulated export, to try the import with."""

from __future__ import annotations

from pathlib import Path

import click

from lvo_kedro.errors import CaseError
from lvo_kedro.simulation import write_export


@click.command("simulate-export")
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

"""The command that writes trained weights for others to start from."""

from __future__ import annotations

from pathlib import Path

import click

from lvo_kedro.weights import write_weights


@click.command("export-weights")
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

"""Commands that this project adds to ``kedro``."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "import-studies": "cli_studies:import_command",
    "adopt": "cli_adoption:adopt_command",
    "export-annotations": "cli_annotation:export_command",
    "take-annotations": "cli_annotation:take_command",
    "score": "scoring.commands:score",
    "bundle": "scoring.commands:bundle",
    "receive": "scoring.commands:receive",
    "evaluate-infarcts": "cli_infarcts:infarcts_command",
    "results": "cli_project:results",
    "plan": "cli_project:show_plan",
    "clean": "cli_project:clean",
    "mlflow-ui": "cli_project:mlflow_ui",
    "simulate-export": "cli_simulation:simulate_export",
    "export-weights": "cli_weights:export_weights",
}
"""Where each command is defined, below ``lvo_kedro``."""


class Commands(click.Group):
    """Imports a command's module when it is called: no other command waits for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"lvo_kedro.{module}"), attribute)
        return command


@click.group(cls=Commands)
def cli() -> None:
    """Large-vessel occlusion on non-contrast CT."""

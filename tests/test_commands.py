"""Every command of the project is found, and none waits for what another one needs."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from lvo_kedro.cli import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_where_the_table_says(name):
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert found.name == name
    assert found.help


def test_a_command_that_is_not_there_is_none():
    assert cli.get_command(click.Context(cli), "no-such") is None


def test_the_table_of_commands_imports_neither_networks_nor_tracking():
    told = "import sys, lvo_kedro.cli; print([m for m in ('torch', 'mlflow') if m in sys.modules])"
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-c", told], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"

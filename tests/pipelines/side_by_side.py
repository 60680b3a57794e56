"""Pipelines that take no time, and a process that runs them beside another one's.

``python -m tests.pipelines.side_by_side COMMANDS`` tries each command (a JSON list of lists) and
prints a JSON list of what came of it. In the place of the real pipelines there are a training that
writes ``vessel_metrics`` and an inference whose results say which scan they are of.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pandas as pd
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.inference.nodes import name_scans

REGISTRY = "lvo_kedro.pipeline_registry"


def registry(meanwhile: Callable[[], object] = lambda: None) -> ModuleType:
    """Return what stands for the registry; each pipeline calls ``meanwhile`` half-way."""

    def train(seed: int) -> pd.DataFrame:
        meanwhile()
        return pd.DataFrame({"case_id": ["a"], "dice": [0.5]})

    def read_scans(cohort: pd.DataFrame) -> pd.DataFrame:
        meanwhile()
        rows = [
            {"case_id": r.case_id, "localization": Path(r.ncct).read_text()}
            for r in cohort.itertuples()
        ]
        return pd.DataFrame(rows[::-1])

    def register_pipelines() -> dict[str, Pipeline]:
        nodes = [
            node(name_scans, "params:new_scans", "cohort", name="name_scans"),
            node(read_scans, "cohort", "outcome", name="read_scans"),
        ]
        new = pipeline(nodes, namespace="new", parameters={"params:new_scans"})
        training = pipeline(
            [node(train, "params:permutation_1.seed", "vessel_metrics", name="train")]
        )
        # never run: it takes what this configuration sets and the others do not
        made = pipeline(
            [node(lambda given: given, "params:simulation", "simulated", name="simulate")]
        )
        return {"__default__": training, "inference": new, "simulation": made}

    module = ModuleType(REGISTRY)
    vars(module)["register_pipelines"] = register_pipelines
    return module


def beside(folder: Path, *commands: list[str]) -> list[dict[str, object]]:
    """Try commands in another process and return the exit status and the output of each."""
    command = [sys.executable, "-m", __name__, str(folder), json.dumps(commands)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)  # noqa: S603
    results: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return results


def attempt(folder: Path, command: list[str]) -> dict[str, object]:
    """Run ``score`` or ``results`` as the command line does, and ``run`` as a session."""
    from lvo_kedro.cli import cli

    if command[0] != "run":
        result = CliRunner().invoke(cli, [command[0], "--env", "tiny", *command[1:]])
        return {"status": result.exit_code, "output": result.output}
    try:
        bootstrap_project(folder)
        with KedroSession.create(folder, env="tiny") as session:
            session.run()
    except Exception as error:
        return {"status": 1, "output": str(error)}
    return {"status": 0, "output": ""}


if __name__ == "__main__":
    import os

    project = Path(sys.argv[1])
    os.chdir(project)
    sys.modules[REGISTRY] = registry()
    outcomes = [attempt(project, command) for command in json.loads(sys.argv[2])]
    sys.stdout.write("\n" + json.dumps(outcomes) + "\n")

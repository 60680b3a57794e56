"""A project in a temporary folder: this project's code and configuration, data of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

ROOT = Path(__file__).resolve().parents[2]


class Project:
    """A copy of the project's configuration around a data folder that a test may fill.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
        (folder / "conf" / "local").mkdir()  # whoever runs the tests may have settings there
        shutil.copytree(Path(__file__).parent / "conf_tiny", folder / "conf" / "tiny")
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "src").mkdir()  # Kedro asks for one; the package itself is installed
        self.data = folder / "data" / "tiny"

    def session(self, env: str | None = "tiny", **parameters: Any) -> Any:
        """Open a Kedro session, as ``kedro run`` does."""
        bootstrap_project(self.folder)
        return KedroSession.create(self.folder, env=env, runtime_params=parameters)

    def run(
        self, *pipelines: str, env: str | None = "tiny", node: str | None = None, **parameters: Any
    ) -> None:
        """Run named pipelines (or one node of them), or the whole method."""
        with self.session(env, **parameters) as session:
            session.run(pipeline_names=list(pipelines) or None, node_names=[node] if node else None)

    def load(self, name: str, env: str = "tiny", **parameters: Any) -> Any:
        """Load a catalog entry."""
        with self.session(env, **parameters) as session:
            return session.load_context().catalog.load(name)

    def load_new(self, name: str) -> Any:
        """Load an entry of the latest inference, each of which has a folder of its own."""
        folders = (self.data / "07_model_output" / "new").iterdir()
        latest = max(folders, key=lambda folder: folder.stat().st_mtime_ns)
        return self.load(f"new.{name}", new_folder=latest.name)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The whole method, run once on a small simulated cohort with networks that hardly train."""
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = Project(tmp_path_factory.mktemp("project"))
    patch.chdir(project.folder)
    project.run("simulation")
    spoil(project.data / "01_raw")
    forget(project.data / "01_raw")
    project.run()
    yield project
    mlflow.end_run()
    patch.undo()


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project without any data."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    yield Project(tmp_path)
    mlflow.end_run()


PATIENT = "Smith^John"
"""In the names of the files of the first and the last scan, and nowhere else."""


def spoil(raw: Path) -> None:
    """Name the first and the last scan badly, and cut the last off half-way, like a broken copy."""
    table = (raw / "cases.csv").read_text().splitlines()
    for row, name in ((1, f"{PATIENT} sound.nii.gz"), (-1, f"{PATIENT}.nii.gz")):
        old = f"scans/{table[row].split(',')[0]}/ncct.nii.gz"
        scan = (raw / old).rename(raw / name)
        table[row] = table[row].replace(old, name)
    (raw / "cases.csv").write_text("\n".join([*table, ""]))
    content = scan.read_bytes()
    scan.write_bytes(content[: len(content) // 2])


NAMELESS = {"sim-0011": ("unknown", "other"), "sim-0017": ("both", "unknown")}
"""Occlusions of either split of which the table names neither side nor class."""


def forget(raw: Path) -> None:
    """Let the table say less of some occlusions than the simulator knows, as real ones do."""
    table = pd.read_csv(raw / "cases.csv", dtype=str, keep_default_na=False).set_index("case_id")
    for case, words in NAMELESS.items():
        table.loc[case, ["side", "segment", "occlusion_mask"]] = [*words, ""]
    table.reset_index().to_csv(raw / "cases.csv", index=False)

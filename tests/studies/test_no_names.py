"""From an export to a run, by the commands: no name, number or date in data, words or MLflow."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from benchmarks.kills import start
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from pydicom.uid import PYDICOM_ROOT_UID

from lvo_kedro.artifacts import sha256_of
from lvo_kedro.simulation import write_export
from lvo_kedro.tracking import COHORT_TAG
from lvo_kedro.tracking_database import DATABASE
from tests.pipelines.conftest import Project
from tests.studies.leaks import find_leaks, secrets_of

pytestmark = pytest.mark.long

WORDS = "words.log"
"""Standard output and error of all commands."""


class Used(NamedTuple):
    """A project after an import and a run, the truth, and what is a secret in the project."""

    project: Project
    truth: pd.DataFrame
    secrets: list[str]


@pytest.fixture(scope="module")
def used(tmp_path_factory) -> Used:
    base = tmp_path_factory.mktemp("hospital")
    export = base / "export"
    truth = write_export(export, 6, seed=5, spacing_mm=3.0, plane_mm=3.0)
    _agree(export / "labels.xlsx")
    _cut_a_file(export, truth["PatientName"].iloc[0])
    project = Project(base / "project")
    logging = project.folder / "conf" / "logging.yml"
    logging.write_text(logging.read_text().replace("level: WARNING", "level: DEBUG"))
    places = {
        "--out": project.data / "01_raw",
        "--labels": export / "labels.xlsx",
        "--mapping": export / "mapping.yml",
        "--secret": base / "keys" / "secret",
        "--link-table": base / "link.csv",
    }
    options = [str(word) for option in places.items() for word in option]
    orders = (
        ["import-studies", str(export), "--age-and-sex", *options],
        ["run", "--env", "tiny", "--pipelines", "preprocessing"],
    )
    for order in orders:
        assert start(project.folder, *order).wait() == 0, (project.folder / WORDS).read_text()
    # every UID of the export begins alike
    return Used(project, truth, [*secrets_of(truth.to_dict("records")), PYDICOM_ROOT_UID])


def _agree(labels: Path) -> None:
    """Let one of the two rows that contradict go: a run needs two patients without an occlusion."""
    table = pd.read_excel(labels, dtype=str)
    last = table["Accession"].duplicated(keep="first") & (table["Befund"] == "L M1")
    assert last.sum() == 1
    table[~last].to_excel(labels, index=False)


def _cut_a_file(export: Path, patient: str) -> None:
    """Cut one slice of a patient off half-way: what is said of it must not name it."""
    folders = export.glob(f"{patient.replace('^', '_')}*")
    path = max(p for folder in folders for p in folder.rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _run_of(store: Path) -> tuple[MlflowClient, Run]:
    client = MlflowClient(f"sqlite:///{store / DATABASE}")
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return client, run


def test_nothing_that_the_commands_leave_or_say_names_a_patient(used) -> None:
    project, truth, secrets = used
    cohort = project.data / "01_raw" / "cases.csv"
    cases = pd.read_csv(cohort, dtype=str)
    assert len(cases) == len(truth) - 1  # a row is doubted
    assert len(list(cohort.parent.rglob("*.nii.gz"))) >= len(truth)
    _, run = _run_of(project.data / "mlflow")
    assert run.info.status == "FINISHED"
    assert run.data.tags[COHORT_TAG] == sha256_of(cohort)
    (table,) = (project.data / "mlflow" / "artifacts").rglob("scan_quality.csv")
    assert set(pd.read_csv(table)["case_id"]) == set(cases["case_id"])
    words = (project.folder / WORDS).read_text()
    assert "no such study in the export" in words
    assert run.info.run_id in words
    assert find_leaks(project.folder, secrets) == []


@pytest.mark.parametrize("place", ["tag", "parameter", "artifact", "words"])
def test_a_name_that_is_put_there_is_found(used, tmp_path, place) -> None:
    name = str(used.truth["PatientName"].iloc[0])
    copy = Path(shutil.copytree(used.project.folder, tmp_path / "project"))
    store = copy / "data" / "tiny" / "mlflow"
    client, run = _run_of(store)
    if place == "tag":
        client.set_tag(run.info.run_id, "note", name)
    elif place == "parameter":
        client.log_param(run.info.run_id, "new_scans", f"/in/{name}/scan.nii.gz")
    else:
        (artifact,) = (store / "artifacts").rglob("scan_quality.csv")
        with (artifact if place == "artifact" else copy / WORDS).open("a") as file:
            file.write(f"reading {name}\n")
    assert name in {leak.rpartition(": ")[2] for leak in find_leaks(copy, used.secrets)}


def test_the_link_table_alone_leads_back(used) -> None:
    base = used.project.folder.parent
    path = base / "link.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = pd.read_csv(path, dtype=str)
    assert set(link["accession"]) == set(used.truth["AccessionNumber"])
    cases = {file.name.split(".")[0] for file in used.project.data.rglob("case-*.nii.gz")}
    assert cases <= set(link["case_id"])
    (index,) = (base / "keys" / "imports").iterdir()
    assert stat.S_IMODE(index.stat().st_mode) == 0o700

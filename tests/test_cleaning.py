"""What can be computed again is removed; scans, tables, runs and other people's files are not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lvo_kedro import cleaning
from lvo_kedro.cleaning import NoDataError, in_words, remove, survey
from lvo_kedro.cli import cli
from lvo_kedro.datasets import CaseDataset, FoldDataset
from lvo_kedro.lock import working_on

ROOT = Path(__file__).resolve().parents[1]


def report(number: int) -> dict[str, Any]:
    return {"report": {"number": number}}


def train(*, folder: Path) -> dict[str, Any]:
    (folder / "weights").write_bytes(b"0" * 1000)
    return {}


def cases(path: Path, count: int = 2) -> None:
    tasks = {f"case{number}": partial(report, number) for number in range(count)}
    CaseDataset(path=str(path), files=["report.json"]).save(tasks)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with something at every place."""
    data = tmp_path / "data" / "tiny"
    cases(data / "01_raw" / "scans")
    (data / "01_raw" / "cases.csv").write_text("case_id\n")
    for path in ("02_intermediate/scans", "04_feature/channels", "07_model_output/vessels"):
        cases(data / path)
    (data / "02_intermediate" / "cohort.csv").write_text("case_id\n")
    (data / "03_primary" / "atlas_of_mine").mkdir(parents=True)
    (data / "03_primary" / "atlas_of_mine" / "atlas.nii").write_text("mine")
    FoldDataset(path=str(data / "06_models" / "vessels")).save({"fold_0": train})
    (data / "06_models" / "calibration.json").write_text("{}")
    FoldDataset(path=str(data / "07_model_output/permutation_1/detectors")).save({"fold_0": train})
    cases(data / "07_model_output" / "permutation_1" / "channels")
    cases(data / "07_model_output" / "new" / "20261126-abc" / "scans")
    cases(data / "07_model_output" / "new" / "scans")
    (data / "08_reporting").mkdir()
    (data / "08_reporting" / "report.html").write_text("<html>")
    (data / "mlflow").mkdir()
    (data / "mlflow" / "mlflow.db").write_bytes(b"runs")
    return data


COMPUTED = {
    *("02_intermediate/scans", "04_feature/channels", "07_model_output/vessels"),
    "07_model_output/permutation_1/channels",
}
TRAINED = {"06_models/vessels", "07_model_output/permutation_1/detectors"}


def files(data: Path) -> set[str]:
    inside = (path for path in data.rglob("*") if not path.is_dir())
    return {path.relative_to(data).as_posix() for path in inside if ".runs" not in path.parts}


def below(folders: set[str], names: set[str]) -> set[str]:
    return {name for name in names if any(name.startswith(f"{folder}/") for folder in folders)}


def test_each_folder_is_measured_and_of_a_kind(data):
    found = survey(data, data / "mlflow")
    kinds = {item.path.as_posix(): item.kind for item in found.items}
    assert kinds == (
        dict.fromkeys(COMPUTED, "cases") | dict.fromkeys(TRAINED, "models") | {"mlflow": "runs"}
    )
    (scans,) = (item for item in found.items if item.path == Path("02_intermediate/scans"))
    sizes = [p.stat().st_size for p in (data / scans.path).rglob("*") if p.is_file()]
    assert (scans.folders, scans.size, len(sizes)) == (2, sum(sizes), 5)


@pytest.fixture
def clean(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``kedro clean`` in a project whose data they are."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copytree(ROOT / "tests/pipelines/conf_tiny", tmp_path / "conf" / "tiny")
    (tmp_path / "conf" / "local").mkdir()
    (tmp_path / "src").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*options: str, says: str | None = None) -> Result:
        return CliRunner().invoke(cli, ["clean", "--env", "tiny", *options], input=says)

    return run


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ((), COMPUTED),
        (("--models",), COMPUTED | TRAINED),
        (("--runs",), COMPUTED | {"mlflow"}),
        (("--keep-models", "--keep-runs"), COMPUTED),
    ],
)
def test_only_what_was_asked_for_is_removed(clean, data, options, gone):
    before = files(data)
    result = clean("--yes", *options)
    assert result.exit_code == 0, result.output
    assert files(data) == before - below(gone, before)
    assert below(gone, before)
    assert not [folder for folder in gone if (data / folder).exists()]


@pytest.mark.parametrize(
    ("options", "answer"), [(("--dry-run", "--models"), None), ((), "n\n"), ((), "")]
)
def test_it_shows_and_asks_first(clean, data, options, answer):
    before = files(data)
    output = clean(*options, says=answer).output
    assert files(data) == before
    assert (data / ".runs").exists() != ("--dry-run" in options)
    size = in_words(sum(i.size for i in survey(data).items if i.path.as_posix() in COMPUTED))
    assert "--dry-run" in options or f"Remove {size} in 4 folders?" in output
    rows = {line.split()[-1]: line.split() for line in output.splitlines() if "/" in line}
    assert rows["02_intermediate/scans"][0] == "remove"
    assert rows["06_models/vessels"][0] == ("remove" if "--models" in options else "keep")
    assert rows["02_intermediate/scans"][3] == "2"


def test_yes_is_an_answer(clean, data):
    assert clean(says="y\n").exit_code == 0
    assert not (data / "02_intermediate" / "scans").exists()
    assert clean().output.endswith("0 B in 0 folders would be removed\n")


def test_a_run_that_is_under_way_is_not_disturbed(clean, data):
    before = files(data)
    with working_on(data, "all pipelines", writes=False):
        result = clean("--yes")
        assert result.exit_code == 1
        assert "'clean' cannot start" in result.output
        assert "all pipelines" in result.output
        assert clean("--dry-run").exit_code == 0
    assert files(data) == before


def test_links_are_left_alone_and_what_they_point_to(clean, data, tmp_path):
    outside = tmp_path / "big_disk"
    for name in ("priors", "features"):
        cases(outside / name)
    (data / "03_primary" / "priors").symlink_to(outside / "priors")
    shutil.rmtree(data / "04_feature")
    (data / "04_feature").symlink_to(outside)
    inside = data / "02_intermediate" / "scans" / "case0" / "more"
    inside.symlink_to(outside / "priors")
    before = {path for path in outside.rglob("*")}
    output = clean("--yes").output
    assert {path for path in outside.rglob("*")} == before
    assert (data / "03_primary" / "priors").is_symlink()
    assert "(a link)  04_feature/features" in output
    assert "(a link)  03_primary/priors" in output
    assert not (data / "02_intermediate" / "scans").exists()


def test_another_folder_is_refused_before_anything_is_written(clean, data):
    shutil.rmtree(data)
    (data / "02_intermediate" / "of_somebody").mkdir(parents=True)
    (data / "02_intermediate" / "of_somebody" / "thesis.txt").write_text("mine")
    result = clean("--yes")
    assert result.exit_code == 1
    assert "neither 01_raw/cases.csv nor a computed folder" in result.output
    assert [path.name for path in data.iterdir()] == ["02_intermediate"]
    with pytest.raises(NoDataError):
        survey(data)


def test_a_removal_that_is_stopped_leaves_no_half_and_is_ended_by_the_next(data, monkeypatch):
    (models,) = (i for i in survey(data).items if i.path == Path("06_models/vessels"))

    def stop(folder: Path) -> None:
        os.remove(folder / "fold_0" / "weights")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cleaning.shutil, "rmtree", stop)
        remove(data, [models])
    assert not (data / "06_models" / "vessels").exists()
    (left,) = (i for i in survey(data).items if i.path.parts[0] == "06_models")
    assert left.kind == "models"
    remove(data, [left])
    assert files(data / "06_models") == {"calibration.json"}


def test_sizes_are_told_as_disks_are_sold():
    sizes = (0, 999, 1000, 950_000, 123_456_789, 2.5e12, 3e15)
    assert [in_words(size) for size in sizes] == [
        *("0 B", "999 B", "1 kB", "950 kB", "123 MB", "2.5 TB", "3e+03 TB")
    ]

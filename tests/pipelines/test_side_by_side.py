"""Two runs at once: each on new scans by itself, and none beside one that writes."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from lvo_kedro.cohort import list_new_scans
from lvo_kedro.datasets.cases import Cases
from lvo_kedro.lock import RUNS
from lvo_kedro.pipelines.inference.nodes import gather_outcome
from tests.pipelines.side_by_side import REGISTRY, attempt, beside, registry

pytestmark = pytest.mark.long

SHOWN = re.compile(r"^(/.*)  \((scan-\w+)\)\n  localization +(\w+)$", re.MULTILINE)
PLACE = re.compile(r"Masks, maps and pictures: (.*)")


@pytest.fixture
def scans(tmp_path):
    """Files that stand for scans: what they hold is what is found in them."""
    (tmp_path / "incoming").mkdir()
    paths = {name: tmp_path / "incoming" / f"{name}.nii" for name in ("left", "right", "none")}
    for name, path in paths.items():
        path.write_text(name)
    return {name: str(path) for name, path in paths.items()}


@pytest.fixture
def project(empty, monkeypatch):
    """An empty project whose pipelines take no time; what happens meanwhile is the test's."""
    cohort = empty.data / "02_intermediate" / "cohort.csv"
    cohort.parent.mkdir(parents=True)
    cohort.write_text("case_id,patient_id\na,a\n")

    def meanwhile(action=lambda: None):
        monkeypatch.setitem(sys.modules, REGISTRY, registry(action))
        return empty

    return meanwhile


def shown(output: str) -> dict[str, str]:
    return {path: side for path, _, side in SHOWN.findall(output)}


def test_two_scores_at_once_show_each_scan_its_own_result(project, scans):
    other = []
    three = [["score", scans["none"]], ["run"], ["score", scans["right"]]]
    folder = project(lambda: other.extend(beside(folder, *three))).folder
    own = attempt(folder, ["score", scans["left"], scans["right"]])
    assert own["status"] == 0, own["output"]
    assert shown(own["output"]) == {scans["left"]: "left", scans["right"]: "right"}
    first, training, second = other[:3]  # while the first of both scans was scored
    assert shown(first["output"]) == {scans["none"]: "none"}
    assert shown(second["output"]) == {scans["right"]: "right"}
    assert (first["status"], second["status"]) == (0, 0)
    assert training["status"] == 1
    assert "score, since 2" in training["output"]
    assert f"process {os.getpid()} on" in training["output"]
    places = {PLACE.search(result["output"])[1] for result in (own, first, second)}
    assert len(places) == 3
    assert not any(name in Path(place).name for name in scans for place in places)


def test_nothing_starts_beside_a_training(project, scans):
    other = []
    commands = [["score", scans["left"]], ["run"], ["results"]]
    tiny = project(lambda: other.extend(beside(tiny.folder, *commands)))
    tiny.run()
    for command, result in zip(commands, other, strict=True):
        assert result["status"] == 1, command
        assert "all pipelines, since 2" in result["output"]
        assert f"process {os.getpid()} on" in result["output"]
        assert "incoming" not in result["output"]
    assert not (tiny.data / "07_model_output").exists()
    project()
    assert attempt(tiny.folder, ["score", scans["left"]])["status"] == 0


def test_a_run_that_failed_or_was_interrupted_keeps_nobody_out(project):
    def fail(error):
        raise error

    tiny = project(lambda: fail(ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        tiny.run()
    assert not list((tiny.data / RUNS).glob("*.json"))
    tiny = project(lambda: fail(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        tiny.run()
    project().run()  # in the same process, as in a notebook
    assert not list((tiny.data / RUNS).glob("*.json"))


def test_a_run_that_does_not_come_to_start_leaves_nothing(project, scans, monkeypatch):
    tiny = project()

    def broken(*_):
        raise OSError("no tracking")

    monkeypatch.setattr("lvo_kedro.tracking.use_tracking", broken)
    with pytest.raises(OSError, match="no tracking"):
        tiny.run("inference", new_scans=[scans["left"]])
    assert not list((tiny.data / RUNS).glob("*.json"))
    assert not list((tiny.data / "07_model_output" / "new").iterdir())


def test_each_inference_has_a_folder_of_its_own_within_a_second(project, scans):
    tiny = project()
    bootstrap_project(tiny.folder)
    same = {"new_scans": [scans["left"]]}
    for _ in range(2):
        with KedroSession.create(tiny.folder, env="tiny", runtime_params=same) as session:
            session.run(pipeline_names=["inference"])
    tiny.run("inference", new_scans=scans["right"])  # as on the command line, with --params
    folders = sorted((tiny.data / "07_model_output" / "new").iterdir())
    found = [pd.read_csv(folder / "outcome.csv")["localization"].tolist() for folder in folders]
    assert sorted(found) == [["left"], ["left"], ["right"]]
    with tiny.session(new_folder=folders[0].name) as session:  # to look at it again
        assert (
            session.load_context().catalog.load("new.outcome")["localization"].tolist() == found[0]
        )


def test_an_inference_that_is_called_without_scans_shares_its_folder_with_nobody(project, scans):
    other = []
    tiny = project(lambda: other.extend(beside(tiny.folder, ["score", scans["right"]])))
    with (tiny.folder / "conf" / "tiny" / "parameters.yml").open("a") as stream:
        stream.write(f"new_scans: [{scans['left']}]\n")
    tiny.run("inference")
    assert tiny.load("new.outcome")["localization"].tolist() == ["left"]
    assert other[0]["status"] == 1
    assert "inference, since 2" in other[0]["output"]


@pytest.mark.parametrize("change", [lambda path: path.write_text("another"), Path.unlink])
def test_a_scan_that_is_changed_while_it_is_scored_has_no_result(tmp_path, change):
    path = tmp_path / "scan.nii"
    path.write_text("first")
    cohort = list_new_scans([str(path)])
    change(path)
    scans = {"findings": {}, "failures": pd.DataFrame(columns=["case_id", "stage", "error"])}
    scores = cohort.assign(probability=0.9)
    outcome = gather_outcome(cohort, scores, cohort, {}, scans, Cases({}, {}))
    assert "changed or taken away" in outcome["failed"].item()
    assert list(outcome) == ["case_id", "failed"]

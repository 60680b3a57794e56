"""What makes which results out of date, by ``kedro plan``, which computes nothing."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kedro.framework.project import pipelines

from lvo_kedro.cli import cli
from lvo_kedro.planning import Step, plan
from tests.lengths import one_of

SCORED = {"scan_scores", "explanations"}
DETECTED = {"channels", "side_features", "detectors"} | SCORED
LOCATED = {"occlusion_labels", "occlusion_dataset", "occlusion_models", "occlusions"}
SEGMENTED = {"vessels", "vessel_measures", "projections"} | DETECTED | LOCATED
PREPARED = {"vessel_annotations", "clot_annotations", "vessel_dataset", "vessel_models"}
NEW = 5


def due(project: Any, **parameters: Any) -> dict[str, Step]:
    """Return the plan's steps in which anything would be computed, by their dataset."""
    with project.session(**parameters) as session:
        catalog = session.load_context().catalog
        steps = list(plan(pipelines["__default__"], catalog))
    assert len(steps) >= 15
    assert not [step for step in steps if step.waits_for]
    return {step.dataset: step for step in steps if step.due}


def test_nothing_is_to_do_after_a_run_and_planning_writes_nothing(tiny):
    files = {path: path.stat().st_mtime_ns for path in tiny.data.rglob("*") if path.is_file()}
    assert due(tiny) == {}
    after = {path: path.stat().st_mtime_ns for path in tiny.data.rglob("*") if path.is_file()}
    assert after == files


@pytest.mark.parametrize(
    ("option", "datasets"),
    one_of(
        3,
        [
            ({"brain_mask": {"reach_mm": 7.0}}, {"scans", "priors"} | PREPARED | SEGMENTED),
            ({"vessel_network": {"step_size": 0.7}}, SEGMENTED),
            ({"vessel_network": {"learning_rate": 2e-3}}, {"vessel_models"} | SEGMENTED),
            ({"priors": {"mirror_iterations": [10, 5, 0]}}, {"priors", "occlusions"} | DETECTED),
            ({"channels": {"spacing_mm": 7.0}}, DETECTED - {"side_features"}),
            ({"features": {"smooth_mm": 0.7}}, {"side_features", "detectors"} | SCORED),
            ({"detector": {"learning_rate": 2e-3}}, {"detectors"} | SCORED),
            ({"explanation": {"enabled": False}}, set()),
            ({"occlusion_network": {"epochs": 2}}, {"occlusion_models", "occlusions"}),
            ({"evaluation": {"resamples": 200}}, set()),
            ({"detector": {"device": "cuda"}}, set()),
            ({"vessel_network": {"checkpoint_every": 1}}, set()),
            ({"scan_quality": {"max_noise_hu": 5.0}}, set()),
        ],
    ),
)
def test_an_option_makes_out_of_date_what_depends_on_it(tiny, option, datasets):
    steps = due(tiny, **option)
    assert set(steps) == datasets
    (name,) = option
    if datasets:
        first = next(iter(steps.values()))
        assert any("changed: " in reason for reason in first.due), name


@contextmanager
def grown(project: Any, split: str) -> Iterator[None]:
    """Add cases to a cohort's table for the time of a test."""
    raw = project.data / "01_raw"
    text = (raw / "cases.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    model = next(row for row in rows if row["split"] == split)
    for number in range(NEW):
        name = f"new-{number}"
        scan = raw / f"{name}.nii.gz"
        shutil.copy(raw / model["ncct"], scan)
        own = {"case_id": name, "patient_id": name, "ncct": scan.name}
        rows.append(dict.fromkeys(model, "") | {k: model[k] for k in ("split", "lvo")} | own)
        rows[-1] |= {k: model[k] for k in ("side", "segment", "simulated") if k in model}
    with (raw / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(model))
        writer.writeheader()
        writer.writerows(rows)
    try:
        yield
    finally:
        (raw / "cases.csv").write_text(text)
        for number in range(NEW):
            (raw / f"new-{number}.nii.gz").unlink()


def test_new_development_cases_change_what_learns_from_them(tiny):
    with grown(tiny, "development"):
        steps = due(tiny)
    assert dict(steps["scans"].due) == {"new": NEW}
    assert "vessel_models" not in steps  # they came without annotations
    for name in ("detectors", "scan_scores"):  # all are judged by models that have changed
        assert steps[name].cases == sum(steps[name].due.values())
    assert all("labels" in reason for reason in steps["detectors"].due)


def test_a_scan_that_changed_is_computed_again_alone(tiny):
    rows = csv.DictReader((tiny.data / "01_raw" / "cases.csv").read_text().splitlines())
    scan = tiny.data / "01_raw" / next(r["ncct"] for r in rows if r["split"] == "external")
    content = scan.read_bytes()
    scan.write_bytes(content + b"x")
    try:
        steps = due(tiny)
    finally:
        scan.write_bytes(content)
    assert dict(steps["scans"].due) == {"changed: path": 1}
    assert not {"vessel_models", "detectors", "occlusion_models"} & set(steps)
    assert {sum(step.due.values()) for step in steps.values()} == {1}


def test_new_external_cases_are_all_that_is_computed(tiny):
    with grown(tiny, "external"):
        steps = due(tiny)
    assert {"scans", "priors", "vessels", "scan_scores", "occlusions"} <= set(steps)
    assert not {"vessel_models", "detectors", "occlusion_models"} & set(steps)
    for step in steps.values():
        assert dict(step.due) == {"new": NEW}, step


def test_what_was_deleted_is_computed_again(tiny):
    case = next(path for path in (tiny.data / "07_model_output" / "vessels").glob("sim-*/*.nii.gz"))
    moved = case.rename(case.with_name(".moved"))
    try:
        steps = due(tiny)
    finally:
        moved.rename(case)
    assert {name: dict(step.due) for name, step in steps.items()} == {
        "vessels": {f"{case.name} is missing": 1}
    }


def test_on_the_command_line(tiny):
    options = ["--pipelines", "detection_training", "--params", "detector.epochs=3"]
    result = CliRunner().invoke(cli, ["plan", "--env", "tiny", *options])
    assert result.exit_code == 0, result.output
    assert "2 of 4: 2 changed: options" in result.output
    assert "channels             nothing of" in result.output
    assert "Nothing was computed." in result.output
    for wrong, said in (
        (["--pipelines", "detecton"], "no pipeline detecton"),
        (["--params", "detectr.epochs=3"], "detectr (did you mean detector?)"),
    ):
        result = CliRunner().invoke(cli, ["plan", "--env", "tiny", *wrong])
        assert result.exit_code == 1
        assert said in result.output
    assert not list(Path(tiny.data / "06_models" / "detectors").glob("*/resume*"))

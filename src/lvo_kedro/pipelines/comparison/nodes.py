"""Nodes of the comparison pipeline."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lvo_kedro.datasets.cases import Case
from lvo_kedro.evaluation import (
    EvaluationOptions,
    compare_locations,
    compare_runs,
    fixed_points,
    require_same_cases,
)
from lvo_kedro.options import Options
from lvo_kedro.reporting import ComparisonContent, render_comparison
from lvo_kedro.settings import EVALUATED_SPLITS
from lvo_kedro.tracking import describe_run, fetch_artifacts, package_versions, provenance

ARTIFACTS = ("detection_scores.csv", "localization_calls.csv", "calibration.json")

Tables = dict[str, pd.DataFrame]


class ComparisonOptions(Options):
    """Which runs are compared."""

    run_a: str = ""
    """Id of an MLflow run of the whole method."""
    run_b: str = ""
    """Id of the run that it is compared with; differences are A - B."""
    common_cases: bool = False
    """Compare on the cases that both runs have, and say which are left out, instead of refusing."""


def fetch_run(run_id: str) -> dict[str, Any]:
    """Fetch a run's scores, calls and fixed operating points from MLflow."""
    with tempfile.TemporaryDirectory() as folder:
        scores, calls, calibration = fetch_artifacts(run_id, ARTIFACTS, Path(folder))
        return {
            "scores": pd.read_csv(scores, dtype=str, keep_default_na=False),
            "calls": pd.read_csv(calls, dtype=str, keep_default_na=False),
            "calibration": json.loads(calibration.read_text()),
            "description": describe_run(run_id),
        }


def compare_split(
    run_a: Case, run_b: Case, options: ComparisonOptions, evaluation: EvaluationOptions, split: str
) -> tuple[Tables, dict[str, float]]:
    """Compare two runs on one split, each at the operating points that it fixed itself.

    Out: differences A - B of AUC, sensitivity, specificity, side and segment, with interval and p.
    """

    def of_split(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        first, second = run_a[name], run_b[name]
        return first[first["split"] == split], second[second["split"] == split]

    scores, calls = of_split("scores"), of_split("calls")
    if not options.common_cases:
        require_same_cases(*scores)
    points_a, _ = fixed_points(run_a["calibration"], split)
    points_b, _ = fixed_points(run_b["calibration"], split)
    detection = compare_runs(*scores, points_a, points_b, evaluation)
    locations, relocated = compare_locations(calls, scores, (points_a, points_b), evaluation)
    return detection.tables() | {"locations": locations, "relocated": relocated}, detection.metrics


def write_comparison(
    run_a: Case,
    run_b: Case,
    evaluation: EvaluationOptions,
    cross_validation: Mapping[str, Callable[[], pd.DataFrame]],
    external_test: Mapping[str, Callable[[], pd.DataFrame]],
) -> str:
    """Write the two runs side by side as one HTML file that needs nothing else."""
    stored = {"cross_validation": cross_validation, "external_test": external_test}
    content = ComparisonContent(
        runs={"A": run_a["description"], "B": run_b["description"]},
        splits={
            name: {key: load() for key, load in stored[name].items()} for name in EVALUATED_SPLITS
        },
        simulated=any("simulated" in run["scores"] for run in (run_a, run_b)),
        versions=package_versions(),
        provenance=provenance(with_cohort=False),
        confidence=evaluation.confidence,
    )
    return render_comparison(content)

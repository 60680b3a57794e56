"""Nodes of the comparison pipeline."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

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


def fetch_run(run_id: str) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, str]]:
    """Fetch a run's scores, calls and fixed operating points from MLflow."""
    with tempfile.TemporaryDirectory() as folder:
        scores, calls, calibration = fetch_artifacts(run_id, ARTIFACTS, Path(folder))
        tables = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (scores, calls))
        return *tables, json.loads(calibration.read_text()), describe_run(run_id)


def compare_split(
    scores_a: pd.DataFrame,
    calls_a: pd.DataFrame,
    calibration_a: dict[str, Any],
    scores_b: pd.DataFrame,
    calls_b: pd.DataFrame,
    calibration_b: dict[str, Any],
    options: ComparisonOptions,
    evaluation: EvaluationOptions,
    split: str,
) -> tuple[Tables, dict[str, float]]:
    """Compare two runs on one split, each at the operating points that it fixed itself."""
    own = [table[table["split"] == split] for table in (scores_a, scores_b, calls_a, calls_b)]
    scores, calls = (own[0], own[1]), (own[2], own[3])
    if not options.common_cases:
        require_same_cases(*scores)
    points_a, _ = fixed_points(calibration_a, split)
    points_b, _ = fixed_points(calibration_b, split)
    detection = compare_runs(*scores, points_a, points_b, evaluation)
    locations, relocated = compare_locations(calls, scores, (points_a, points_b), evaluation)
    return detection.tables() | {"locations": locations, "relocated": relocated}, detection.metrics


def write_comparison(
    scores_a: pd.DataFrame,
    scores_b: pd.DataFrame,
    run_a: dict[str, str],
    run_b: dict[str, str],
    evaluation: EvaluationOptions,
    cross_validation: Mapping[str, Callable[[], pd.DataFrame]],
    external_test: Mapping[str, Callable[[], pd.DataFrame]],
) -> str:
    """Write the two runs side by side as one HTML file that needs nothing else."""
    stored = {"cross_validation": cross_validation, "external_test": external_test}
    content = ComparisonContent(
        runs={"A": run_a, "B": run_b},
        splits={
            name: {key: load() for key, load in stored[name].items()} for name in EVALUATED_SPLITS
        },
        simulated="simulated" in scores_a or "simulated" in scores_b,
        versions=package_versions(),
        provenance=provenance(),
        confidence=evaluation.confidence,
    )
    return render_comparison(content)

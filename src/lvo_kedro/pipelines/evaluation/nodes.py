"""Nodes of the evaluation pipeline that make figures of merit and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from lvo_kedro.datasets.cases import Cases
from lvo_kedro.evaluation import (
    EvaluationOptions,
    check_epoch_choice,
    check_study,
    compare_methods,
    count_flow,
    evaluate_detection,
    evaluate_explanations,
    evaluate_localization,
    evaluate_vessels,
    findings_table,
    fixed_points,
    raise_on_errors,
)
from lvo_kedro.pipelines.evaluation.records import detector_training
from lvo_kedro.stages import fold_of

Tables = dict[str, pd.DataFrame]
StoredTables = Mapping[str, Callable[[], pd.DataFrame]]


def list_exclusions(cohort: pd.DataFrame, **stages: Cases) -> pd.DataFrame:
    """One row a case that could not be computed: the stage and what was wrong."""
    rows = [
        {"case_id": case, "stage": stage, "error": error}
        for stage, cases in stages.items()
        for case, error in cases.failed.items()
    ]
    table = pd.DataFrame(rows, columns=["case_id", "stage", "error"])
    return cohort[["case_id", "split"]].merge(table, on="case_id")


def list_quality_findings(scans: Cases, priors: Cases, occlusions: Cases) -> pd.DataFrame:
    """One row a finding about a case's scan, priors or vessels, in words."""
    found = {
        "scan": {c: r["findings"] for c, r in scans.records("quality").items()},
        "priors": {c: r["findings"] for c, r in priors.records("quality").items()},
        "vessels": {c: r["vessel_findings"] for c, r in occlusions.records("call").items()},
    }
    rows = [
        {"case_id": case, "stage": stage, "finding": finding}
        for stage, cases in found.items()
        for case, findings in cases.items()
        for finding in findings
    ]
    return pd.DataFrame(rows, columns=["case_id", "stage", "finding"])


def check_study_design(
    cohort: pd.DataFrame,
    folds: pd.DataFrame,
    scans: Cases,
    vessels: Cases,
    detection_scores: pd.DataFrame,
    occlusions: Cases,
    detectors: Cases,
    options: EvaluationOptions,
) -> pd.DataFrame:
    """Look for what would make the figures better than they should be, and stop at a leak."""
    patients = cohort.set_index("case_id")["patient_id"]
    held_out = folds.set_index("patient_id")["fold"]
    development = cohort[cohort["split"] == "development"]
    table = development[["case_id", "patient_id"]].assign(
        fold=development["patient_id"].map(held_out)
    )
    trained_on: dict[str, dict[int, set[str]]] = {}
    scored = detection_scores[detection_scores["split"] == "development"]
    predictions = {"detection": scored}
    for stage, records in (
        ("segmentation", vessels.records("provenance")),
        ("localization", occlusions.records("call")),
    ):
        of_fold = trained_on.setdefault(stage, {})
        predictions[stage] = predicted = table[table["case_id"].isin(list(records))]
        for case, fold in zip(predicted["case_id"], predicted["fold"], strict=True):
            seen = {patients[other] for other in records[case]["trained_on"]}
            of_fold.setdefault(int(fold), set()).update(seen)
    chosen_on: dict[int, set[str]] = {}
    for name in detectors:
        fold, training = fold_of(name), detector_training(detectors[name])
        seen = {patients[case] for case in training["train"]}
        trained_on.setdefault("detection", {}).setdefault(fold, set()).update(seen)
        chosen_on.setdefault(fold, set()).update(training["chosen_on"])
    hashes = pd.DataFrame(
        [(case, r["content_hash"]) for case, r in scans.records("quality").items()],
        columns=["case_id", "content_hash"],
    )
    found = check_study(cohort, table, predictions, hashes, trained_on)
    found += check_epoch_choice(scored, chosen_on)
    return findings_table(raise_on_errors(found, options.allow_errors))


def summarize_vessels(vessel_metrics: pd.DataFrame, options: EvaluationOptions) -> pd.DataFrame:
    """Mean of each vessel metric over cases, with its interval."""
    return evaluate_vessels(vessel_metrics, options)


def measure_points(localization_calls: pd.DataFrame, occlusion_labels: Cases) -> pd.DataFrame:
    """Add the distance of the called point from the annotated clot's centre, if there is one."""
    truth = occlusion_labels.records("truth")
    centres = {case: np.array(t["centre_mm"]) for case, t in truth.items() if t}
    points = localization_calls[["point_x", "point_y", "point_z"]].to_numpy(dtype=float)
    errors = [
        float(np.linalg.norm(point - centres[case])) if case in centres else np.nan
        for case, point in zip(localization_calls["case_id"], points, strict=True)
    ]
    annotated = localization_calls["case_id"].isin(list(centres)).astype(int)
    return localization_calls.assign(point_error_mm=errors, clot_annotated=annotated)


def report_detection(
    scores: pd.DataFrame,
    cohort: pd.DataFrame,
    calibration: dict[str, Any],
    quality: pd.DataFrame,
    exclusions: pd.DataFrame,
    options: EvaluationOptions,
    split: str,
) -> tuple[Tables, dict[str, float]]:
    """Evaluate the scores of one split at operating points fixed on other cases."""
    points, fitted_on = fixed_points(calibration, split)
    own = scores[scores["split"] == split]
    evaluated = evaluate_detection(
        own,
        cohort,
        points,
        options,
        quality=quality,
        fitted_on=fitted_on,
    )
    flow = count_flow(cohort[cohort["split"] == split], own, exclusions)
    return evaluated.tables() | {"flow": flow}, evaluated.metrics


def report_localization(
    calls: pd.DataFrame,
    scores: pd.DataFrame,
    cohort: pd.DataFrame,
    calibration: dict[str, Any],
    options: EvaluationOptions,
    split: str,
) -> tuple[Tables, dict[str, float]]:
    """Evaluate side and segment of one split's occlusions, end to end and given detection."""
    points, _ = fixed_points(calibration, split)
    own = scores[scores["split"] == split]
    evaluated = evaluate_localization(
        calls[calls["split"] == split], own, points, options, cohort=cohort
    )
    methods = compare_methods(calls[calls["split"] == split], own, points, options, cohort=cohort)
    return evaluated.tables() | {"methods": methods}, evaluated.metrics


def check_explanations(
    detection: StoredTables, explanations: Cases, cohort: pd.DataFrame, options: EvaluationOptions
) -> pd.DataFrame:
    """Count the detected occlusions whose map lies more on the occluded side of one split."""
    known = detection["scores"]().merge(cohort[["case_id", "side"]], on="case_id")
    return evaluate_explanations(known, explanations.records("sides"), options.confidence)


def summarize_split(
    detection: StoredTables, localization: StoredTables, options: EvaluationOptions
) -> pd.DataFrame:
    """Gather the main figures of one split, each with its n and interval."""
    overall, operating = detection["summary"](), detection["operating"]()
    places = localization["summary"]()
    rows = [overall[overall["metric"] == "auc"].assign(title="AUC")]
    for metric in ("sensitivity", "specificity"):
        for name, part in operating[operating["metric"] == metric].groupby("operating_point"):
            rows.append(part.assign(title=f"{metric} at {name}"))
    main = options.operating_point or operating["operating_point"].iloc[0]
    for scope in ("end_to_end", "given_detection"):
        part = places[(places["scope"] == scope) & (places["operating_point"] == main)]
        for metric in ("segment_accuracy", "side_accuracy"):
            chosen = part[(part["metric"] == metric) & (part["segment"] == "all")]
            words = f"{metric} {scope}".replace("_", " ")
            rows.append(chosen.assign(title=words))
    table = pd.concat(rows, ignore_index=True)
    return table[["title", "value", "low", "high", "n", "method"]]

"""Nodes of the evaluation pipeline that make metrics and tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lvo_kedro.cohort import fold_of_cases
from lvo_kedro.datasets.cases import Case, Cases
from lvo_kedro.detection import knows_controls
from lvo_kedro.evaluation import (
    NOT_BEGUN,
    EvaluationOptions,
    check_began,
    check_controls,
    check_study_design,
    compare_methods,
    count_flow,
    evaluate_detection,
    evaluate_explanations,
    evaluate_localization,
    evaluate_vessels,
    findings_table,
    fixed_points,
    list_exclusions,
    list_quality_findings,
    raise_on_errors,
    reasons_out_of_scope,
    summarize_evaluation,
)
from lvo_kedro.imaging import QualityLimits, find_remarkable
from lvo_kedro.priors import PriorOptions, find_faults
from lvo_kedro.stages import failures, fold_of, options_of
from lvo_kedro.tracking import package_versions, provenance

logger = logging.getLogger(__name__)

Tables = dict[str, pd.DataFrame]
StoredTables = Mapping[str, Callable[[], pd.DataFrame]]

COHORT_COLUMNS = (
    "segment", "side", "site", "manufacturer", "model", "kernel", "age", "sex", "nihss",
    "slice_thickness_mm",
)  # fmt: skip
NETWORKS = {
    "vessel_network": "segmentation",
    "detector": "detection",
    "occlusion_network": "localization",
}
"""The parameters of each stage's networks, and the stage."""


def record_scans(
    scans: Cases, priors: Cases, quality: QualityLimits, options: PriorOptions
) -> dict[str, Any]:
    """Gather what the report says of scans and priors beside their images.

    Out: findings in words, the cases that could not be computed and why, the content hash of each
    scan, and the options; limits of findings as they are now, whenever a case was computed.
    """
    measured, fitted = scans.records("quality"), priors.records("quality")
    limits, matched = options.limits, options_of(priors).get("options", {})
    return {
        "findings": {
            "scan": {case: find_remarkable(record, quality) for case, record in measured.items()},
            "priors": {case: find_faults(record, limits) for case, record in fitted.items()},
        },
        "failures": failures(scans=scans, priors=priors),
        "hashes": {case: record["content_hash"] for case, record in measured.items()},
        "options": {
            "scans": options_of(scans) | {"quality": quality.model_dump(mode="json")},
            "priors": {"options": matched | {"limits": limits.model_dump(mode="json")}},
        },
    }


def describe_study(
    cohort: pd.DataFrame,
    scans: Case,
    segmentation: Case,
    detection: Case,
    localization: Case,
    options: EvaluationOptions,
) -> dict[str, Any]:
    """Gather what the report says of the study as a whole, and look for bias and leaks.

    Out: the cohort without files and patients' ids, the cases that could not be computed and why,
    what is odd about a case, what would make the metrics better than they should be (leaks,
    copies, a shared site), the overlap of the vessels, the curves of the trainings, and where all
    of it comes from: versions, digests, options. A leak stops the run, unless that is allowed; a
    detector that did not begin to learn is an error that the report shows.
    """
    stages = {"segmentation": segmentation, "detection": detection, "localization": localization}
    failed = [stage["failures"] for stage in (scans, *stages.values())]
    checked = check_design(cohort, scans["hashes"], stages, options)
    return {
        "cohort": describe_cohort(cohort),
        "exclusions": list_exclusions(cohort, failed),
        "quality": list_findings(scans, detection, localization),
        "findings": checked,
        "metrics": _named(count_errors(checked)),
        "vessels": evaluate_vessels(segmentation["metrics"], options),
        "history": detection["history"],
        "provenance": record_provenance(cohort, scans, stages, options),
    }


def list_findings(scans: Case, detection: Case, localization: Case) -> pd.DataFrame:
    """List what each stage found odd about a case, and why a case is unlike the training cases."""
    found = scans["findings"] | {
        "vessels": localization["findings"],
        "scope": reasons_out_of_scope(detection["scores"]),
    }
    return list_quality_findings(found)


def check_design(
    cohort: pd.DataFrame,
    hashes: Mapping[str, str],
    stages: Mapping[str, Case],
    options: EvaluationOptions,
) -> pd.DataFrame:
    """Look for what would make the metrics better than they should be, and stop at a leak.

    Detectors that did not begin to learn, or learned of occlusions alone, are listed behind it, and
    do not stop the run.
    """
    models = {name: stage["models"] for name, stage in stages.items()}
    found = check_study_design(
        cohort,
        stages["detection"]["scores"],
        models=models,
        networks={name: stages[name]["networks"] for name in ("segmentation", "localization")},
        detectors={name: fold_of(name) for name in models["detection"]},
        hashes=hashes,
    )
    idle = check_began(models["detection"])
    for finding in idle:
        logger.error("%s", finding.message)
    one_class = check_controls(knows_controls(stages["detection"]["calibration"]))
    return findings_table([*raise_on_errors(found, options.allow_errors), *idle, *one_class])


def count_errors(findings: pd.DataFrame) -> dict[str, float]:
    """Count the errors of the checks, and the detectors among them that did not begin to learn."""
    idle = findings["check"] == NOT_BEGUN
    return {"errors": float((findings["severity"] == "error").sum()), NOT_BEGUN: float(idle.sum())}


def describe_cohort(cohort: pd.DataFrame) -> pd.DataFrame:
    """Keep of each case what the report draws, without its files and its patient's id."""
    wanted = ["case_id", "split", "lvo", "simulated", "source", *COHORT_COLUMNS]
    return cohort[[name for name in wanted if name in cohort]]


def record_provenance(
    cohort: pd.DataFrame,
    scans: Case,
    stages: Mapping[str, Case],
    options: EvaluationOptions,
) -> dict[str, Any]:
    """Return where the metrics come from, for JSON: origin, versions, starts, options."""
    models = {block: stages[stage]["models"] for block, stage in NETWORKS.items()}
    named = {f"{block} {n}": m for block, ms in models.items() for n, m in sorted(ms.items())}
    starts = {f"Start of {name}": m["start"] for name, m in named.items() if m["start"]}
    digests = {f"Weights of {name} (SHA-256)": m["sha256"] for name, m in named.items()}
    made = dict(scans["options"])
    for stage in ("detection", "localization"):
        made |= stages[stage]["options"]
    networks = {block: ms[min(ms)]["options"] for block, ms in models.items() if ms}
    folds = {"count": len(set(fold_of_cases(cohort).values()))}
    return {
        "origin": provenance(with_cohort=True) | digests | starts,
        "starts": starts,
        "versions": package_versions(),
        "options": {
            "folds": folds,
            **made,
            **networks,
            "evaluation": options.model_dump(mode="json"),
        },
    }


def report_detection(
    detection: Case,
    cohort: pd.DataFrame,
    study: Case,
    options: EvaluationOptions,
    split: str,
) -> Tables:
    """Evaluate the scores of one split at operating points fixed on other cases.

    Out: metrics with n and 95 % interval, ROC and other curves, calibration, subgroups, the
    detectors side by side, wrong calls, and how many cases came in and fell out.
    """
    points, fitted_on = fixed_points(detection["calibration"], split)
    scores = scores_of(detection)
    own = scores[scores["split"] == split]
    evaluated = evaluate_detection(
        own,
        cohort,
        points,
        options,
        quality=study["quality"],
        fitted_on=fitted_on,
        controls=knows_controls(detection["calibration"]),
    )
    wrong = evaluated.findings["severity"] == "error"
    for message in evaluated.findings.loc[wrong, "message"]:
        logger.error("%s cases: %s", split, message)
    flow = count_flow(cohort[cohort["split"] == split], own, study["exclusions"])
    return evaluated.tables() | {"flow": flow, "metrics": _named(evaluated.metrics)}


def scores_of(detection: Case) -> pd.DataFrame:
    """Return the score table; where scope was not looked at, it does not say that all are in it."""
    made_with = detection["options"].get("detection", {}).get("options", {})
    looked_at = made_with.get("scope", {}).get("enabled", False)
    scores: pd.DataFrame = detection["scores"]
    return scores if looked_at else scores.drop(columns="out_of_scope", errors="ignore")


def report_localization(
    localization: Case,
    detection: Case,
    detected: StoredTables,
    cohort: pd.DataFrame,
    options: EvaluationOptions,
    split: str,
) -> Tables:
    """Evaluate side and segment of one split's occlusions, end to end and given detection.

    Out: metrics with n and 95 % interval, confusion matrices, distances of the called points (mm),
    both methods side by side, and on which side the detector's maps lie.
    """
    points, _ = fixed_points(detection["calibration"], split)
    scores, calls = detection["scores"], localization["calls"]
    own, called = scores[scores["split"] == split], calls[calls["split"] == split]
    evaluated = evaluate_localization(called, own, points, options, cohort=cohort)
    known = detected["scores"]().merge(cohort[["case_id", "side"]], on="case_id")
    return evaluated.tables() | {
        "methods": compare_methods(called, own, points, options, cohort=cohort),
        "explanation": evaluate_explanations(known, detection["sides"], options.confidence),
        "metrics": _named(evaluated.metrics),
    }


def _named(metrics: Mapping[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"metric": list(metrics), "value": list(metrics.values())})


def summarize_split(
    detection: StoredTables, localization: StoredTables, options: EvaluationOptions
) -> pd.DataFrame:
    """Gather the main metrics of one split, each with its n and interval."""
    return summarize_evaluation(
        detection["summary"](),
        detection["operating"](),
        detection["hemispheres"](),
        localization["summary"](),
        options.operating_point,
    )


def tell_results(summary: pd.DataFrame, roc: Path, confusion: Path) -> None:
    """Say the main metrics of one split in the log, and where its pictures are."""
    metrics = summary.set_index("title")
    said = [
        f"{name} {_figure(metrics.loc[title])}"
        for name, title in {
            "AUC": "AUC",
            "side": "side accuracy end to end",
            "segment": "segment accuracy end to end",
        }.items()
    ]
    logger.info("%s", ", ".join(said))
    logger.info("pictures: %s, %s in %s", roc.name, confusion.name, roc.parent.name)


def _figure(row: pd.Series) -> str:
    return f"not estimable ({row['method']})" if pd.isna(row["value"]) else f"{row['value']:.2f}"

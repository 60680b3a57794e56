"""Nodes of the evaluation pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lvo_kedro.datasets.cases import Cases
from lvo_kedro.datasets.fingerprint import fingerprint
from lvo_kedro.evaluation import (
    EvaluationOptions,
    check_study,
    choose_cases,
    compare_methods,
    count_flow,
    evaluate_detection,
    evaluate_explanations,
    evaluate_localization,
    evaluate_vessels,
    findings_table,
    fixed_points,
)
from lvo_kedro.localization import mark_called, midplane_of
from lvo_kedro.options import Options
from lvo_kedro.reporting import (
    CasePictures,
    ReportContent,
    SplitTables,
    long_history,
    plot_confusion,
    plot_roc,
    render_checklist,
    render_model_card,
    render_report,
)
from lvo_kedro.settings import EVALUATED_SPLITS
from lvo_kedro.tracking import package_versions, provenance, without_private

logger = logging.getLogger(__name__)

REPORTING = "08_reporting"
"""Folder of all tables that the report shows, below the data folder."""
COHORT_COLUMNS = ("segment", "side", "site", "scanner", "age", "sex", "nihss", "slice_thickness")
CURVES = ("train_loss", "validation_loss", "validation_auc", "pseudo_dice")
"""Columns of a fold's history that the report shows."""
SPLIT_NOTES = {
    "development": "Each case was scored by networks that had not seen its patient.",
    "external": "Scored once by all folds together, at operating points fixed before.",
}

Tables = dict[str, pd.DataFrame]
StoredTables = Mapping[str, Callable[[], pd.DataFrame]]


class ReportOptions(Options):
    """What the report shows beyond its tables."""

    title: str = "Large-vessel occlusion on non-contrast CT"
    gallery: int = 0
    """Pictures of so many cases. They show patients: 0 unless you mean it."""


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
) -> pd.DataFrame:
    """Look for what would make the figures better than they should be: leaks, copies, same site."""
    patients = cohort.set_index("case_id")["patient_id"]
    held_out = folds.set_index("patient_id")["fold"]
    development = cohort[cohort["split"] == "development"]
    table = development[["case_id", "patient_id"]].assign(
        fold=development["patient_id"].map(held_out)
    )
    trained_on: dict[str, dict[int, set[str]]] = {}
    for stage, records in (
        ("segmentation", vessels.records("provenance")),
        ("localization", occlusions.records("call")),
    ):
        of_fold = trained_on.setdefault(stage, {})
        for case, fold in zip(table["case_id"], table["fold"], strict=True):
            if case in records:
                seen = {patients[other] for other in records[case]["trained_on"]}
                of_fold.setdefault(int(fold), set()).update(seen)
    scored = detection_scores[detection_scores["split"] == "development"]
    hashes = pd.DataFrame(
        [(case, r["content_hash"]) for case, r in scans.records("quality").items()],
        columns=["case_id", "content_hash"],
    )
    predictions = {stage: table for stage in trained_on} | {"detection": scored}
    return findings_table(check_study(cohort, table, predictions, hashes, trained_on))


def summarize_vessels(vessel_metrics: pd.DataFrame, options: EvaluationOptions) -> pd.DataFrame:
    """Mean of each vessel metric over cases, with its interval."""
    return evaluate_vessels(vessel_metrics, options)


def measure_points(localization_calls: pd.DataFrame, occlusion_labels: Cases) -> pd.DataFrame:
    """Add the distance between the called point and the annotated clot's centre, in mm."""
    truth = occlusion_labels.records("truth")
    centres = {case: np.array(t["centre_mm"]) for case, t in truth.items() if t}
    points = localization_calls[["point_x", "point_y", "point_z"]].to_numpy(dtype=float)
    errors = [
        float(np.linalg.norm(point - centres[case])) if case in centres else np.nan
        for case, point in zip(localization_calls["case_id"], points, strict=True)
    ]
    return localization_calls.assign(point_error_mm=errors)


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
    scores = detection["scores"]().drop(columns="side", errors="ignore")
    known = scores.merge(cohort[["case_id", "side"]], on="case_id")
    return evaluate_explanations(known, explanations.records("sides"), options.confidence)


def summarize_split(detection: StoredTables, localization: StoredTables) -> pd.DataFrame:
    """Gather the main figures of one split, each with its n and interval."""
    overall, operating = detection["summary"](), detection["operating"]()
    places = localization["summary"]()
    rows = [overall[overall["metric"] == "auc"].assign(title="AUC")]
    for metric in ("sensitivity", "specificity"):
        for name, part in operating[operating["metric"] == metric].groupby("operating_point"):
            rows.append(part.assign(title=f"{metric} at {name}"))
    main = operating["operating_point"].iloc[0]
    for scope in ("end_to_end", "given_detection"):
        part = places[(places["scope"] == scope) & (places["operating_point"] == main)]
        for metric in ("segment_accuracy", "side_accuracy"):
            chosen = part[(part["metric"] == metric) & (part["segment"] == "all")]
            words = f"{metric} {scope}".replace("_", " ")
            rows.append(chosen.assign(title=words))
    table = pd.concat(rows, ignore_index=True)
    return table[["title", "value", "low", "high", "n", "method"]]


def describe_cohort(cohort: pd.DataFrame) -> pd.DataFrame:
    """Keep of each case what the report draws, without its files and its patient's id."""
    wanted = ["case_id", "split", "lvo", "simulated", *COHORT_COLUMNS]
    return cohort[[name for name in wanted if name in cohort]]


def tabulate_training(detectors: Cases) -> pd.DataFrame:
    """One row a fold, epoch and curve of the detectors' training."""
    histories = {
        number: pd.read_csv(detectors[name].folder / "history.csv")
        for number, name in enumerate(sorted(detectors))
    }
    return long_history(histories, CURVES)


def draw_roc(detection: StoredTables) -> Figure:
    """Draw the ROC curve with its band and the operating points."""
    return plot_roc({name: load() for name, load in detection.items()})


def draw_confusion(localization: StoredTables) -> Figure:
    """Draw the confusion matrix of the five segment classes, end to end."""
    return plot_confusion({name: load() for name, load in localization.items()})


def choose_gallery(
    located_calls: pd.DataFrame,
    detection_scores: pd.DataFrame,
    options: ReportOptions,
    **detection: StoredTables,
) -> pd.DataFrame:
    """Choose whose pictures the report shows: the worst wrong calls and some right ones."""
    failures = pd.concat([tables["failures"]() for tables in detection.values()])
    chosen = choose_cases(failures, detection_scores, options.gallery)
    scored = detection_scores[["case_id", "probability"]].merge(located_calls, on="case_id")
    rows = chosen.merge(scored, on="case_id").to_dict("records")
    columns = ["case_id", "kind", "probability", "called_side", "called_segment", "caption"]
    return pd.DataFrame([row | {"caption": _caption(row)} for row in rows], columns=columns)


def _caption(row: Mapping[Any, Any]) -> str:
    truth = f"{row['side']} {row['segment']}" if row["lvo"] == 1 else "no LVO"
    named = f"{row['called_side']} {row['called_segment']}".strip() or "nothing"
    probability = f"probability {row['probability']:.2f}"
    return f"{row['kind'].capitalize()}; truth: {truth}; named: {named}; {probability}"


def write_report(
    cohort: pd.DataFrame,
    gallery: pd.DataFrame,
    parameters: dict[str, Any],
    options: ReportOptions,
    **inputs: Any,
) -> tuple[str, str, str]:
    """Write report (one HTML file that needs nothing else), model card and reporting checklist."""
    content = ReportContent(
        title=options.title,
        splits=_split_tables(inputs),
        cohort=cohort,
        simulated="simulated" in cohort,
        exclusions=inputs["exclusions"],
        vessels=inputs["vessel_overlap"],
        quality=inputs["quality_findings"],
        findings=inputs["study_findings"],
        history=inputs["training_history"],
        robustness=_still_valid(inputs["robustness"], inputs["detection_scores"]),
        source=REPORTING,
        explanations=pd.concat(
            [inputs[f"{name}.explanation"].assign(split=name) for name in EVALUATED_SPLITS]
        ),
        gallery=_pictures(gallery, inputs),
        parameters=without_private(parameters),
        operating_points_from=(
            "On out-of-fold scores of the development cases: for external cases on all of them, "
            "for a development case on those of the other folds."
        ),
        versions=package_versions(),
        provenance=provenance(cohort),
    )
    return render_report(content), render_model_card(content), render_checklist(content)


def _split_tables(inputs: Mapping[str, Any]) -> list[SplitTables]:
    return [
        SplitTables(
            name=name.replace("_", " ").capitalize(),
            detection={key: load() for key, load in inputs[f"{name}.detection"].items()},
            localization={key: load() for key, load in inputs[f"{name}.localization"].items()},
            split=split,
            note=SPLIT_NOTES.get(split, ""),
            source=f"{REPORTING}/{name}",
        )
        for name, split in EVALUATED_SPLITS.items()
    ]


def _still_valid(robustness: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame | None:
    """Leave a table out that was computed from other scores than those reported, and say so."""
    if robustness.empty:
        return None
    if set(robustness["computed_from"]) != {fingerprint(scores)}:
        logger.warning(
            "the report leaves robustness.csv out: it is about other scores than the present ones; "
            "kedro run --pipelines robustness computes it again"
        )
        return None
    return robustness


def _pictures(gallery: pd.DataFrame, inputs: Mapping[str, Any]) -> list[CasePictures]:
    return [_pictures_of(row, inputs) for row in gallery.to_dict("records")]


def _pictures_of(row: Mapping[Any, Any], inputs: Mapping[str, Any]) -> CasePictures:
    case = row["case_id"]
    projection, priors = inputs["projections"][case], inputs["priors"][case]
    annotation = inputs["annotations"].get(case, {})
    called = mark_called(
        projection["labels"],
        midplane_of(priors["hemispheres"]),
        row["called_side"],
        row["called_segment"],
    )
    return CasePictures(
        case_id=case,
        caption=row["caption"],
        ncct=inputs["scans"][case]["ncct"],
        projection=projection["mip"],
        call=called,
        occlusion=inputs["occlusions"][case]["occlusion_mask"],
        truth=annotation["occlusion_mask"] if "occlusion_mask" in annotation else None,
        difference=priors["signed_difference"],
        explanation=inputs["explanations"].get(case, {}).get("explanation"),
    )

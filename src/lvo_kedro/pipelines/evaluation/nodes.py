"""Nodes of the evaluation pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lvo_kedro.datasets.cases import Cases
from lvo_kedro.evaluation import (
    EvaluationOptions,
    check_study,
    evaluate_detection,
    evaluate_explanations,
    evaluate_localization,
    evaluate_vessels,
    findings_table,
)
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
from lvo_kedro.tracking import package_versions, provenance

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
    options: EvaluationOptions,
    split: str,
) -> tuple[Tables, dict[str, float]]:
    """Evaluate the scores of one split at operating points fixed on other cases."""
    points, fitted_on = _operating_points(calibration, split)
    evaluated = evaluate_detection(
        scores[scores["split"] == split],
        cohort,
        points,
        options,
        quality=quality,
        fitted_on=fitted_on,
    )
    return evaluated.tables(), evaluated.metrics


def report_localization(
    calls: pd.DataFrame,
    scores: pd.DataFrame,
    cohort: pd.DataFrame,
    calibration: dict[str, Any],
    options: EvaluationOptions,
    split: str,
) -> tuple[Tables, dict[str, float]]:
    """Evaluate side and segment of one split's occlusions, end to end and given detection."""
    points, _ = _operating_points(calibration, split)
    own = scores[scores["split"] == split]
    evaluated = evaluate_localization(
        calls[calls["split"] == split], own, points, options, cohort=cohort
    )
    return evaluated.tables(), evaluated.metrics


def _operating_points(
    calibration: dict[str, Any], split: str
) -> tuple[dict[str, Any], list[str] | dict[int, list[str]]]:
    """Return thresholds and the cases that they were fitted on.

    Development cases get their fold's, which was fitted on the other folds.
    """
    if split != "development":
        return calibration["all"]["operating_points"], calibration["all"]["fitted_on"]
    folds = {int(fold): fit for fold, fit in calibration["folds"].items()}
    names = calibration["all"]["operating_points"]
    points = {n: {f: fit["operating_points"][n] for f, fit in folds.items()} for n in names}
    return points, {fold: fit["fitted_on"] for fold, fit in folds.items()}


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


def draw_roc(detection: StoredTables) -> Figure:
    """Draw the ROC curve with its band and the operating points."""
    return plot_roc({name: load() for name, load in detection.items()})


def draw_confusion(localization: StoredTables) -> Figure:
    """Draw the confusion matrix of the five segment classes, end to end."""
    return plot_confusion({name: load() for name, load in localization.items()})


def choose_gallery(
    cohort: pd.DataFrame,
    located_calls: pd.DataFrame,
    detection_scores: pd.DataFrame,
    options: ReportOptions,
) -> pd.DataFrame:
    """Choose whose pictures the report shows: occlusions by score, from right to missed."""
    scored = detection_scores[["case_id", "probability"]].merge(located_calls, on="case_id")
    ranked = scored[scored["lvo"] == 1].sort_values("probability", ascending=False)
    places = np.unique(
        np.linspace(0, len(ranked) - 1, min(options.gallery, len(ranked))).astype(int)
    )
    chosen = ranked.iloc[places] if len(ranked) else ranked
    caption = (
        "truth: " + chosen["side"] + " " + chosen["segment"]
        + "; called: " + chosen["called_side"] + " " + chosen["called_segment"].replace("", "none")
        + "; probability " + chosen["probability"].round(2).astype(str)
    )  # fmt: skip
    return pd.DataFrame({"case_id": chosen["case_id"], "caption": caption})


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
        history=_histories(inputs["detectors"]),
        explanations=pd.concat(
            [inputs[f"{name}.explanation"].assign(split=name) for name in EVALUATED_SPLITS]
        ),
        gallery=_pictures(gallery, inputs),
        parameters=parameters,
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
            source=name,
        )
        for name, split in EVALUATED_SPLITS.items()
    ]


def _histories(models: Cases) -> pd.DataFrame:
    histories = {
        number: pd.read_csv(models[name].folder / "history.csv")
        for number, name in enumerate(sorted(models))
    }
    return long_history(histories, CURVES)


def _pictures(gallery: pd.DataFrame, inputs: Mapping[str, Any]) -> list[CasePictures]:
    return [
        CasePictures(
            case_id=row["case_id"],
            caption=row["caption"],
            ncct=inputs["scans"][row["case_id"]]["ncct"],
            projection=inputs["projections"][row["case_id"]]["mip"],
            call=inputs["occlusions"][row["case_id"]]["occlusion_2d"],
            occlusion=inputs["occlusions"][row["case_id"]]["occlusion_mask"],
            difference=inputs["priors"][row["case_id"]]["signed_difference"],
            explanation=inputs["explanations"].get(row["case_id"], {}).get("explanation"),
        )
        for row in gallery.to_dict("records")
    ]

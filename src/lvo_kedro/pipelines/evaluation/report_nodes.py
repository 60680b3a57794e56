"""Nodes of the evaluation pipeline that make the report and the documents that go with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lvo_kedro.datasets.cases import Cases
from lvo_kedro.datasets.fingerprint import fingerprint
from lvo_kedro.evaluation import EvaluationOptions, choose_cases
from lvo_kedro.localization import mark_called, midplane_of
from lvo_kedro.options import Options
from lvo_kedro.pipelines.evaluation.nodes import StoredTables
from lvo_kedro.pipelines.evaluation.records import (
    recorded_options,
    recorded_starts,
    weight_digests,
)
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
MODELS = {
    "vessel_network": "vessel_models",
    "detector": "detectors",
    "occlusion_network": "occlusion_models",
}
"""The parameters of each stage's networks, and the catalog entry that holds them trained."""
SPLIT_NOTES = {
    "development": "Each case was scored by networks that had not seen its patient.",
    "external": "Scored once by all folds together, at operating points fixed before.",
}


class ReportOptions(Options):
    """What the report shows beyond its tables."""

    title: str = "Large-vessel occlusion on non-contrast CT"
    """Its heading."""
    gallery: int = 0
    """Pictures of so many cases. They show patients: 0 unless you mean it."""


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


def draw_confusion(localization: StoredTables, options: EvaluationOptions) -> Figure:
    """Draw the confusion matrix of the five segment classes, end to end."""
    tables = {name: load() for name, load in localization.items()}
    return plot_confusion(tables, operating_point=options.operating_point)


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
    evaluation: EvaluationOptions,
    **inputs: Any,
) -> tuple[str, str, str]:
    """Write report (one HTML file that needs nothing else), model card and reporting checklist."""
    models = {name: inputs[entry] for name, entry in MODELS.items()}
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
        parameters=without_private(parameters) | recorded_options(models),
        operating_points_from=(
            "On out-of-fold scores of the development cases: for external cases on all of them, "
            "for a development case on those of the other folds."
        ),
        versions=package_versions(),
        provenance=provenance(cohort) | weight_digests(models) | recorded_starts(models),
        given_weights=bool(recorded_starts(models)),
        operating_point=evaluation.operating_point,
        confidence=evaluation.confidence,
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

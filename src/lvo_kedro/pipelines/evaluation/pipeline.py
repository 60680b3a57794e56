"""The evaluation pipeline: the study as a whole, each split in a namespace, the report."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline, node, pipeline

from lvo_kedro.pipelines.evaluation import nodes, report_nodes
from lvo_kedro.settings import EVALUATED_SPLITS

SHARED = {
    "cohort",
    "calibration",
    "detection_scores",
    "explanations",
    "located_calls",
    "quality_findings",
    "exclusions",
}


def create_pipeline(**_: object) -> Pipeline:
    """Scores and calls to figures of merit, a report and the documents that go with it."""
    splits = [
        pipeline(
            _split_nodes(),
            namespace=namespace,
            inputs=SHARED,
            parameters={"params:evaluation"},
        )
        for namespace in EVALUATED_SPLITS
    ]
    return sum(splits, start=pipeline(_study_nodes() + _report_nodes()))


def _study_nodes() -> list[Node]:
    return [
        node(
            nodes.list_exclusions,
            inputs={
                name: name
                for name in (
                    "cohort",
                    "scans",
                    "annotations",
                    "priors",
                    "vessels",
                    "channels",
                    "scan_scores",
                    "explanations",
                    "projections",
                    "occlusions",
                )
            },
            outputs="exclusions",
            name="list_exclusions",
        ),
        node(
            nodes.list_quality_findings,
            inputs=["scans", "priors", "occlusions"],
            outputs="quality_findings",
            name="list_quality_findings",
        ),
        node(
            nodes.check_study_design,
            inputs=[
                "cohort",
                "folds",
                "scans",
                "vessels",
                "detection_scores",
                "occlusions",
                "detectors",
                "params:evaluation",
            ],
            outputs="study_findings",
            name="check_study_design",
        ),
        node(
            nodes.summarize_vessels,
            inputs=["vessel_metrics", "params:evaluation"],
            outputs="vessel_overlap",
            name="summarize_vessels",
        ),
        node(
            nodes.measure_points,
            inputs=["localization_calls", "occlusion_labels"],
            outputs="located_calls",
            name="measure_points",
        ),
    ]


def _report_nodes() -> list[Node]:
    tables = [
        f"{name}.{part}"
        for name in EVALUATED_SPLITS
        for part in ("detection", "localization", "explanation")
    ]
    names = (
        "cohort",
        "parameters",
        "exclusions",
        "vessel_overlap",
        "quality_findings",
        "study_findings",
        "training_history",
        "robustness",
        "detection_scores",
        "scans",
        "annotations",
        "priors",
        "projections",
        "occlusions",
        "explanations",
        "detectors",
        "vessel_models",
        "occlusion_models",
        *tables,
    )
    return [
        node(
            report_nodes.describe_cohort,
            inputs="cohort",
            outputs="cohort_overview",
            name="describe_cohort",
        ),
        node(
            report_nodes.tabulate_training,
            inputs="detectors",
            outputs="training_history",
            name="tabulate_training",
        ),
        node(
            report_nodes.choose_gallery,
            inputs={name: name for name in ("located_calls", "detection_scores")}
            | {f"{name}.detection": f"{name}.detection" for name in EVALUATED_SPLITS}
            | {"options": "params:report"},
            outputs="gallery",
            name="choose_gallery",
        ),
        node(
            report_nodes.write_report,
            inputs={name: name for name in names}
            | {"gallery": "gallery", "options": "params:report", "evaluation": "params:evaluation"},
            outputs=["report", "model_card", "checklist"],
            name="write_report",
        ),
    ]


def _split_nodes() -> list[Node]:
    return [
        node(
            nodes.report_detection,
            inputs=[
                "detection_scores",
                "cohort",
                "calibration",
                "quality_findings",
                "exclusions",
                "params:evaluation",
                "params:split",
            ],
            outputs=["detection", "detection_metrics"],
            name="evaluate_detection",
        ),
        node(
            nodes.report_localization,
            inputs=[
                "located_calls",
                "detection_scores",
                "cohort",
                "calibration",
                "params:evaluation",
                "params:split",
            ],
            outputs=["localization", "localization_metrics"],
            name="evaluate_localization",
        ),
        node(
            nodes.check_explanations,
            inputs=["detection", "explanations", "cohort", "params:evaluation"],
            outputs="explanation",
            name="check_explanations",
        ),
        node(
            nodes.summarize_split,
            inputs=["detection", "localization", "params:evaluation"],
            outputs="summary",
            name="summarize_split",
        ),
        node(report_nodes.draw_roc, inputs="detection", outputs="roc_figure", name="draw_roc"),
        node(
            report_nodes.draw_confusion,
            inputs=["localization", "params:evaluation"],
            outputs="confusion_figure",
            name="draw_confusion",
        ),
    ]

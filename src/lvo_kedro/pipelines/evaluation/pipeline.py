"""The evaluation pipeline: the study as a whole, each split in a namespace, the report."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline, node, pipeline

from lvo_kedro.pipelines.evaluation import nodes, report_nodes
from lvo_kedro.settings import EVALUATED_SPLITS

SHARED = {"cohort", "detection_results", "localization_results", "study"}
"""What both splits are evaluated from."""


def create_pipeline(**_: object) -> Pipeline:
    """Scores and calls to metrics, a report and the documents that go with it."""
    splits = [
        pipeline(
            _split_nodes(),
            namespace=namespace,
            inputs=SHARED,
            parameters={"params:evaluation"},
        )
        for namespace in EVALUATED_SPLITS
    ]
    return sum(splits, start=pipeline([*_study_nodes(), *_report_nodes()]))


def _study_nodes() -> list[Node]:
    scans = node(
        nodes.record_scans,
        inputs=["scans", "priors", "params:scan_quality", "params:priors"],
        outputs="scan_results",
        name="record_scans",
        tags="each_scan",
    )
    study = node(
        nodes.describe_study,
        inputs=[
            "cohort",
            "scan_results",
            "segmentation_results",
            "detection_results",
            "localization_results",
            "params:evaluation",
        ],
        outputs="study",
        name="describe_study",
    )
    return [scans, study]


def _split_nodes() -> list[Node]:
    return [
        node(
            nodes.report_detection,
            inputs=["detection_results", "cohort", "study", "params:evaluation", "params:split"],
            outputs="detection",
            name="evaluate_detection",
        ),
        node(
            nodes.report_localization,
            inputs=[
                "localization_results",
                "detection_results",
                "detection",
                "cohort",
                "params:evaluation",
                "params:split",
            ],
            outputs="localization",
            name="evaluate_localization",
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
        node(
            nodes.tell_results,
            inputs=["summary", "roc_figure", "confusion_figure"],
            outputs=None,
            name="tell_results",
        ),
    ]


def _report_nodes() -> list[Node]:
    detection = {f"{name}.detection": f"{name}.detection" for name in EVALUATED_SPLITS}
    localization = {f"{name}.localization": f"{name}.localization" for name in EVALUATED_SPLITS}
    return [
        node(
            report_nodes.choose_gallery,
            inputs={
                "localization": "localization_results",
                "detection": "detection_results",
                "options": "params:report",
                **detection,
            },
            outputs="gallery",
            name="choose_gallery",
        ),
        node(
            report_nodes.draw_gallery,
            inputs=["gallery", "scans", "vessels", "priors", "localization_results"],
            outputs="gallery_pictures",
            name="draw_gallery",
        ),
        node(
            report_nodes.write_report,
            inputs={
                "study": "study",
                "gallery_pictures": "gallery_pictures",
                "options": "params:report",
                **detection,
                **localization,
            },
            outputs="report",
            name="write_report",
        ),
    ]

"""The detection_training pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.detection_training import nodes
from lvo_kedro.pipelines.detection_training import scoring_nodes as scoring


def create_pipeline(**_: object) -> Pipeline:
    """Scans, vessels and priors to channels, a network per fold, scores and operating points."""
    return pipeline(
        [
            node(
                nodes.stack_case_channels,
                inputs=["scans", "vessels", "priors", "params:channels"],
                outputs="channels",
                name="stack_channels",
                tags="each_scan",
            ),
            node(
                nodes.measure_both_sides,
                inputs=["scans", "vessels", "priors", "params:features"],
                outputs="side_features",
                name="measure_sides",
                tags="each_scan",
            ),
            node(
                nodes.train_detectors,
                inputs=[
                    "channels",
                    "side_features",
                    "scans",
                    "cohort",
                    "params:detection",
                    "params:detector",
                ],
                outputs="detectors",
                name="train_detectors",
            ),
            node(
                scoring.score_scans,
                inputs=["channels", "side_features", "detectors", "cohort", "params:detection"],
                outputs="scan_scores",
                name="score_scans",
                tags="each_scan",
            ),
            node(
                scoring.explain_scans,
                inputs=[
                    "scans",
                    "vessels",
                    "channels",
                    "side_features",
                    "detectors",
                    "cohort",
                    "params:explanation",
                ],
                outputs="explanations",
                name="explain_scans",
                tags="each_scan",
            ),
            node(
                scoring.fit_calibration,
                inputs=["scan_scores", "cohort", "params:calibration"],
                outputs="calibration",
                name="fit_calibration",
            ),
            node(
                scoring.tabulate_scores,
                inputs=[
                    "scan_scores",
                    "calibration",
                    "cohort",
                    "scans",
                    "priors",
                    "params:scan_quality",
                    "params:priors",
                ],
                outputs="detection_scores",
                name="tabulate_scores",
                tags="each_scan",
            ),
            node(
                nodes.gather_detection_results,
                inputs=[
                    "detection_scores",
                    "calibration",
                    "detectors",
                    "explanations",
                    "channels",
                    "side_features",
                    "scan_scores",
                ],
                outputs="detection_results",
                name="gather_detection_results",
            ),
        ]
    )

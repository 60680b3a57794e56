"""The detection_training pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.detection_training import nodes, side_nodes


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
                side_nodes.measure_both_sides,
                inputs=["scans", "vessels", "priors", "params:features"],
                outputs="side_features",
                name="measure_sides",
                tags="each_scan",
            ),
            node(
                nodes.train_detectors,
                inputs=["channels", "scans", "cohort", "params:detector"],
                outputs="detectors",
                name="train_detectors",
            ),
            node(
                nodes.score_scans,
                inputs=["channels", "detectors", "cohort"],
                outputs="scan_scores",
                name="score_scans",
                tags="each_scan",
            ),
            node(
                nodes.explain_scans,
                inputs=["scans", "priors", "channels", "detectors", "cohort", "params:explanation"],
                outputs="explanations",
                name="explain_scans",
                tags="each_scan",
            ),
            node(
                nodes.fit_calibration,
                inputs=["scan_scores", "cohort", "params:calibration"],
                outputs="calibration",
                name="fit_calibration",
            ),
            node(
                nodes.tabulate_scores,
                inputs=["scan_scores", "calibration", "cohort"],
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
                    "scan_scores",
                ],
                outputs="detection_results",
                name="gather_detection_results",
            ),
        ]
    )

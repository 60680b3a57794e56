"""The inference pipeline; the registry puts the method's own nodes in between."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.inference import nodes


def create_pipeline(**_: object) -> Pipeline:
    """New scans to a cohort of unknowns, and what was computed for them to an outcome."""
    return pipeline(
        [
            node(
                nodes.name_scans,
                inputs="params:new_scans",
                outputs="cohort",
                name="name_scans",
            ),
            node(
                nodes.gather_outcome,
                inputs=[
                    "cohort",
                    "detection_scores",
                    "localization_calls",
                    "calibration",
                    "scan_results",
                    "occlusions",
                ],
                outputs="outcome",
                name="gather_outcome",
            ),
        ]
    )

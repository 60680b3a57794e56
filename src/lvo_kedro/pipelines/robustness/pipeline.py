"""The robustness pipeline; the registry puts the method's own nodes in between."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.robustness import nodes

CHANGED, DROPPED = "changed_scans", "missing_channels"
"""Namespaces of what is computed from changed scans, and from channels left empty."""


def create_pipeline(**_: object) -> Pipeline:
    """Scored cases to changed ones, and what was computed for those to a table of differences."""
    return pipeline(
        [
            node(
                nodes.list_changes,
                inputs=["cohort", "scans", "params:robustness", "params:channels"],
                outputs=[f"{CHANGED}.cohort", f"{DROPPED}.cohort"],
                name="list_changes",
            ),
            node(
                nodes.measure_robustness,
                inputs=[
                    "detection_results",
                    "localization_results",
                    f"{CHANGED}.results",
                    f"{DROPPED}.results",
                    "params:evaluation",
                    "params:robustness",
                ],
                outputs=["robustness", "robustness_cases"],
                name="measure_robustness",
            ),
            node(
                nodes.draw_robustness,
                inputs=["robustness", "detection_results", "params:evaluation"],
                outputs="robustness_figure",
                name="draw_robustness",
            ),
            node(
                nodes.write_robustness,
                inputs=["robustness", "cohort", "detection_results", "params:evaluation"],
                outputs="robustness_report",
                name="write_robustness",
            ),
        ]
    )


def change_scans() -> Pipeline:
    """The scans of the namespace ``changed_scans``, in place of those that are read from files."""
    return pipeline(
        [
            node(
                nodes.change_scans,
                inputs=[
                    "original_scans",
                    "cohort",
                    "params:brain_mask",
                    "params:robustness",
                ],
                outputs="scans",
                name="change_scans",
            ),
            node(
                nodes.gather_rescored,
                inputs=["cohort", "detection_scores", "localization_calls"],
                outputs="results",
                name="gather_results",
            ),
        ]
    )


def drop_channels() -> Pipeline:
    """The channels of the namespace ``missing_channels``, in place of those that are stacked."""
    return pipeline(
        [
            node(
                nodes.drop_channels,
                inputs=["original_channels", "cohort"],
                outputs="channels",
                name="drop_channels",
            ),
            node(
                nodes.drop_features,
                inputs=["original_side_features", "cohort"],
                outputs="side_features",
                name="drop_features",
            ),
            node(
                nodes.gather_blanked,
                inputs=["cohort", "detection_scores"],
                outputs="results",
                name="gather_results",
            ),
        ]
    )

"""The preprocessing pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.preprocessing import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Raw files to scans in HU, brain masks, aligned annotations, quality table and folds."""
    return pipeline(
        [
            node(
                nodes.check_cohort,
                inputs=["cases", "params:data_folder"],
                outputs="cohort",
                name="check_cohort",
            ),
            node(
                nodes.split_patients,
                inputs=["cohort", "params:folds"],
                outputs="folds",
                name="split_patients",
            ),
            node(
                nodes.preprocess_scans,
                inputs=[
                    "cohort",
                    "params:scan_limits",
                    "params:brain_mask",
                    "params:scan_quality",
                ],
                outputs="scans",
                name="preprocess_scans",
                tags="each_scan",
            ),
            node(
                nodes.align_annotations,
                inputs=["cohort", "scans"],
                outputs="annotations",
                name="align_annotations",
            ),
            node(
                nodes.tabulate_scans,
                inputs="scans",
                outputs="scan_quality",
                name="tabulate_scans",
                tags="each_scan",
            ),
        ]
    )

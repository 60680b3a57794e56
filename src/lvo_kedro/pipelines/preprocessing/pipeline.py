"""The preprocessing pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.preprocessing import nodes
from lvo_kedro.stages import tell_findings


def create_pipeline(**_: object) -> Pipeline:
    """Raw files to scans in HU, brain masks, a table of their quality, and folds."""
    return pipeline(
        [
            node(
                nodes.divide_patients,
                inputs=["cases", "params:data_folder", "params:folds"],
                outputs="folds",
                name="divide_patients",
            ),
            node(
                nodes.check_cohort,
                inputs=["cases", "params:data_folder", "folds"],
                outputs="cohort",
                name="check_cohort",
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
                nodes.tabulate_scans,
                inputs=["scans", "params:scan_quality"],
                outputs="scan_quality",
                name="tabulate_scans",
                tags="each_scan",
            ),
            node(
                tell_findings,
                inputs="scan_quality",
                outputs=None,
                name="tell_scan_findings",
            ),
        ]
    )

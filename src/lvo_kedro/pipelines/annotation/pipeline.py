"""The annotation pipeline; not part of a default run."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.annotation import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Scans and angiographies to proposed vessel labels, and a page to check them."""
    return pipeline(
        [
            node(
                nodes.annotate_scans,
                inputs=[
                    "cohort",
                    "scans",
                    "params:atlas_folder",
                    "params:priors",
                    "params:cta_registration",
                    "params:cta_tracing",
                    "params:cta_labeller",
                ],
                outputs="cta_annotations",
                name="annotate_scans",
            ),
            node(
                nodes.tabulate_annotations,
                inputs=["cta_annotations", "cohort"],
                outputs="annotation_table",
                name="tabulate_annotations",
            ),
            node(
                nodes.write_annotation_page,
                inputs=["annotation_table", "cta_annotations", "cohort"],
                outputs="annotation_page",
                name="write_annotation_page",
            ),
        ]
    )

"""The priors pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.priors import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Scans and brain masks to territory, hemispheres and difference maps."""
    return pipeline(
        [
            node(
                nodes.compute_case_priors,
                inputs=["scans", "params:atlas_folder", "params:priors"],
                outputs="priors",
                name="compute_priors",
                tags="each_scan",
            ),
            node(
                nodes.tabulate_priors,
                inputs=["priors", "params:priors"],
                outputs="prior_quality",
                name="tabulate_priors",
                tags="each_scan",
            ),
            node(
                nodes.draw_previews,
                inputs=["scans", "priors", "params:prior_previews", "params:priors"],
                outputs="prior_previews",
                name="draw_previews",
                tags="each_scan",
            ),
            node(
                nodes.tell_prior_findings,
                inputs=["prior_quality", "prior_previews"],
                outputs=None,
                name="tell_prior_findings",
            ),
        ]
    )

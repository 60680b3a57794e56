"""The localization_training pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.localization_training import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Scans and vessels to projections, a network per fold, and where the occlusion is."""
    return pipeline(
        [
            node(
                nodes.project_scans,
                inputs=["scans", "vessels", "params:projection"],
                outputs="projections",
                name="project_scans",
                tags="each_scan",
            ),
            node(
                nodes.align_clots,
                inputs=["cohort", "scans"],
                outputs="clot_annotations",
                name="align_clots",
            ),
            node(
                nodes.draw_occlusions,
                inputs=["projections", "clot_annotations", "vessels", "cohort"],
                outputs="occlusion_labels",
                name="draw_occlusions",
            ),
            node(
                nodes.prepare_occlusion_dataset,
                inputs=["projections", "occlusion_labels", "cohort", "params:occlusion_network"],
                outputs="occlusion_dataset",
                name="prepare_occlusion_dataset",
            ),
            node(
                nodes.train_occlusion_folds,
                inputs=["occlusion_dataset", "scans", "cohort", "params:occlusion_network"],
                outputs="occlusion_models",
                name="train_occlusion_folds",
            ),
            node(
                nodes.locate_occlusions,
                inputs=[
                    "vessels",
                    "priors",
                    "projections",
                    "occlusion_models",
                    "cohort",
                    "params:occlusion_network",
                    "params:occlusion_call",
                ],
                outputs="occlusions",
                name="locate_occlusions",
                tags="each_scan",
            ),
            node(
                nodes.fit_density_baselines,
                inputs=["scan_scores", "cohort", "params:density_baseline"],
                outputs="density_baselines",
                name="fit_density_baselines",
            ),
            node(
                nodes.tabulate_calls,
                inputs=[
                    "occlusions",
                    "scan_scores",
                    "density_baselines",
                    "cohort",
                    "params:localization",
                ],
                outputs="localization_calls",
                name="tabulate_calls",
                tags="each_scan",
            ),
            node(
                nodes.gather_localization_results,
                inputs=[
                    "localization_calls",
                    "occlusion_labels",
                    "occlusion_models",
                    "projections",
                    "occlusions",
                    "clot_annotations",
                ],
                outputs="localization_results",
                name="gather_localization_results",
            ),
        ]
    )

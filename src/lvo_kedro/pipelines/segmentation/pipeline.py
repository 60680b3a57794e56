"""The segmentation pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.segmentation import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Annotated scans to fold models, scans to vessel labels that no fold has seen."""
    return pipeline(
        [
            node(
                nodes.align_vessel_labels,
                inputs=["cohort", "scans"],
                outputs="vessel_annotations",
                name="align_vessel_labels",
            ),
            node(
                nodes.prepare_vessel_dataset,
                inputs=["scans", "vessel_annotations", "cohort", "params:vessel_network"],
                outputs="vessel_dataset",
                name="prepare_vessel_dataset",
            ),
            node(
                nodes.train_vessel_folds,
                inputs=["vessel_dataset", "scans", "cohort", "params:vessel_network"],
                outputs="vessel_models",
                name="train_vessel_folds",
            ),
            node(
                nodes.predict_vessels,
                inputs=["scans", "vessel_models", "cohort", "params:vessel_network"],
                outputs="vessels",
                name="predict_vessels",
                tags="each_scan",
            ),
            node(
                nodes.measure_vessel_overlap,
                inputs=["vessels", "vessel_annotations"],
                outputs="vessel_measures",
                name="measure_vessel_overlap",
            ),
            node(
                nodes.tabulate_vessel_metrics,
                inputs=["vessel_measures", "cohort"],
                outputs="vessel_metrics",
                name="tabulate_vessel_metrics",
            ),
            node(
                nodes.gather_segmentation_results,
                inputs=["vessel_metrics", "vessel_models", "vessels", "vessel_annotations"],
                outputs="segmentation_results",
                name="gather_segmentation_results",
            ),
        ]
    )

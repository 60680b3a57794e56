"""The segmentation pipeline."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.segmentation import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Annotated scans to fold models, scans to vessel labels that no fold has seen."""
    return pipeline(
        [
            node(
                nodes.prepare_vessel_dataset,
                inputs=["scans", "annotations", "cohort", "folds", "params:vessel_network"],
                outputs="vessel_dataset",
                name="prepare_vessel_dataset",
            ),
            node(
                nodes.train_vessel_folds,
                inputs=["vessel_dataset", "scans", "folds", "params:vessel_network"],
                outputs="vessel_models",
                name="train_vessel_folds",
            ),
            node(
                nodes.predict_vessels,
                inputs=["scans", "vessel_models", "cohort", "folds", "params:vessel_network"],
                outputs="vessels",
                name="predict_vessels",
                tags="each_scan",
            ),
            node(
                nodes.measure_vessel_overlap,
                inputs=["vessels", "annotations"],
                outputs="vessel_measures",
                name="measure_vessel_overlap",
            ),
            node(
                nodes.tabulate_vessel_metrics,
                inputs=["vessel_measures", "cohort"],
                outputs="vessel_metrics",
                name="tabulate_vessel_metrics",
            ),
        ]
    )

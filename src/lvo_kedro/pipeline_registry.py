"""The named pipelines, and how they are joined."""

from __future__ import annotations

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline, pipeline

METHOD = (
    "preprocessing",
    "segmentation",
    "priors",
    "detection_training",
    "localization_training",
    "evaluation",
)
"""The six pipelines of the method, in the order in which data pass through them."""

TRAINED = {"folds", "vessel_models", "detectors", "calibration", "occlusion_models"}
"""What ``inference`` takes over from training."""


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; ``__default__`` is the whole method."""
    pipelines = find_pipelines(raise_errors=True)
    method = sum((pipelines[name] for name in METHOD), start=Pipeline([]))
    return pipelines | {"__default__": method, "inference": _inference(method)}


def _inference(method: Pipeline) -> Pipeline:
    """Apply the trained models to new scans: the method's own nodes, in a namespace of their own.

    Every dataset gets the prefix ``new``; models and parameters are those of training.
    """
    nodes = method.only_nodes_with_tags("each_scan")
    shared = TRAINED & nodes.all_inputs()
    parameters = {name for name in nodes.inputs() if name.startswith("params:")}
    return pipeline(
        nodes,
        namespace="new",
        inputs=shared,
        parameters=parameters,
    )

"""The named pipelines, and how they are joined."""

from __future__ import annotations

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.cohort import shuffle_labels

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
    found = find_pipelines(raise_errors=True)
    method = sum((found[name] for name in METHOD), start=Pipeline([]))
    return found | {
        "__default__": method,
        "inference": _inference(method, found["inference"]),
        "control": _control(found["detection_training"], found["evaluation"]),
    }


def _inference(method: Pipeline, around: Pipeline) -> Pipeline:
    """Apply the trained models to new scans: the method's own nodes, in a namespace of their own.

    Every dataset gets the prefix ``new``; models and parameters are those of training.
    """
    nodes = method.only_nodes_with_tags("each_scan") + around
    parameters = {name for name in nodes.inputs() if name.startswith("params:")}
    shared = TRAINED & nodes.inputs()
    return pipeline(nodes, namespace="new", inputs=shared, parameters=parameters)


def _control(detection: Pipeline, evaluation: Pipeline) -> Pipeline:
    """Train and evaluate detection on shuffled labels: the AUC must then be that of a coin.

    Every dataset gets the prefix ``control``.
    """
    shuffle = node(
        shuffle_labels, inputs=["cohort", "folds", "params:control_seed"],
        outputs="control.cohort", name="control.shuffle_labels",
    )  # fmt: skip
    training = detection.from_nodes("train_detectors")
    figures = evaluation.filter(
        node_names=[n.name for n in evaluation.nodes if n.name.endswith("evaluate_detection")]
    )
    nodes = training + figures
    parameters = {name for name in nodes.inputs() if name.startswith("params:")}
    shared = {"channels", "folds", "quality_findings"}
    return pipeline(nodes, namespace="control", inputs=shared, parameters=parameters) + pipeline(
        [shuffle]
    )

"""The named pipelines, and how they are joined."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.cohort import shuffle_labels
from lvo_kedro.pipelines import (
    detection_training,
    evaluation,
    inference,
    localization_training,
    preprocessing,
    priors,
    segmentation,
    simulation,
)

METHOD = (
    preprocessing,
    segmentation,
    priors,
    detection_training,
    localization_training,
    evaluation,
)
"""The six pipelines of the method, in the order in which data pass through them."""

TRAINED = {
    "folds",
    "vessel_models",
    "detectors",
    "calibration",
    "occlusion_models",
    "density_baselines",
}
"""What ``inference`` takes over from training."""


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; ``__default__`` is the whole method.

    They are named here rather than searched for, since some are made of parts of others.
    """
    stages = {module.__name__.rpartition(".")[2]: module.create_pipeline() for module in METHOD}
    method = sum(stages.values(), start=Pipeline([]))
    return stages | {
        "__default__": method,
        "simulation": simulation.create_pipeline(),
        "inference": _inference(method, inference.create_pipeline()),
        "control": _control(stages["detection_training"], stages["evaluation"]),
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
        shuffle_labels,
        inputs=["true_cohort", "folds", "params:control_seed"],
        outputs="cohort",
        name="shuffle_labels",
    )
    figures = [n for n in evaluation.nodes if n.name.endswith("evaluate_detection")]
    scores = [n for n in detection.from_nodes("train_detectors").nodes if n.name != "explain_scans"]
    nodes = pipeline([shuffle, *scores, *figures])
    parameters = {name for name in nodes.inputs() if name.startswith("params:")}
    shared = {"true_cohort": "cohort"} | {n: n for n in ("channels", "folds", "quality_findings")}
    return pipeline(nodes, namespace="control", inputs=shared, parameters=parameters)

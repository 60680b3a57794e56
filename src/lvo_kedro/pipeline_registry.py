"""The named pipelines, and how they are joined."""

from __future__ import annotations

from kedro.pipeline import Pipeline, pipeline

from lvo_kedro.pipelines import (
    annotation,
    comparison,
    detection_training,
    evaluation,
    inference,
    localization_training,
    permutation_test,
    preprocessing,
    priors,
    robustness,
    segmentation,
    simulation,
)
from lvo_kedro.pipelines.permutation_test.pipeline import deal_labels
from lvo_kedro.pipelines.robustness.pipeline import (
    CHANGED,
    DROPPED,
    change_scans,
    drop_channels,
)
from lvo_kedro.settings import SHUFFLES

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
    "vessel_models",
    "detectors",
    "calibration",
    "occlusion_models",
    "density_baselines",
}
"""What ``inference`` takes over from training."""


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; ``__default__`` is the whole method.

    They are named here rather than searched for, since some are made of parts of others. Each
    stage of the method has a namespace, so that kedro-viz draws it as one box that opens.
    """
    nodes = {module.__name__.rpartition(".")[2]: module.create_pipeline() for module in METHOD}
    stages = {name: _stage(name, part) for name, part in nodes.items()}
    method = sum(nodes.values(), start=Pipeline([]))
    return stages | {
        "__default__": sum(stages.values(), start=Pipeline([])),
        "annotation": _stage("annotation", annotation.create_pipeline()),
        "simulation": _stage("simulation", simulation.create_pipeline()),
        "inference": _inference(method, inference.create_pipeline()),
        "permutation_test": _permutation_test(nodes["detection_training"], nodes["evaluation"]),
        "comparison": comparison.create_pipeline(),
        "robustness": robustness.create_pipeline() + _changed_scans(method) + _dropped(method),
    }


def _stage(name: str, nodes: Pipeline) -> Pipeline:
    """Put a stage's nodes into a namespace; datasets keep their names."""
    return pipeline(nodes, namespace=name, prefix_datasets_with_namespace=False)


def _inference(method: Pipeline, around: Pipeline) -> Pipeline:
    """Apply the trained models to new scans: the method's own nodes, in a namespace of their own.

    Every dataset gets the prefix ``new``; models and parameters are those of training.
    """
    nodes = method.only_nodes_with_tags("each_scan") + around
    shared = TRAINED & nodes.inputs()
    return pipeline(nodes, namespace="new", inputs=shared, parameters=_parameters(nodes))


def _changed_scans(method: Pipeline) -> Pipeline:
    """Everything that is computed for a scan, for changed scans, in the namespace of those."""
    # maps and findings of changed scans are not looked at
    replaced = {"preprocess_scans", "record_scans", "explain_scans"}
    again = [n for n in method.only_nodes_with_tags("each_scan").nodes if n.name not in replaced]
    nodes = pipeline([*change_scans().nodes, *again])
    shared = {"original_scans": "scans"} | {name: name for name in TRAINED & nodes.inputs()}
    return pipeline(nodes, namespace=CHANGED, inputs=shared, parameters=_parameters(nodes))


def _dropped(method: Pipeline) -> Pipeline:
    """Scores of cases with a channel left empty, in a namespace of their own."""
    nodes = drop_channels() + method.only_nodes("score_scans", "tabulate_scores")
    shared = {f"original_{name}": name for name in ("channels", "side_features")}
    shared |= {name: name for name in ("scans", "priors")}
    shared |= {name: name for name in TRAINED & nodes.inputs()}
    return pipeline(nodes, namespace=DROPPED, inputs=shared, parameters=_parameters(nodes))


def _parameters(nodes: Pipeline) -> set[str]:
    return {name for name in nodes.inputs() if name.startswith("params:")}


def _permutation_test(detection: Pipeline, evaluation: Pipeline) -> Pipeline:
    """Train and evaluate detection on shuffled labels: the AUC must then be near 0.5.

    Each shuffle has a namespace of its own.
    """
    evaluated = [n for n in evaluation.nodes if n.name.endswith("evaluate_detection")]
    nodes = pipeline(
        [*deal_labels().nodes, *detection.from_nodes("train_detectors").nodes, *evaluated]
    )
    taken = ("channels", "side_features", "scans", "priors", "vessels", "study")
    shared = {"true_cohort": "cohort"} | {name: name for name in taken}
    same = _parameters(nodes) - {"params:seed", "params:explanation"}
    shuffled = [
        pipeline(nodes, namespace=name, inputs=shared, parameters=same) for name in SHUFFLES
    ]
    return sum(shuffled, start=permutation_test.create_pipeline())

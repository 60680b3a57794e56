"""What the trainings of the models that are evaluated can have taught them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvo_kedro.evaluation.leakage.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_BEGUN = "did_not_begin_to_learn"
"""Name of the check."""
WITHOUT_CONTROLS = "trained_without_controls"
"""Name of the check for controls."""
BEGAN = 0.9
"""Share of the loss of guessing below which a training has begun to learn."""


def check_began(models: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Find detectors that say nothing about a case, since their training never left guessing.

    Args:
        models: Name of each training to what its model records: ``train_loss``, of the last epoch,
            and ``chance_loss``, of the same answer for every training case; a model that does not
            record the second is not judged.

    Returns:
        An error for each training whose loss ended above 0.9 of that of guessing, or nowhere. It
        is one of the method and no leak: metrics are what they are, and the report is worth having.
    """
    return [
        Finding(NOT_BEGUN, "error", _message(name, model))
        for name, model in sorted(models.items())
        if model.get("chance_loss") is not None
        and not model["train_loss"] <= BEGAN * model["chance_loss"]  # a loss of NaN as well
    ]


def check_controls(controls: bool) -> list[Finding]:
    """Say what detectors cannot tell that have learned from occlusions alone.

    Args:
        controls: Whether they have learned from cases without an occlusion, too.

    Returns:
        A warning where they have not.
    """
    message = (
        "the models were trained on occlusions alone: they tell the side and the segment of an "
        "occlusion that is known, not whether there is one; probabilities, sensitivity and areas "
        "mean nothing, and end to end every case is taken for occluded"
    )
    return [] if controls else [Finding(WITHOUT_CONTROLS, "warning", message)]


def _message(name: str, model: Mapping[str, Any]) -> str:
    return (
        f"{name}: training loss {model['train_loss']:.2f}, that of guessing is "
        f"{model['chance_loss']:.2f}: did not begin to learn; train longer (detector.epochs), with "
        "detector.target: sides, from given weights (detector.start_from) or with several seeds"
    )

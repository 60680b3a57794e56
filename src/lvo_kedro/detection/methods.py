"""Which detector's score counts, and the score of both together.

``network`` is McResNet, ``sides`` the side model, ``ensemble`` the sum of their log odds, the
network's weighed down: a logarithmic opinion pool (Genest and Zidek, "Combining probability
distributions", 1986). Nothing of it is fitted to scores, so a case that no member has seen has no
part in its own score, which stacking on out-of-fold scores cannot promise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from lvo_kedro.detection.clinical import Clinical
from lvo_kedro.detection.scope import ScopeOptions
from lvo_kedro.detection.side_model import SideModelOptions
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.vocabulary import Side

Method = Literal["network", "sides", "ensemble"]


class DetectionOptions(Options):
    """Which detectors there are, and whose score counts; the others' stand beside it."""

    method: Method = "sides"
    """``network``: McResNet, as published. ``sides``: the side model. ``ensemble``: both."""
    network: bool = True
    """Whether McResNet is trained at all. Without it ``sides`` is the only method."""
    network_weight: float = Field(default=0.25, ge=0)
    """Multiplies the network's log odds in the ensemble: it is surer than it should be."""
    clinical: tuple[Clinical, ...] = ()
    """Columns of the cohort whose evidence the ensemble adds: ``nihss``, ``age``."""
    side_model: SideModelOptions = SideModelOptions()
    """How the side model is fitted."""
    scope: ScopeOptions = ScopeOptions()
    """Which scans are too unlike the training cases for a call."""

    @model_validator(mode="after")
    def _check_method(self) -> DetectionOptions:
        if not self.network and self.method != "sides":
            raise ValueError(f"detection.method {self.method} needs detection.network: true")
        return self


def combine(
    network: Mapping[str, Any] | None,
    sides: Mapping[Side, float],
    clinical: float | None,
    options: DetectionOptions,
) -> dict[str, dict[str, Any]]:
    """Return the score of each method.

    Args:
        network: ``logit``, and ``sides`` (utility of left and right) where it tells them; None
            where no network is trained.
        sides: The side model's utility of left and right.
        clinical: Log likelihood ratio of the patient's NIHSS and age, None where not asked for.
        options: The network's weight.

    Returns:
        By method: ``logit``, the log odds of an occlusion; ``sides``, the utility of left and
        right, None where the method does not tell them; and ``likely_side``, empty likewise.
        ``ensemble_clinical`` is the ensemble with the patient's values.
    """
    scores = {"sides": _score(float(np.logaddexp(sides["left"], sides["right"])), sides)}
    if network is None:
        return scores
    own = network.get("sides")
    scores["network"] = _score(network["logit"], own)
    both = {s: sides[s] + options.network_weight * (own[s] if own else 0) for s in SIDES}
    logit = scores["sides"]["logit"] + options.network_weight * network["logit"]
    scores["ensemble"] = _score(logit, both)
    if clinical is not None:
        scores["ensemble_clinical"] = _score(logit + clinical, both)
    return scores


def chosen_of(scores: Mapping[str, dict[str, Any]], options: DetectionOptions) -> dict[str, Any]:
    """Return the score that counts.

    Args:
        scores: Of :func:`combine`.
        options: The method; an ensemble is that with the patient's values, where asked for.
    """
    name = options.method
    if name == "ensemble" and options.clinical:
        return scores["ensemble_clinical"]
    return scores[name]


def _score(logit: float, utilities: Mapping[Side, float] | None) -> dict[str, Any]:
    if utilities is None:
        return {"logit": float(logit), "likely_side": "", "sides": None}
    sides = {side: float(utilities[side]) for side in SIDES}
    likely = "left" if sides["left"] >= sides["right"] else "right"
    return {"logit": float(logit), "likely_side": likely, "sides": sides}

"""The side model of a fold with all that judges a case beside it, as plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvo_kedro.artifacts import digest_of
from lvo_kedro.detection.clinical import clinical_evidence, fit_clinical
from lvo_kedro.detection.scope import (
    ScopeOptions,
    describe_case,
    learn_scope,
    reasons_against,
)
from lvo_kedro.detection.side_model import SideModel, SideModelOptions, answer_of
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from lvo_kedro.detection.clinical import Clinical
    from lvo_kedro.features import SideFeatures

SIDE_MODEL = "side_model.json"
"""File of a fold's side model."""
FORMAT = 1
"""Version of the stored layout."""


def fit_side_models(
    measured: Mapping[str, SideFeatures],
    labels: pd.DataFrame,
    options: SideModelOptions = SideModelOptions(),
    scope: ScopeOptions = ScopeOptions(),
    clinical: Sequence[Clinical] = (),
    *,
    controls: bool = True,
) -> dict[str, Any]:
    """Fit the side model of a fold, its scope, and what the patients' values say.

    Args:
        measured: By training case: of :func:`lvo_kedro.features.measure_sides`.
        labels: A row per training case: case_id, lvo; ``side`` and ``age`` where known; columns
            of ``clinical``.
        options: Of the side model.
        scope: The margin within which a scan is like these.
        clinical: Which of the patients' values count.
        controls: Whether there are cases without an occlusion, of :meth:`SideModel.fit`.

    Returns:
        Plain numbers, for JSON: ``side_model``, ``scope``, ``clinical`` (None where not asked for),
        ``training`` and ``sha256`` of the weights.

    Raises:
        TableError: One class alone, or a clinical column without values.
    """
    cases = labels["case_id"].tolist()
    features = [measured[case] for case in cases]
    sides = labels["side"] if "side" in labels else [""] * len(labels)
    answers = [answer_of(lvo, side) for lvo, side in zip(labels["lvo"], sides, strict=True)]
    model = SideModel(options).fit(features, answers, controls=controls)
    ages = labels["age"] if "age" in labels else [float("nan")] * len(labels)
    described = [
        describe_case(own, distance, age)
        for own, distance, age in zip(features, model.distances(features), ages, strict=True)
    ]
    weights = model.to_json()
    return {
        "format": FORMAT,
        "side_model": weights,
        "scope": {name: list(pair) for name, pair in learn_scope(described, scope).items()},
        "clinical": fit_clinical(labels, clinical, labels["lvo"]) if clinical else None,
        "training": {
            "options": {
                "side_model": options.model_dump(mode="json"),
                "scope": scope.model_dump(mode="json"),
                "clinical": list(clinical),
            },
            "train": cases,
            "sides_known": sum(answer in SIDES for answer in answers),
        },
        "sha256": digest_of(weights),
    }


def judge_case(
    fitted: Sequence[Mapping[str, Any]],
    features: SideFeatures,
    patient: Mapping[str, Any],
) -> dict[str, Any]:
    """Judge one case by side models that have not seen its patient.

    Args:
        fitted: One (out of fold) or all of them, of :func:`fit_side_models`.
        features: The case's.
        patient: The patient's values by name.

    Returns:
        ``sides``: the mean utility of left and right; ``each``: the log odds by each model;
        ``clinical``: the mean evidence of the patient's values, None where not asked for;
        ``against``: why no call should be given, by more than half of the models.
    """
    models = [SideModel.from_json(content["side_model"]) for content in fitted]
    utilities = np.array([model.utilities([features])[0] for model in models])
    against: dict[str, list[str]] = {}
    for model, content in zip(models, fitted, strict=True):
        distance, age = model.distances([features])[0], patient.get("age", float("nan"))
        case = describe_case(features, float(distance), age)
        for name, reason in reasons_against(case, content["scope"]).items():
            against.setdefault(name, []).append(reason)
    evidence = [clinical_evidence(c["clinical"], patient) for c in fitted if c["clinical"]]
    return {
        "sides": dict(zip(SIDES, utilities.mean(axis=0).tolist(), strict=True)),
        "each": np.logaddexp(*utilities.T).tolist(),
        "clinical": float(np.mean(evidence)) if evidence else None,
        "against": [said[0] for said in against.values() if 2 * len(said) > len(models)],
    }

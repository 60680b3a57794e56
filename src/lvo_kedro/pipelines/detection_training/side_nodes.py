"""What the side models need in the detection_training pipeline: features, and a model per fold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lvo_kedro import stages
from lvo_kedro.artifacts import write_json
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.detection import SIDE_MODEL, DetectionOptions, fit_side_models
from lvo_kedro.features import (
    FeatureOptions,
    SideFeatures,
    measure_sides,
    tissue_of,
    tissue_tensors,
)

PRIORS = ("hemispheres", "territory_probability", "signed_difference")


def measure_both_sides(
    scans: Cases, vessels: Cases, priors: Cases, options: FeatureOptions
) -> dict[str, Task]:
    """Measure the arteries and the tissue of both sides of every head.

    Out: for each case a row per side and segment (HU, ml, world mm), the territory's numbers and
    blocks of tissue on either side (HU), density and noise of the scan.
    """
    return stages.each_case(measure_head, scans, vessels, priors, options=options)


def measure_head(
    scan: Case, vessels: Case, priors: Case, options: FeatureOptions
) -> dict[str, Any]:
    """Measure one head."""
    maps = {name: priors[name] for name in PRIORS}
    features = measure_sides(
        scan["ncct"],
        vessels["vessel_labels"],
        scan["brain_mask"],
        maps,
        quality=scan["quality"],
        options=options,
    )
    return pack_features(features)


def pack_features(features: SideFeatures) -> dict[str, Any]:
    """Return what is stored of a case's features."""
    return {
        "arteries": features.arteries,
        "tissue": tissue_tensors(features.tissue),
        "scan": dict(features.scan),
    }


def features_of(case: Case) -> SideFeatures:
    """Return what :func:`pack_features` stored."""
    return SideFeatures(case["arteries"], tissue_of(case["tissue"]), case["scan"])


def train_side_model(
    features: Mapping[str, Case],
    labels: pd.DataFrame,
    options: DetectionOptions,
    *,
    folder: Path,
) -> dict[str, Any]:
    """Fit the side model of one fold, which takes a moment, on its training cases."""
    measured = {case: features_of(features[case]) for case in labels["case_id"]}
    write_json(folder / SIDE_MODEL, fit_side_models(measured, labels, options))
    return {}

"""``conf/published`` is the one place with the published method's settings, and has all of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lvo_kedro.detection import (
    AugmentationOptions,
    CalibrationOptions,
    ChannelOptions,
    DetectionOptions,
    ScopeOptions,
    TrainingOptions,
)
from lvo_kedro.localization import CallOptions, ProjectionOptions
from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.pipelines.localization_training.nodes import LocalizationOptions
from lvo_kedro.priors import PriorOptions
from tests.pipelines.conftest import ROOT, Project

WRITTEN = yaml.safe_load((ROOT / "conf" / "published" / "parameters.yml").read_text())

LEFT_TO_US: dict[str, tuple[type, set[str]]] = {
    "channels": (
        ChannelOptions,  # the rest is about the brain grid
        {
            *("spacing_mm", "shape", "frame", "vessel_pooling"),
            *("difference_range_hu", "signed_range_hu", "hyperdensity_range_hu"),
        },
    ),
    "detection": (  # the rest is of detectors whose score does not count here
        DetectionOptions,
        {"network_weight", "clinical", "side_model"},
    ),
    "detection.scope": (ScopeOptions, {"margin", "thickness_margin_mm", "age_margin_years"}),
    "detector": (
        TrainingOptions,
        {*TrainingOptions.without_influence, "warmup_epochs", "seed", "seeds"},
    ),
    "detector.augmentation": (AugmentationOptions, set()),
    "priors": (
        PriorOptions,  # the rest is about the fast way, or says nothing about the maps
        {
            *("spacing_mm", "iterations", "mirror_iterations", "mirror_sigma", "sampling"),
            *("seed", "starts", "limits", "published_side"),
        },
    ),
    "calibration": (CalibrationOptions, {"sensitivity"}),
    "projection": (ProjectionOptions, {"spacing_mm", "margin_mm", "size_mm"}),
    "localization": (LocalizationOptions, set()),
}
"""Options of each block that the published method says nothing about."""

PUBLISHED = {
    "channels.channels": ("ncct", "vessels", "territory", "difference"),
    "channels.grid": "published",
    "channels.vessel_labels": (1, 2, 3, 4),
    "detection.method": "network",
    "detection.scope.enabled": False,
    "detector.base_width": 64,
    "detector.epochs": 50,
    "detector.batch_size": 2,
    "detector.optimizer": "adam",
    "detector.learning_rate": 1e-5,
    "detector.weight_decay": 1e-3,
    "detector.schedule": "constant",
    "detector.precision": "float16",
    "detector.ema_decay": 0,
    "detector.selection": "accuracy",
    "detector.selection_fraction": 0,
    "detector.validate_every": 1,
    "detector.augmentation": AugmentationOptions.none(),
    "priors.variant": "published",
    "priors.difference.fluid_hu": 15,
    "priors.difference.limit_hu": 70,
    "calibration.method": "none",
    "projection.max_hu": None,
    "projection.dilation_mm": 0,
    "projection.add_labels": False,
    "occlusion_call": CallOptions(),
    "localization.method": "network",
    "vessel_network": NnUNetOptions(configuration="3d_fullres"),
    "occlusion_network": NnUNetOptions(configuration="2d"),
}


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``--env published`` runs with."""
    project = Project(tmp_path_factory.mktemp("published"))
    with project.session("published") as session:
        found: dict[str, Any] = session.load_context().catalog.load("parameters")
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_environment_has_the_published_value(parameters: dict[str, Any], name: str) -> None:
    block, *fields = name.split(".")
    value = parameters[block]
    for field in fields:
        value = getattr(value, field)
    assert value == PUBLISHED[name]


@pytest.mark.parametrize("block", LEFT_TO_US)
def test_no_published_setting_is_left_to_our_defaults(block: str) -> None:
    """So that neither a new option nor a new default changes the published method unnoticed."""
    options, ours = LEFT_TO_US[block]
    written = WRITTEN
    for name in block.split("."):
        written = written[name]
    assert set(written) == set(options.model_fields) - ours

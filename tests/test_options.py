"""Options: unknown and former names are refused, and the message says what to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import lvo_kedro
from lvo_kedro.detection import TrainingOptions
from lvo_kedro.features import FeatureOptions
from lvo_kedro.imaging import BrainOptions
from lvo_kedro.localization import (
    BaselineOptions,
    CallOptions,
    LocalizationOptions,
    ProjectionOptions,
)
from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.options import Options
from lvo_kedro.priors import DifferenceOptions, PriorOptions
from lvo_kedro.simulation import CohortOptions, SimulationOptions

RENAMED: list[type[Options]] = [
    *(BaselineOptions, BrainOptions, CallOptions, DifferenceOptions, LocalizationOptions),
    *(NnUNetOptions, PriorOptions, ProjectionOptions, SimulationOptions),
]


@pytest.mark.parametrize("model", RENAMED)
def test_a_former_name_is_refused_with_the_present_one(model: type[Options]) -> None:
    assert model.renamed
    for former, present in model.renamed.items():
        fields = FeatureOptions if present.startswith("features.") else model
        assert present.rpartition(".")[2] in fields.model_fields
        assert former not in model.model_fields
        with pytest.raises(ValidationError, match=f"{former} is now {present}"):
            model.model_validate({former: None})


def test_a_former_name_among_the_external_changes_is_refused() -> None:
    options = CohortOptions(external_changes={"spacing": 1.4})
    with pytest.raises(ValidationError, match="spacing is now spacing_mm"):
        _ = options.external_simulation


def test_several_former_names_are_named_together() -> None:
    with pytest.raises(ValidationError, match="window is now window_hu; bfloat16 is now precision"):
        NnUNetOptions.model_validate({"bfloat16": True, "window": [0, 100]})


def test_a_former_schedule_is_refused_with_the_present_ones() -> None:
    with pytest.raises(ValidationError, match="'constant', 'cosine' or 'one_cycle'"):
        TrainingOptions.model_validate({"schedule": "onecycle"})


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(ValidationError, match="spacing_inch"):
        NnUNetOptions.model_validate({"spacing_inch": 1})


def test_no_two_option_models_have_one_name() -> None:
    source = Path(lvo_kedro.__file__).parent
    text = "\n".join(path.read_text("utf-8") for path in source.rglob("*.py"))
    names = re.findall(r"^class (\w+)\(\w*Options\):", text, re.MULTILINE)
    assert len(names) > 20
    assert len(set(names)) == len(names)

"""Options: unknown and former names are refused, and the message says what to write."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lvo_kedro.detection import TrainingOptions
from lvo_kedro.nnunet import NnUNetOptions


@pytest.mark.parametrize(("former", "present"), NnUNetOptions.renamed.items())
def test_a_former_name_is_refused_with_the_present_one(former: str, present: str) -> None:
    assert present in NnUNetOptions.model_fields
    with pytest.raises(ValidationError, match=f"{former} is now {present}"):
        NnUNetOptions.model_validate({former: None})


def test_several_former_names_are_named_together() -> None:
    with pytest.raises(ValidationError, match="window is now window_hu; bfloat16 is now precision"):
        NnUNetOptions.model_validate({"bfloat16": True, "window": [0, 100]})


def test_a_former_schedule_is_refused_with_the_present_ones() -> None:
    with pytest.raises(ValidationError, match="'constant', 'cosine' or 'one_cycle'"):
        TrainingOptions.model_validate({"schedule": "onecycle"})


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(ValidationError, match="spacing_inch"):
        NnUNetOptions.model_validate({"spacing_inch": 1})

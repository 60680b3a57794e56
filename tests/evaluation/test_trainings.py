"""Trainings that never left guessing are errors of the study that let the report be written."""

from __future__ import annotations

import math

import pytest

from lvo_kedro.evaluation import NOT_BEGUN, check_began, findings_table

GUESSING = {"train_loss": 0.69, "chance_loss": math.log(2)}


def test_a_training_that_ended_at_guessing_is_an_error_that_says_what_to_do():
    models = {
        "fold_0": {"train_loss": 0.21, "chance_loss": math.log(2)},
        "fold_2": GUESSING,
        "fold_1": {"train_loss": math.nan, "chance_loss": 1.04},
    }
    table = findings_table(check_began(models))
    assert table["severity"].tolist() == ["error", "error"]
    assert set(table["check"]) == {NOT_BEGUN}
    first, second = table["message"]
    assert first.startswith("fold_1: training loss nan, that of guessing is 1.04")
    words = "training loss 0.69, that of guessing is 0.69: did not begin to learn; train longer"
    assert second.startswith(f"fold_2: {words}")


@pytest.mark.parametrize(("share", "found"), [(0.89, 0), (0.91, 1), (1.5, 1)])
def test_the_bound_is_nine_tenths_of_guessing(share, found):
    model = {"train_loss": share * 1.04, "chance_loss": 1.04}
    assert len(check_began({"fold_0": model})) == found


@pytest.mark.parametrize("model", [{"train_loss": 0.7, "chance_loss": None}, {"train_loss": 0.7}])
def test_a_model_from_before_is_not_judged(model):
    assert check_began({"fold_0": model}) == []

"""Losses and what guessing costs, against answers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from lvo_kedro.detection.targets import case_logits, chance_loss, loss_of

UTILITIES = torch.tensor([[0.3, -1.2], [2.0, 0.5], [-0.7, -0.4], [0.1, 0.2]])
LABELS, SIDES = [1, 1, 1, 0], ["left", "right", "", ""]


def by_hand(weight: float = 1.0) -> list[float]:
    losses = []
    for (left, right), label, side in zip(UTILITIES.tolist(), LABELS, SIDES, strict=True):
        masses = {"left": math.exp(left), "right": math.exp(right)}
        known = masses.get(side, sum(masses.values())) if label else 1.0
        loss = -math.log(known / (1 + sum(masses.values())))
        losses.append(loss * (weight if label else 1))
    return losses


@pytest.mark.parametrize("case", range(4))
def test_a_case_costs_the_logarithm_of_the_probability_of_its_side_or_of_either(case):
    loss = loss_of(UTILITIES[case : case + 1], LABELS[case : case + 1], SIDES[case : case + 1])
    assert float(loss) == pytest.approx(by_hand()[case], rel=1e-6)


@pytest.mark.parametrize("weight", [None, 2.5])
def test_the_loss_is_the_mean_of_weighted_cases(weight):
    expected = np.mean(by_hand(weight or 1.0))
    assert float(loss_of(UTILITIES, LABELS, SIDES, weight)) == pytest.approx(expected, rel=1e-6)


def test_without_a_side_the_loss_is_that_of_the_case_alone():
    unknown = loss_of(UTILITIES, LABELS, [""] * 4, 1.5)
    whole = loss_of(case_logits(UTILITIES)[:, None], LABELS, [""] * 4, 1.5)
    torch.testing.assert_close(unknown, whole)


def test_its_gradient_is_finite_and_pulls_an_unknown_side_to_the_likelier_one():
    utilities = UTILITIES.clone().requires_grad_()
    loss_of(utilities, LABELS, SIDES).backward()
    assert torch.isfinite(utilities.grad).all()
    assert utilities.grad[0, 0] < 0 < utilities.grad[0, 1]  # left is known
    assert utilities.grad[2, 1] < utilities.grad[2, 0] < 0  # either
    assert (utilities.grad[3] > 0).all()


@pytest.mark.parametrize("outputs", [UTILITIES, UTILITIES[:, :1]])
def test_half_precision_is_widened(outputs):
    loss = loss_of(outputs.bfloat16(), LABELS, SIDES)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(loss_of(outputs, LABELS, SIDES)), rel=0.02)


def test_guessing_between_two_balanced_classes_costs_log_two():
    labels = [1, 0, 0, 0]
    for balance, expected in (
        ("sample", math.log(2)),
        ("weight", 2 * 0.75 * math.log(2)),  # three of four cases' worth of each class, halved
        ("none", -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))),
    ):
        assert chance_loss(labels, [""] * 4, balance) == pytest.approx(expected)


def test_guessing_among_three_answers_costs_their_entropy():
    labels, sides = [1] * 4 + [0] * 4, ["left", "left", "right", "right", "", "", "", ""]
    assert chance_loss(labels, sides, "sample") == pytest.approx(1.5 * math.log(2))
    known = chance_loss(labels, ["left", "left", "left", "right", "", "", "", ""], "none")
    assert known == pytest.approx(-sum(p * math.log(p) for p in (3 / 8, 1 / 8, 1 / 2)))


@pytest.mark.parametrize("balance", ["none", "weight"])
@pytest.mark.parametrize("unknown", [0, 2])
def test_no_constant_answer_costs_less(balance, unknown):
    labels = [1] * 6 + [0] * 9
    sides = [*(["left"] * 3 + ["right"] * 3)[unknown:], *[""] * unknown, *[""] * 9]
    weight = 9 / 6 if balance == "weight" else None

    def cost(utilities: np.ndarray) -> float:
        outputs = torch.tensor(utilities, dtype=torch.float32).expand(15, 2)
        return float(loss_of(outputs, labels, sides, weight))

    best = minimize(cost, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-5})
    assert chance_loss(labels, sides, balance) == pytest.approx(best.fun, abs=1e-4)

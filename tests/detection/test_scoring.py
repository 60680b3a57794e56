"""Scores that are averaged over changed copies of a case."""

from __future__ import annotations

import pytest
import torch

from lvo_kedro.detection import AugmentationOptions, Detector, McResNet, SidesNetwork
from lvo_kedro.detection.augmentation import augment
from lvo_kedro.detection.targets import case_logits

CHANNELS = ("ncct", "vessels")
MOVES = AugmentationOptions(flip=0.5, channel_dropout=0.5)


def detector(copies: int, target: str = "case") -> Detector:
    torch.manual_seed(0)
    network = SidesNetwork(2, 4) if target == "sides" else McResNet(2, 4)
    seen = torch.rand(6, 2, 16, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for _ in range(10):
            network(seen)  # so that its norms fit
        last = network.mcresnet.fc[-1] if target == "sides" else network.fc[-1]
        last.weight *= 1e4  # new attention damps every difference
    options = {"test_copies": copies, "augmentation": MOVES.model_dump()}
    card = {"training": {"options": options}}
    return Detector(network.eval(), CHANNELS, (16, 16, 16), 3.0, card)


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return torch.rand(3, 2, 16, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("target", ["case", "sides"])
def test_a_score_is_the_mean_over_the_case_and_its_copies(batch, target) -> None:
    plain, averaged = detector(0, target), detector(3, target)
    changes = MOVES.model_copy(update={"flip": 0.0, "channel_dropout": 0.0})
    answers = [plain.outputs(batch)]
    for seed in range(3):
        copies = [
            augment(case[None], CHANNELS, 3.0, changes, torch.Generator().manual_seed(seed))
            for case in batch
        ]
        answers.append(plain.outputs(torch.cat(copies)))
    expected = torch.stack(answers).mean(dim=0)
    torch.testing.assert_close(averaged.outputs(batch), expected)
    torch.testing.assert_close(averaged.score(batch), case_logits(expected))
    assert not torch.allclose(averaged.outputs(batch), plain.outputs(batch))


def test_a_case_has_the_same_score_whatever_is_scored_with_it(batch) -> None:
    model = detector(4)
    alone = torch.cat([model.score(case[None]) for case in batch])
    torch.testing.assert_close(alone, model.score(batch), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.score(batch.flip(0)).flip(0), alone, rtol=1e-5, atol=1e-6)

"""A detector of sides: it learns which side is occluded, and everything around it knows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from lvo_kedro.detection import (
    AugmentationOptions,
    Detector,
    SidesNetwork,
    TrainingOptions,
    encode_channels,
    explain,
    load_detector,
    mass_by_side,
    open_sample,
    save_sample,
    score_cases,
    score_sides,
    train_fold,
)
from lvo_kedro.detection.explanation import class_activation
from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.evaluation import check_began
from lvo_kedro.imaging.geometry import Grid, make_image
from lvo_kedro.model_records import record_models
from lvo_kedro.options import StartOptions
from lvo_kedro.weights import find_start, read_weights, write_weights

GENTLE = AugmentationOptions(flip=0, rotation_degrees=3, tilt_degrees=0, shift_across_mm=0)
QUICK = TrainingOptions(
    target="sides",
    zero_init_residual=True,
    base_width=4,
    epochs=3,
    warmup_epochs=1,
    batch_size=4,
    learning_rate=3e-3,
    validate_every=1,
    augmentation=GENTLE,
    device="cpu",
)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
AFFINE[:3, 3] = -46.5


SHAPE = (32, 16, 16)


class Cohort(NamedTuple):
    samples: dict[str, Path]
    labels: dict[str, int]
    sides: dict[str, str]

    def fold(self) -> tuple[dict[str, Path], dict[str, int], list[str], list[str]]:
        cases = list(self.samples)
        return self.samples, self.labels, cases[:12], cases[12:]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Cohort:
    """Sixteen cases; every other one has a dense block on one side, which alternates."""
    folder, made = tmp_path_factory.mktemp("sides"), Cohort({}, {}, {})
    generator = torch.Generator().manual_seed(3)
    for number in range(16):
        name, side = f"case-{number:02d}", ("", "left", "", "right")[number % 4]
        channels = torch.rand(2, *SHAPE, generator=generator) * 0.3
        x, y, z = torch.randint(0, 4, (3,), generator=generator).tolist()
        block = torch.zeros(SHAPE)
        block[20 + x : 28 + x, 2 + y : 10 + y, 2 + z : 10 + z] = 0.6
        if side:
            channels[1] += block if side == "right" else block.flip(0)
        made.samples[name] = folder / f"{name}.safetensors"
        made.labels[name], made.sides[name] = int(bool(side)), side
        sample = encode_channels(channels, ("ncct", "vessels"), Grid(SHAPE, AFFINE))
        save_sample(made.samples[name], sample)
    return made


@pytest.fixture(scope="module")
def trained(cohort, tmp_path_factory) -> tuple[Path, dict[str, float]]:
    """A training long enough to learn which side it is."""
    folder = tmp_path_factory.mktemp("trained")
    options = QUICK.model_copy(update={"base_width": 8, "epochs": 32, "validate_every": 32})
    return folder, train_fold(folder, *cohort.fold(), options, sides=cohort.sides)


def halves_image():
    x = np.arange(32)[:, None, None] * np.ones(SHAPE)
    return make_image(np.where(x < 16, 1, 2).astype(np.uint8), AFFINE)


def test_a_side_that_carries_the_signal_is_learnt(cohort, trained):
    folder, summary = trained
    assert summary["train_loss"] < 0.5 < summary["chance_loss"]
    assert summary["chance_loss"] == pytest.approx(1.5 * math.log(2))
    assert summary["validation_auc"] == 1.0
    scores = score_sides(load_detector(folder, "cpu"), cohort.samples)
    for case, side in cohort.sides.items():
        utilities = scores[case].sides
        assert (scores[case].logit > 0) == bool(side)
        assert scores[case].logit == pytest.approx(math.log(sum(map(math.exp, utilities.values()))))
        if side:
            assert max(utilities, key=utilities.get) == side


def test_maps_of_what_it_learnt_lie_on_that_side(cohort, trained):
    """By a late layer: each half has its own, and an early one may stand for the opposite."""
    detector, halves = load_detector(trained[0], "cpu"), halves_image()
    for case, side in cohort.sides.items():
        if side:
            heat = explain(detector, open_sample(cohort.samples[case]), halves, "layer3")
            mass = mass_by_side(heat, halves)
            assert mass[side] > 0.8 * sum(mass.values()), case


def test_the_card_says_what_it_answers_and_one_without_a_word_is_of_cases(
    cohort, trained, stored, tmp_path
):
    detector = load_detector(trained[0], "cpu")
    assert (detector.target, detector.card["target"]) == ("sides", "sides")
    assert detector.card["network"] == {"in_channels": 2, "base_width": 8}
    assert detector.card["training"]["sides"] == list(cohort.sides.values())
    samples, labels = stored
    options = TrainingOptions(base_width=4, epochs=1, batch_size=4, device="cpu")
    train_fold(tmp_path, samples, labels, list(samples)[:8], [], options, sides=cohort.sides)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card.pop("target") == "case"
    assert "sides" not in card["training"]  # they do not matter to it
    before = score_sides(load_detector(tmp_path, "cpu"), samples)
    (tmp_path / "model.json").write_text(json.dumps(card))
    old = load_detector(tmp_path, "cpu")
    assert old.target == "case"
    assert score_sides(old, samples) == before
    assert all(score.sides is None for score in before.values())


def test_several_networks_give_the_mean_of_their_utilities(cohort, trained, tmp_path):
    train_fold(tmp_path, *cohort.fold(), QUICK, sides=cohort.sides)
    networks = [load_detector(folder, "cpu") for folder in (trained[0], tmp_path)]
    one, two, both = (
        score_sides(which, cohort.samples)["case-01"] for which in (*networks, networks)
    )
    assert both.logit == pytest.approx((one.logit + two.logit) / 2)
    assert both.logit == pytest.approx(score_cases(networks, cohort.samples)["case-01"])
    for side in ("left", "right"):
        assert both.sides[side] == pytest.approx((one.sides[side] + two.sides[side]) / 2)


@pytest.mark.long
def test_a_killed_run_resumes_to_the_same_result(cohort, tmp_path):
    class Killed(Exception):
        pass

    def die(metrics, epoch):
        if epoch == 1:
            raise Killed

    train_fold(tmp_path / "whole", *cohort.fold(), QUICK, sides=cohort.sides)
    with pytest.raises(Killed):
        train_fold(tmp_path / "killed", *cohort.fold(), QUICK, die, sides=cohort.sides)
    epochs = []
    log = lambda metrics, epoch: epochs.append(epoch)  # noqa: E731
    train_fold(tmp_path / "killed", *cohort.fold(), QUICK, log, sides=cohort.sides)
    assert epochs == [2]
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert files[0] == files[1]


def test_other_sides_are_another_training(cohort, tmp_path):
    def stop(metrics, epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fold(tmp_path, *cohort.fold(), QUICK, stop, sides=cohort.sides)
    with pytest.raises(ModelError, match="with other sides"):
        train_fold(tmp_path, *cohort.fold(), QUICK, sides={**cohort.sides, "case-01": "right"})


@pytest.mark.parametrize("changes", [{"balance": "weight", "recompute": True}, {"accumulation": 2}])
def test_sides_may_be_unknown(cohort, tmp_path, changes):
    """Of all cases, or of some; the loss is then that of either side."""
    options = QUICK.model_copy(update={"epochs": 1, **changes})
    for name, sides in (("none", None), ("some", {"case-01": "left"})):
        summary = train_fold(tmp_path / name, *cohort.fold(), options, sides=sides)
        assert 0 < summary["train_loss"] < 5
        assert summary["chance_loss"] == pytest.approx(math.log(2), abs=1e-9)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"case-01": "Left"}, "'Left' of case case-01 with label 1"),
        ({"case-00": "left"}, "'left' of case case-00 with label 0"),
    ],
)
def test_odd_sides_are_refused(cohort, tmp_path, wrong, words):
    with pytest.raises(TableError, match=f"{words}.*column side"):
        train_fold(tmp_path, *cohort.fold(), QUICK, sides={**cohort.sides, **wrong})
    assert not list(tmp_path.iterdir())


def test_an_odd_grid_is_refused_before_anything_is_trained(tmp_path):
    grid, samples = Grid((33, 32, 32), AFFINE), {}
    for name in ("a", "b"):
        samples[name] = tmp_path / f"{name}.safetensors"
        save_sample(samples[name], encode_channels(torch.rand(1, 33, 32, 32), ("ncct",), grid))
    with pytest.raises(ModelError, match=r"33 voxels along x.*detector\.target: case"):
        train_fold(tmp_path / "model", samples, {"a": 0, "b": 1}, ["a", "b"], [], QUICK)
    assert not (tmp_path / "model").exists()


def test_flips_are_refused_since_they_would_mix_up_the_sides():
    with pytest.raises(ValueError, match="flip must be 0 with target: sides"):
        TrainingOptions(target="sides")


class ReadsVessels(nn.Module):
    """The utility of a half is the mean of its own vessel channel, many times over."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.layer1 = nn.AvgPool3d(4)
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        return self.scale * self.layer1(x)[:, 1:2].mean(dim=(2, 3, 4))


def reads_vessels(scale: float) -> Detector:
    network = SidesNetwork(2, 4)
    network.mcresnet = ReadsVessels(scale)
    return Detector(network.eval(), ("ncct", "vessels"), SHAPE, 3.0, {})


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_each_half_is_explained_by_its_own_utility_at_its_share_of_the_score(scale):
    detector, x = reads_vessels(scale), torch.full((1, 2, *SHAPE), 0.15)
    x[:, 1] = 0
    x[:, 1, 2:14, 4:12, 4:12] = 0.5  # the patient's left
    x[:, 1, 18:30, 4:12, 4:12] = 0.9
    left, right = detector.network(x)[0].tolist()
    share = 1 / (1 + math.exp(left - right))
    heat = class_activation(detector, x, "layer1")[0]
    place = heat * torch.arange(32.0)[:, None, None]
    assert float(place[:16].sum() / heat[:16].sum()) == pytest.approx(7.5, abs=0.3)
    assert float(place[16:].sum() / heat[16:].sum()) == pytest.approx(23.5, abs=0.3)
    ratio = float(heat[16:].sum() / heat[:16].sum())
    assert ratio == pytest.approx(0.9 / 0.5 * share / (1 - share), rel=0.01)
    torch.testing.assert_close(class_activation(detector, x.flip(2), "layer1")[0], heat.flip(0))


def test_nothing_of_the_other_half_shows_where_one_side_alone_raises_the_score():
    detector, channels = reads_vessels(500.0), torch.full((2, *SHAPE), 0.15)
    channels[1, 2:10, 4:12, 4:12] = 0.9
    channels[1, 24:30, 4:12, 4:12] = 0.3
    sample, halves = (
        encode_channels(channels, ("ncct", "vessels"), Grid(SHAPE, AFFINE)),
        (halves_image()),
    )
    mass = mass_by_side(explain(detector, sample, halves), halves)
    assert mass["left"] > 20 * mass["right"]


def test_weights_of_the_other_target_are_refused_both_ways(cohort, trained, stored, tmp_path):
    samples, labels = stored
    plain = TrainingOptions(base_width=8, epochs=1, batch_size=4, device="cpu")
    train_fold(tmp_path / "case", samples, labels, list(samples)[:8], [], plain)
    sides = QUICK.model_copy(update={"base_width": 8})
    shipped = write_weights(tmp_path / "sides.safetensors", trained[0]).start.tensors
    for given in (trained[0], shipped):
        begin = {"start_from": StartOptions(weights=str(given), leave_out=True)}
        words = r"reads halves of heads \(target: sides\).*whole heads.*detector\.target: sides"
        with pytest.raises(ModelError, match=words):
            train_fold(
                tmp_path / "a",
                samples,
                labels,
                list(samples)[:8],
                [],
                plain.model_copy(update=begin),
            )
        assert read_weights(find_start(begin["start_from"])).target == "sides"
    begin = {"start_from": StartOptions(weights=str(tmp_path / "case"), leave_out=True)}
    with pytest.raises(ModelError, match=r"whole heads \(target: case\).*detector\.target: case"):
        train_fold(tmp_path / "b", *cohort.fold(), sides.model_copy(update=begin))
    begin = {"start_from": StartOptions(weights=str(shipped))}
    options = sides.model_copy(update={"epochs": 1, **begin})
    train_fold(tmp_path / "c", *cohort.fold(), options, sides=cohort.sides)
    card = json.loads((tmp_path / "c" / "model.json").read_text())
    assert card["start"]["left_out"] == []


def test_a_training_that_cannot_begin_is_found_and_one_that_does_is_not(cohort, trained, tmp_path):
    still = QUICK.model_copy(update={"learning_rate": 1e-12})
    train_fold(tmp_path / "fold_1", *cohort.fold(), still, sides=cohort.sides)
    folders = {"fold_0": trained[0], "fold_1": tmp_path / "fold_1"}
    models = {name: SimpleNamespace(folder=folder) for name, folder in folders.items()}
    (finding,) = check_began(record_models(models))
    assert finding.severity == "error"
    loss = json.loads((tmp_path / "fold_1" / "model.json").read_text())["summary"]["train_loss"]
    words = f"fold_1: training loss {loss:.2f}, that of guessing is 1.04: did not begin to learn; "
    assert finding.message.startswith(words)

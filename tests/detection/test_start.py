"""A detector that starts from given weights: the same before its first step, and it says so."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from lvo_kedro.detection import TrainingOptions, train_fold, training
from lvo_kedro.errors import ModelError
from lvo_kedro.options import StartOptions
from lvo_kedro.weights import find_start, read_weights, write_weights

QUICK = TrainingOptions(
    base_width=4, epochs=2, batch_size=4, learning_rate=3e-3, validate_every=2, device="cpu"
)


class Begun(Exception):
    """Ends a training before its first epoch."""


def fold_of(stored):
    samples, labels = stored
    cases = list(samples)
    return samples, labels, cases[:8], cases[8:]


def starting(path, **start):
    return QUICK.model_copy(update={"start_from": StartOptions(weights=str(path), **start)})


@pytest.fixture(scope="module")
def trained(stored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fold")
    hashes = {case: f"hash of {case}" for case in stored[0]}
    train_fold(folder, *fold_of(stored), QUICK, scan_hashes=hashes)
    return folder


def beginning(stored, folder, options):
    """Weights, and their running average, before the first epoch."""
    found = []

    def stop(fold, state, forward):
        found.extend(
            {name: value.clone() for name, value in network.state_dict().items()}
            for network in (state.network, state.average.module)
        )
        raise Begun

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Begun):
        patch.setattr(training, "train_epoch", stop)
        train_fold(folder, *fold_of(stored), options)
    return found


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_training_starts_from_the_weights_and_so_does_their_average(stored, trained, tmp_path):
    given = load_file(str(trained / "model.safetensors"))
    network, average = beginning(stored, tmp_path, starting(trained))
    assert same(network, given)
    assert same(average, given)
    assert not same(beginning(stored, tmp_path, QUICK)[0], given)


def test_weights_in_half_precision_are_widened(stored, trained, tmp_path):
    known = write_weights(tmp_path / "w.safetensors", trained)
    assert (known.kind, known.spacing_mm) == ("detection", 3.0)
    network, _ = beginning(stored, tmp_path / "model", starting(tmp_path / "w.safetensors"))
    given = load_file(str(trained / "model.safetensors"))
    halved = {n: v.half().float() if v.is_floating_point() else v for n, v in given.items()}
    assert same(network, halved)


def test_other_channels_are_refused_or_left_out(stored, trained, tmp_path):
    swapped = {"channels": ("vessels", "ncct")}
    with pytest.raises(ModelError, match=r"conv1\.weight .channels ncct, vessels instead of vesse"):
        options = starting(trained).model_copy(update=swapped)
        train_fold(tmp_path, *fold_of(stored), options)
    options = starting(trained, leave_out=True).model_copy(update=swapped)
    network, _ = beginning(stored, tmp_path, options)
    given = load_file(str(trained / "model.safetensors"))
    assert [n for n in given if not torch.equal(given[n], network[n])] == ["conv1.weight"]
    train_fold(tmp_path, *fold_of(stored), options)
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["start"]["left_out"] == ["conv1.weight"]


def test_another_width_is_refused(stored, trained, tmp_path):
    with pytest.raises(ModelError, match="4x2x7x7x7 instead of 8x2x7x7x7"):
        options = starting(trained).model_copy(update={"base_width": 8})
        train_fold(tmp_path, *fold_of(stored), options)


def test_a_killed_run_goes_on_from_its_own_checkpoint(stored, trained, tmp_path):
    options = starting(trained)
    train_fold(tmp_path / "whole", *fold_of(stored), options)

    def die(metrics, epoch):
        raise Begun

    with pytest.raises(Begun):
        train_fold(tmp_path / "killed", *fold_of(stored), options, log=die)
    epochs = []
    log = lambda metrics, epoch: epochs.append(epoch)  # noqa: E731
    train_fold(tmp_path / "killed", *fold_of(stored), options, log=log)
    assert epochs == [1]
    files = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "killed")]
    assert files[0] == files[1] != (trained / "model.safetensors").read_bytes()


def test_the_card_tells_what_was_started_from_and_seen(stored, trained, tmp_path):
    samples, labels, train, validation = fold_of(stored)
    hashes = {case: f"new {case}" for case in samples}
    options = starting(trained).model_copy(update={"epochs": 1})
    train_fold(tmp_path / "m", samples, labels, train[2:], validation, options, scan_hashes=hashes)
    text = (tmp_path / "m" / "model.json").read_text()
    assert str(trained.parent) not in text
    card, first = json.loads(text), json.loads((trained / "model.json").read_text())
    assert first["trained_on"] == {case: f"hash of {case}" for case in train}
    assert "start" not in first
    assert "start" not in first["training"]  # what makes a training out of date is what it was
    assert card["start"] | {"statement": ""} == {
        "name": trained.name,
        "sha256": first["sha256"],
        "leave_out": False,
        "left_out": [],
        "judged_by": "shapes, labels and channels",
        "spacing_mm": 3.0,
        "trained_on": first["trained_on"],
        "statement": "",
    }
    assert card["training"]["start"] == {"sha256": first["sha256"], "leave_out": False}
    assert len(card["trained_on"]) == 14  # six of its own and eight of the weights'
    assert set(card["trained_on"].values()) == {
        *(f"new {case}" for case in train[2:]),
        *(f"hash of {case}" for case in train),
    }


def test_weights_count_by_content(stored, trained, tmp_path):
    def epochs(options):
        seen = []
        train_fold(model, *fold_of(stored), options, log=lambda metrics, epoch: seen.append(epoch))
        return len(seen)

    model, elsewhere = tmp_path / "model", shutil.copytree(trained, tmp_path / "elsewhere")
    other = write_weights(tmp_path / "w.safetensors", trained).start.tensors
    assert epochs(starting(trained)) == 2
    assert epochs(starting(elsewhere)) == 0
    for options in (starting(elsewhere, leave_out=True), starting(other), QUICK):
        with pytest.raises(ModelError, match="with other start"):
            epochs(options)


def test_cases_that_an_epoch_was_chosen_on_were_seen(stored, tmp_path):
    options = QUICK.model_copy(
        update={"epochs": 1, "selection": "loss", "selection_fraction": 0.25}
    )
    train_fold(tmp_path, *fold_of(stored), options)
    start = find_start(StartOptions(weights=str(tmp_path)))
    assert sorted(read_weights(start).trained_on) == list(stored[0])[:8]

"""A fold that starts from given weights: the same before its first step, and it says so."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from safetensors.torch import save_file

from lvo_kedro.artifacts import digest_of
from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet import NnUNetOptions, train_fold, training
from lvo_kedro.nnunet.dataset import read_prepared
from lvo_kedro.nnunet.environment import nnunet_environment, own_random_state
from lvo_kedro.nnunet.options import PREDICTION_FIELDS
from lvo_kedro.nnunet.trainer import FINAL, FoldTrainer
from lvo_kedro.options import StartOptions
from lvo_kedro.weights import find_start, read_weights, refuse_known_scans, write_weights

from .conftest import TINY, same, weights

HEADS = ["decoder.seg_layers.0.bias", "decoder.seg_layers.0.weight"]
ENTRY = ["encoder.stages.0.0.convs.0.conv.bias", "encoder.stages.0.0.convs.0.conv.weight"]
HASHES = {"a": "hash of a", "b": "hash of b", "c": "hash of c"}


def starting(path: Path, **start) -> NnUNetOptions:
    options = StartOptions(weights=str(path), **start)
    return TINY.model_copy(update={"epochs": 1, "iterations_per_epoch": 1, "start_from": options})


class Begun(Exception):
    """Ends a training before its first step."""


def beginning(dataset: Path, folder: Path, options: NnUNetOptions) -> dict[str, torch.Tensor]:
    """Weights before the first step of a training."""
    state: dict[str, torch.Tensor] = {}

    def stop(trainer: FoldTrainer, batch: object) -> None:
        state.update({n: v.clone() for n, v in trainer.network.state_dict().items()})
        raise Begun

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Begun):
        patch.setattr(FoldTrainer, "train_step", stop)
        train_fold(dataset, 0, folder, options)
    return state


@pytest.fixture(scope="module")
def at_random(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    options = starting(Path()).model_copy(update={"start_from": None})
    return beginning(dataset, tmp_path_factory.mktemp("random"), options)


@pytest.fixture(scope="module")
def theirs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of nnU-Net's own: its way to write a checkpoint, its log full of NumPy."""
    folder = tmp_path_factory.mktemp("results") / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    with nnunet_environment(dataset), own_random_state():
        trainer = training._make_trainer(dataset, 0, TINY)
        trainer.configure(TINY.model_copy(update={"seed": 5}), folder, print)
        trainer.initialize()
        trainer.logger.log("train_losses", np.float32(0.5), 0)
        trainer.logger.log("val_losses", np.float64(0.5), 0)
        trainer.logger.log("dice_per_class_or_region", [np.float64(0.1), np.float16(0.2)], 0)
        trainer.logger.log("mean_fg_dice", np.mean([0.1, 0.2]), 0)
        trainer._best_ema = np.float64(0.15)
        nnUNetTrainer.save_checkpoint(trainer, str(folder / "fold_0" / FINAL))
    for name in ("dataset.json", "nnUNetPlans.json"):
        plain = "plans.json" if "Plans" in name else name
        shutil.copy(next(dataset.rglob(f"preprocessed/*/{name}")), folder / plain)
    return folder


@pytest.mark.parametrize("inside", ["", "fold_0"])
def test_a_model_folder_is_where_training_starts(dataset, models, at_random, tmp_path, inside):
    begun = beginning(dataset, tmp_path, starting(models[0] / inside))
    assert same(weights(models[0]), begun)
    assert not same(at_random, begun)


@pytest.mark.parametrize("inside", ["", "fold_0"])
def test_nnunets_own_folder_is_as_good(dataset, theirs, tmp_path, inside):
    with pytest.raises(pickle.UnpicklingError):  # what it takes NumPy's numbers for
        torch.load(theirs / "fold_0" / FINAL, weights_only=True)
    stored = torch.load(theirs / "fold_0" / FINAL, weights_only=False)["network_weights"]
    assert same(stored, beginning(dataset, tmp_path, starting(theirs / inside)))
    known = read_weights(find_start(StartOptions(weights=str(theirs / inside))))
    assert (known.labels, known.channels) == (("M1", "M2"), ("CT",))
    assert "not recorded" in known.statement


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "was here")


def test_a_checkpoint_that_would_run_code_is_refused(dataset, theirs, tmp_path):
    folder = tmp_path / "evil"
    shutil.copytree(theirs, folder)
    path = folder / "fold_0" / FINAL
    content = torch.load(path, weights_only=False)
    torch.save(content | {"logging": Evil(tmp_path / "trace")}, path)
    with pytest.raises(ModelError, match=r"nothing in it was executed.*network_weights") as caught:
        train_fold(dataset, 0, tmp_path / "model", starting(folder))
    assert not (tmp_path / "trace").exists()
    assert str(tmp_path) not in str(caught.value)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ModelError, match="has no network_weights"):
        train_fold(dataset, 0, tmp_path / "model", starting(folder))
    path.write_bytes(b"half a checkpoint")
    with pytest.raises(ModelError, match="start_from 'evil'"):
        train_fold(dataset, 0, tmp_path / "model", starting(folder))


@pytest.mark.parametrize("harm", ["alter", "remove"])
def test_a_folder_that_does_not_match_its_manifest_is_refused(dataset, models, tmp_path, harm):
    folder = tmp_path / "given"
    shutil.copytree(models[0], folder)
    if harm == "alter":
        (folder / "plans.json").write_text("{}")
    else:
        (folder / "history.csv").unlink()
    name = "plans.json" if harm == "alter" else "history.csv"
    with pytest.raises(ModelError, match=f"'given' whose {name} is missing or was altered"):
        train_fold(dataset, 0, tmp_path / "model", starting(folder))


OTHERS = {
    "names of labels": ({"labels": {"A": 1, "M2": 2}}, HEADS, "labels A, M2 instead of M1, M2"),
    "order of labels": ({"labels": {"M2": 1, "M1": 2}}, HEADS, "labels M2, M1 instead of M1, M2"),
    "channels": ({"channels": ["MRI"]}, ENTRY, "channels MRI instead of CT"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_layers_that_mean_something_else_start_at_random_only_if_allowed(
    dataset, models, at_random, tmp_path, other
):
    changes, layers, words = OTHERS[other]
    folder, model = tmp_path / "given", tmp_path / "model"
    shutil.copytree(models[0], folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["labels"] = changes.get("labels", manifest["labels"])
    if "channels" in changes:
        manifest["options"]["channel_names"] = changes["channels"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=words) as caught:
        train_fold(dataset, 0, model, starting(folder))
    assert all(layer in str(caught.value) for layer in layers)
    options = starting(folder, leave_out=True)
    begun, stored = beginning(dataset, model, options), weights(models[0])
    fresh = {stored[layer].data_ptr() for layer in layers}  # under all names that nnU-Net has
    for name, value in begun.items():
        expected = at_random if stored[name].data_ptr() in fresh else stored
        assert torch.equal(value, expected[name]), name
    train_fold(dataset, 0, model, options)
    record = json.loads((model / "manifest.json").read_text())["start"]
    assert sorted(record["left_out"]) == layers
    assert record["leave_out"]


def test_another_architecture_is_refused_with_its_layers(dataset, models, tmp_path):
    stored = {n: v[:4].clone() for n, v in weights(models[0]).items() if n in ENTRY}
    save_file(stored, str(tmp_path / "w.safetensors"))
    with pytest.raises(ModelError, match=r"4x1x3x3x3 instead of 8x1x3x3x3.*and \d+ more"):
        train_fold(dataset, 0, tmp_path / "model", starting(tmp_path / "w.safetensors"))
    with pytest.raises(ModelError, match="and none does"):
        options = starting(tmp_path / "w.safetensors", leave_out=True)
        train_fold(dataset, 0, tmp_path / "model", options)


def test_shipped_weights_are_small_and_widened(dataset, models, tmp_path):
    path = tmp_path / "w.safetensors"
    known = write_weights(path, models[0])
    assert (known.labels, known.channels) == (("M1", "M2"), ("CT",))
    assert known.trained_on == {"a": None, "b": None}
    assert known.architecture["arch_kwargs"]["features_per_stage"] == [8, 16]
    stored = weights(models[0])
    once = {value.data_ptr(): value.numel() for value in stored.values()}
    assert path.stat().st_size < 2 * sum(once.values()) + 20_000
    begun = beginning(dataset, tmp_path / "model", starting(path))
    assert same({n: v.half().float() for n, v in stored.items()}, begun)
    assert {value.dtype for value in begun.values()} == {torch.float32}


@pytest.mark.long
def test_a_stopped_training_goes_on_from_its_own_checkpoint(dataset, models, tmp_path):
    options = TINY.model_copy(update={"start_from": StartOptions(weights=str(models[1]))})
    train_fold(dataset, 0, tmp_path / "whole", options)

    def stop(row: object, epoch: int) -> None:
        if epoch == 1:
            raise Begun

    with pytest.raises(Begun):
        train_fold(dataset, 0, tmp_path / "stopped", options, stop)
    epochs: list[int] = []
    train_fold(dataset, 0, tmp_path / "stopped", options, lambda row, epoch: epochs.append(epoch))
    assert epochs == [2]
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert not same(weights(tmp_path / "whole"), weights(models[0]))


def test_the_manifest_tells_what_was_started_from_and_seen(dataset, models, tmp_path):
    def trained(name: str, start: Path, hashes: dict[str, str], fold: int) -> dict:
        train_fold(dataset, fold, tmp_path / name, starting(start), scan_hashes=hashes)
        text = (tmp_path / name / "manifest.json").read_text()
        assert str(tmp_path) not in text
        return json.loads(text)

    first = trained("first", models[1], HASHES, 0)
    assert first["trained_on"] == {"a": "hash of a", "b": "hash of b", "c": None}
    digest = read_weights(find_start(StartOptions(weights=str(models[1])))).sha256
    assert first["start"] == {
        "name": "fold_1",
        "sha256": digest,
        "leave_out": False,
        "left_out": [],
        "judged_by": "shapes, labels and channels",
        "spacing_mm": None,
        "trained_on": {"b": None, "c": None},
        "statement": "",
    }
    assert "start_from" not in first["options"]
    write_weights(tmp_path / "w.safetensors", tmp_path / "first")
    other = {"b": "another b", "c": "another c"}
    second = trained("second", tmp_path / "w.safetensors", other, 1)
    assert second["trained_on"] == other | {
        "a": "hash of a",
        "b~hash of ": "hash of b",
        "c": "another c",
    }
    last = read_weights(find_start(StartOptions(weights=str(tmp_path / "second"))))
    with pytest.raises(ModelError, match="trained on 2 cases of this cohort: x, y;"):
        refuse_known_scans(last, {"x": "hash of a", "y": "hash of b", "a": "another a"})


def test_a_statement_is_handed_on(dataset, models, tmp_path):
    write_weights(tmp_path / "w.safetensors", models[0], trained_on="simulated heads")
    train_fold(dataset, 0, tmp_path / "model", starting(tmp_path / "w.safetensors"))
    known = read_weights(find_start(StartOptions(weights=str(tmp_path / "model"))))
    assert known.statement == "simulated heads"


def test_given_weights_count_by_content_and_none_count_as_before(dataset, models, tmp_path):
    prepared = read_prepared(dataset)
    split = prepared["splits"][0]

    def purpose(start: StartOptions | None) -> str:
        found = find_start(start)
        options = TINY.model_copy(update={"start_from": start})
        known = read_weights(found) if found else None
        return training._purpose(dataset, prepared, split, 0, options, given=known)

    elsewhere = shutil.copytree(models[0], tmp_path / "elsewhere")
    none, one, moved, other, allowed = (
        purpose(start and StartOptions(weights=str(start), leave_out=leave))
        for start, leave in (
            (None, False),
            (models[0], False),
            (elsewhere, False),
            (models[1], False),
            (models[0], True),
        )
    )
    assert one == moved
    assert len({none, one, other, allowed}) == 4
    machine = {"device", "devices", "compile", "workers", "augmentation_workers"}
    machine.add("checkpoint_every")
    chosen = TINY.model_dump(exclude=machine | PREDICTION_FIELDS | {"start_from"})
    plans = json.loads(next(dataset.rglob("nnUNetPlans.json")).read_text())
    cases = {part: {c: prepared["cases"][c] for c in split[part]} for part in ("train", "val")}
    assert none == digest_of([cases, 0, prepared["labels"], chosen, plans])

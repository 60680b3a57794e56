"""A fold's training: what it leaves, that it repeats, and how it goes on where it was stopped."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
import torch

from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, train_fold, training
from lvo_kedro.nnunet.dataset import read_prepared
from lvo_kedro.nnunet.options import MACHINE_FIELDS, PREDICTION_FIELDS
from lvo_kedro.nnunet.trainer import FoldTrainer
from tests.lengths import one_of

from .conftest import LABELS, TINY, same, weights

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_users_environment_is_left_alone(dataset: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("nnUNet_raw", "/home/somebody/nnUNet_raw")
    monkeypatch.delenv("nnUNet_results", raising=False)
    before = dict(os.environ)
    state = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    train_fold(dataset, 0, tmp_path / "model", TINY.model_copy(update={"epochs": 1}))
    assert dict(os.environ) == before
    assert np.array_equal(np.random.get_state()[1], state[0])
    assert torch.equal(torch.random.get_rng_state(), state[1])


def test_the_model_folder_says_what_it_was_made_of(models: list[Path]) -> None:
    manifest = json.loads((models[0] / "manifest.json").read_text())
    assert manifest["training_cases"] == ["a", "b"]
    assert manifest["validation_cases"] == ["c"]
    assert manifest["labels"] == LABELS
    assert manifest["versions"]["nnunetv2"]
    assert {"plans.json", "dataset.json", "history.csv"} <= set(manifest["files"])
    assert "dataset" not in json.loads((models[0] / "dataset.json").read_text())
    rows = list(csv.DictReader((models[0] / "history.csv").open()))
    assert [int(float(row["iterations"])) for row in rows] == [25, 50, 75]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


@pytest.mark.long
@pytest.mark.slow
def test_folds_trained_side_by_side_are_those_trained_in_turn(
    dataset: Path, models: list[Path], tmp_path: Path
) -> None:
    folders = [tmp_path / f"fold_{fold}" for fold in range(2)]
    options = TINY.model_copy(update={"devices": ("cpu", "cpu")})
    with joblib.parallel_config(backend="loky", inner_max_num_threads=torch.get_num_threads()):
        joblib.Parallel(n_jobs=2)(
            joblib.delayed(train_fold)(dataset, fold, folder, options.of_training(fold))
            for fold, folder in enumerate(folders)
        )
    for fold, folder in enumerate(folders):
        assert same(weights(folder, fold), weights(models[fold], fold))


@pytest.mark.long
def test_the_same_seed_gives_the_same_network(
    dataset: Path, models: list[Path], tmp_path: Path
) -> None:
    train_fold(dataset, 0, tmp_path / "again", TINY)
    assert same(weights(models[0]), weights(tmp_path / "again"))
    train_fold(dataset, 0, tmp_path / "seed", TINY.model_copy(update={"seed": 1}))
    assert not same(weights(models[0]), weights(tmp_path / "seed"))


@pytest.mark.parametrize("harm", ["alter", "remove", "manifest"])
def test_a_folder_that_does_not_match_its_manifest_is_not_loaded(
    models: list[Path], tmp_path: Path, harm: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models[0], folder)
    if harm == "alter":
        plans = folder / "plans.json"
        plans.write_text(plans.read_text().replace("16", "32", 1))
    elif harm == "remove":
        (folder / "fold_0" / "checkpoint_final.pth").unlink()
    else:
        (folder / "manifest.json").write_text("{}")
    with pytest.raises(ModelError):
        load_predictor([folder])


def test_what_nnunet_cannot_do_is_said(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fold 7"):
        train_fold(dataset, 7, tmp_path, TINY)
    with pytest.raises(ModelError, match="no prepared dataset"):
        train_fold(tmp_path, 0, tmp_path, TINY)


class Killed(Exception):
    """Stands for a process that ends in the middle of a training."""


def after(calls: int, function: Callable, last_words: Callable = lambda *_: None) -> Callable:
    """``function``, but the call after so many says ``last_words`` and is the last."""
    count = iter(range(calls))

    def until_killed(*arguments, **named):
        if next(count, None) is None:
            last_words(*arguments)
            raise Killed
        return function(*arguments, **named)

    return until_killed


def write_half(checkpoint: object, path: str) -> None:
    Path(path).write_bytes(b"half a checkpoint")


STEPS = TINY.iterations_per_epoch
MOMENTS = {
    "before the first checkpoint": (FoldTrainer, "train_step", 10, None, [0, 1, 2]),
    "within an epoch": (FoldTrainer, "train_step", STEPS + 10, None, [1, 2]),
    "while a checkpoint is written": (torch, "save", 1, write_half, [1, 2]),
    "before a checkpoint is named": (os, "replace", 3, None, [1, 2]),
    "while the last one is written": (torch, "save", 2, write_half, [2]),
    "before the manifest": (training, "write_manifest", 0, None, []),
}
"""Where the training is stopped, after how many calls, and which epochs are left to train."""


@pytest.mark.parametrize("moment", one_of(6, MOMENTS))
def test_a_stopped_training_goes_on_and_ends_the_same(
    dataset: Path, models: list[Path], tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, calls, last_words, left = MOMENTS[moment]
    killer = after(calls, getattr(owner, name), *([last_words] if last_words else []))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, killer)
        train_fold(dataset, 0, tmp_path, TINY)
    with pytest.raises(ModelError, match="manifest"):
        load_predictor([tmp_path])
    epochs: list[int] = []
    metrics = train_fold(dataset, 0, tmp_path, TINY, lambda row, epoch: epochs.append(epoch))
    assert epochs == left
    assert same(weights(models[0]), weights(tmp_path))
    assert metrics["iterations"] == 3 * STEPS
    assert len(list(csv.DictReader((tmp_path / "history.csv").open()))) == 3
    assert [path.name for path in (tmp_path / "fold_0").iterdir()] == ["checkpoint_final.pth"]
    assert load_predictor([tmp_path]).training_cases == {"a", "b"}


SUICIDE = """
import os, signal, sys
from pathlib import Path
from lvo_kedro.nnunet import NnUNetOptions, train_fold

def kill(row, epoch):
    if epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

options = NnUNetOptions.model_validate_json(sys.argv[3])
train_fold(Path(sys.argv[1]), 0, Path(sys.argv[2]), options, kill)
"""


@pytest.mark.long
@pytest.mark.slow
def test_a_process_that_the_system_kills(dataset: Path, models: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUICIDE, str(dataset), str(tmp_path), TINY.model_dump_json()]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL  # noqa: S603
    epochs: list[int] = []
    train_fold(dataset, 0, tmp_path, TINY, lambda row, epoch: epochs.append(epoch))
    assert epochs == [2]  # the second was saved before it was reported
    assert same(weights(models[0]), weights(tmp_path))


def test_a_finished_fold_returns_at_once(dataset: Path, models: list[Path]) -> None:
    calls: list[int] = []
    written = (models[0] / "manifest.json").stat().st_mtime_ns
    elsewhere = TINY.model_copy(update={"device": "auto", "workers": 3, "step_size": 0.9})
    for options in (TINY, elsewhere):
        metrics = train_fold(dataset, 0, models[0], options, lambda row, epoch: calls.append(epoch))
        assert metrics["iterations"] == 3 * STEPS
    assert calls == []
    assert (models[0] / "manifest.json").stat().st_mtime_ns == written


def unfinished(dataset: Path, models: list[Path], folder: Path) -> None:
    def stop(*_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        train_fold(dataset, 0, folder, TINY, stop)
    assert (folder / "fold_0" / "checkpoint_latest.pth").is_file()


def finished(dataset: Path, models: list[Path], folder: Path) -> None:
    shutil.copytree(models[0], folder)


def without_manifest(dataset: Path, models: list[Path], folder: Path) -> None:
    shutil.copytree(models[0], folder)
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize("left", [unfinished, finished, without_manifest])
def test_what_another_training_left_is_neither_resumed_nor_removed(
    dataset: Path, models: list[Path], tmp_path: Path, left: Callable
) -> None:
    folder = tmp_path / "model"
    left(dataset, models, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    epochs: list[int] = []
    changed = TINY.model_copy(update={"learning_rate": 5e-3, "step_size": 0.75})
    for options, fold in ((changed, 0), (TINY, 1)):
        with pytest.raises(ModelError, match="another training left"):
            train_fold(dataset, fold, folder, options, lambda row, epoch: epochs.append(epoch))
    assert epochs == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_files_of_whoever_keeps_the_folder_are_nobodys_business(
    dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "case.json").write_text("{}")
    train_fold(dataset, 0, tmp_path, TINY.model_copy(update={"epochs": 1}))
    assert (tmp_path / "case.json").read_text() == "{}"


def test_a_finished_fold_that_was_altered_is_an_error(
    dataset: Path, models: list[Path], tmp_path: Path
) -> None:
    finished(dataset, models, tmp_path / "model")
    (tmp_path / "model" / "history.csv").write_text("epoch\n")
    with pytest.raises(ModelError, match=r"history\.csv was altered"):
        train_fold(dataset, 0, tmp_path / "model", TINY)


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_every_option_that_shapes_the_network_counts_as_a_change(dataset: Path) -> None:
    prepared = read_prepared(dataset)

    def purpose(options: NnUNetOptions, fold: int = 0) -> str:
        return training._purpose(dataset, prepared, prepared["splits"][fold], fold, options)

    changed = {
        name: purpose(TINY.model_copy(update={name: "another"})) != purpose(TINY)
        for name in NnUNetOptions.model_fields
    }
    without = MACHINE_FIELDS | PREDICTION_FIELDS
    assert changed == {name: name not in without for name in NnUNetOptions.model_fields}
    assert purpose(TINY, fold=1) != purpose(TINY)

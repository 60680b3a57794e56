from __future__ import annotations

import csv
import json
import os
import shutil
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
import torch

from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.nnunet import load_predictor, prepare_dataset, train_fold
from lvo_kedro.nnunet.dataset import read_prepared
from lvo_kedro.nnunet.environment import DATASET

from .conftest import LABELS, SPLITS, TINY, phantom

if TYPE_CHECKING:
    from pathlib import Path


class Killed(Exception):
    """Stands for a process that ends in the middle of a training."""


def weights(folder: Path, fold: int = 0) -> dict[str, torch.Tensor]:
    path = folder / f"fold_{fold}" / "checkpoint_final.pth"
    stored: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["network_weights"]
    return stored


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_our_folds_are_nnunets_splits(dataset: Path) -> None:
    path = dataset / "preprocessed" / DATASET / "splits_final.json"
    assert json.loads(path.read_text()) == [
        {"train": sorted(s["train"]), "val": sorted(s["val"])} for s in SPLITS
    ]


def test_preparing_twice_computes_once(dataset: Path, cases) -> None:
    plans = dataset / "preprocessed" / DATASET / "nnUNetPlans.json"
    before = plans.stat().st_mtime_ns, read_prepared(dataset)["state"]
    prepare_dataset(dataset, cases, LABELS, SPLITS, TINY.preparation())
    assert (plans.stat().st_mtime_ns, read_prepared(dataset)["state"]) == before


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


def test_a_finished_fold_returns_at_once(dataset: Path, models: list[Path]) -> None:
    calls: list[int] = []
    written = (models[0] / "manifest.json").stat().st_mtime_ns
    metrics = train_fold(dataset, 0, models[0], TINY, lambda row, epoch: calls.append(epoch))
    assert calls == []
    assert metrics["iterations"] == 75
    assert (models[0] / "manifest.json").stat().st_mtime_ns == written


def test_same_seed_same_network_and_another_machine_option_changes_nothing(
    dataset: Path, models: list[Path], tmp_path: Path
) -> None:
    train_fold(dataset, 0, tmp_path / "again", TINY)
    assert same(weights(models[0]), weights(tmp_path / "again"))
    train_fold(dataset, 0, tmp_path / "seed", TINY.model_copy(update={"seed": 1}))
    assert not same(weights(models[0]), weights(tmp_path / "seed"))


def test_a_killed_training_goes_on_and_ends_the_same(
    dataset: Path, models: list[Path], tmp_path: Path
) -> None:
    def kill_in_second_epoch(row, epoch) -> None:
        if epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        train_fold(dataset, 0, tmp_path, TINY, kill_in_second_epoch)
    with pytest.raises(ModelError, match="manifest"):
        load_predictor([tmp_path])
    epochs: list[int] = []
    train_fold(dataset, 0, tmp_path, TINY, lambda row, epoch: epochs.append(epoch))
    assert epochs == [2]  # the second was saved before it was reported
    assert same(weights(models[0]), weights(tmp_path))
    assert len(list(csv.DictReader((tmp_path / "history.csv").open()))) == 3


def test_a_changed_option_trains_anew(dataset: Path, models: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models[0], folder)
    (folder / "case.json").write_text("{}")  # of whoever keeps the folder
    epochs: list[int] = []
    changed = TINY.model_copy(update={"learning_rate": 5e-3, "step_size": 0.75})
    train_fold(dataset, 0, folder, changed, lambda row, epoch: epochs.append(epoch))
    assert epochs == [0, 1, 2]
    assert (folder / "case.json").is_file()


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


@pytest.mark.parametrize(
    ("names", "labels", "splits"),
    [
        (["../a", "b"], LABELS, [{"train": ["../a"], "val": ["b"]}]),
        (["a", "b"], {"M1": 1, "M2": 3}, [{"train": ["a"], "val": ["b"]}]),
        (["a", "b"], LABELS, [{"train": ["a", "b"], "val": ["b"]}]),
        (["a", "b"], LABELS, [{"train": ["a"], "val": ["x"]}]),
        (["a", "b"], LABELS, [{"train": ["a"], "val": []}]),
        (["a", "b"], LABELS, []),
    ],
)
def test_folds_that_do_not_fit_are_refused(tmp_path: Path, names, labels, splits) -> None:
    with pytest.raises(TableError):
        prepare_dataset(tmp_path, dict.fromkeys(names, lambda: phantom(0)), labels, splits, TINY)


def test_what_nnunet_cannot_do_is_said(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fold 7"):
        train_fold(dataset, 7, tmp_path, TINY)
    with pytest.raises(ModelError, match="no prepared dataset"):
        train_fold(tmp_path, 0, tmp_path, TINY)

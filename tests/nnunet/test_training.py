from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest
import torch

from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold
from lvo_kedro.nnunet.dataset import read_prepared
from lvo_kedro.nnunet.environment import DATASET

from .conftest import LABELS, SPLITS, TINY, phantom, same, weights

if TYPE_CHECKING:
    from pathlib import Path


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


PLANNERS = {
    "ExperimentPlanner": "PlainConvUNet",
    "nnUNetPlannerResEncM": "ResidualEncoderUNet",
    "nnUNetPlannerResEncL": "ResidualEncoderUNet",
    "nnUNetPlannerResEncXL": "ResidualEncoderUNet",
}


@pytest.mark.parametrize("planner", PLANNERS)
def test_every_planner_of_nnunet_plans_by_its_name(tmp_path: Path, cases, planner: str) -> None:
    options = NnUNetOptions(planner=planner, window_hu=(0.0, 100.0))
    prepare_dataset(tmp_path, cases, LABELS, SPLITS, options)
    path = tmp_path / "preprocessed" / DATASET / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    assert plans["experiment_planner_used"] == planner
    chosen = plans["configurations"]["3d_fullres"]
    assert chosen["architecture"]["network_class_name"].endswith(PLANNERS[planner])
    assert chosen["architecture"]["arch_kwargs"]["n_stages"] > 1


def test_a_residual_encoder_takes_the_same_options_and_trains(tmp_path: Path, cases) -> None:
    options = TINY.model_copy(
        update={"planner": "nnUNetPlannerResEncM", "epochs": 1, "iterations_per_epoch": 1}
    )
    prepare_dataset(tmp_path / "data", cases, LABELS, SPLITS, options)
    train_fold(tmp_path / "data", 0, tmp_path / "model", options)
    plans = json.loads((tmp_path / "model" / "plans.json").read_text())
    network = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    assert network["n_blocks_per_stage"] == [1, 1]
    assert network["features_per_stage"] == [8, 16]
    image, _ = phantom(4)
    assert load_predictor([tmp_path / "model"], options).predict(image).shape == image.shape


def test_an_unknown_planner_is_named(tmp_path: Path, cases) -> None:
    with pytest.raises(ModelError, match="'NoPlanner'"):
        prepare_dataset(
            tmp_path, cases, LABELS, SPLITS, TINY.model_copy(update={"planner": "NoPlanner"})
        )


def test_what_nnunet_cannot_do_is_said(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fold 7"):
        train_fold(dataset, 7, tmp_path, TINY)
    with pytest.raises(ModelError, match="no prepared dataset"):
        train_fold(tmp_path, 0, tmp_path, TINY)


def test_a_processor_that_is_told_to_be_an_older_one_does_without_bfloat16() -> None:
    command = (
        "import torch\n"
        "from lvo_kedro.nnunet import NnUNetOptions\n"
        "from lvo_kedro.nnunet.acceleration.network import cpu_autocast\n"
        "with cpu_autocast(torch.device('cpu'), NnUNetOptions(precision='bfloat16')):\n"
        "    print(torch.is_autocast_enabled('cpu'))"
    )
    older = os.environ | {"ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", command], env=older, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "False"

"""A dataset for nnU-Net: its folds, its plans, and what is refused before anything is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold
from lvo_kedro.nnunet.dataset import read_prepared
from lvo_kedro.nnunet.environment import DATASET

from .conftest import LABELS, SPLITS, TINY, phantom

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

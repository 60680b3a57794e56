"""Without the acceleration it is nnU-Net itself that computes; with it the same comes out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import blosc2
import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import voxel_sizes
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset
from lvo_kedro.nnunet.environment import (
    DATASET,
    nnunet_environment,
    own_random_state,
    seed_everything,
)
from lvo_kedro.nnunet.frame import channels_of
from lvo_kedro.nnunet.trainer import FoldTrainer
from lvo_kedro.nnunet.training import _make_trainer

from .conftest import LABELS, SPLITS, TINY, phantom

pytestmark = pytest.mark.long

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = TINY.model_copy(update={"accelerate": False, "precision": "bfloat16"})
"""Asks for bfloat16 too, which is a part of the acceleration."""

DIFFERING = 2e-3
"""Share of the labelled voxels that may get another label (docs/segmentation.md)."""

SCANS = {
    "as planned": {"spacing": 2.0},
    "finer": {"shape": (40, 44, 34), "spacing": 1.4},
    "coarser": {"shape": (26, 26, 24), "spacing": 2.7},
}


def array(image: nib.Nifti1Image) -> np.ndarray:
    return np.asarray(image.dataobj)


def by_nnunet(folder: Path, image: nib.Nifti1Image, *, mirroring: bool) -> np.ndarray:
    """Labels (X, Y, Z) as nnU-Net's own predictor gives them for a scan in RAS+."""
    predictor = nnUNetPredictor(
        use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    found = predictor.predict_single_npy_array(
        channels_of(image).transpose(0, 3, 2, 1),
        {"spacing": [float(s) for s in voxel_sizes(image.affine)[::-1]]},
    )
    return np.asarray(found).transpose(2, 1, 0)


@pytest.mark.parametrize("mirroring", ["none", "all"])
@pytest.mark.parametrize("scan", SCANS)
def test_prediction(models: list[Path], scan: str, mirroring: str) -> None:
    image, _ = phantom(11, **SCANS[scan])
    theirs = by_nnunet(models[0], image, mirroring=mirroring == "all")
    assert set(np.unique(theirs)) == {0, 1, 2}
    chosen = {"mirror_prediction": mirroring}
    plain = load_predictor(models[:1], PLAIN.model_copy(update=chosen)).predict(image)
    assert np.array_equal(array(plain), theirs)
    quick = array(load_predictor(models[:1], TINY.model_copy(update=chosen)).predict(image))
    labelled = (quick > 0) | (theirs > 0)
    assert np.mean((quick != theirs)[labelled]) <= DIFFERING


def test_probabilities_of_an_ensemble(models: list[Path]) -> None:
    image, _ = phantom(12)
    plain, quick = (
        array(load_predictor(models, options).predict_probabilities(image))
        for options in (PLAIN, TINY)
    )
    assert not np.array_equal(plain, quick)  # else both went the same way
    np.testing.assert_allclose(quick, plain, atol=2e-3)  # logits are summed in half precision


def steps(trainer: nnUNetTrainer, count: int = 4) -> dict[str, torch.Tensor]:
    """Weights after a few steps on random batches, from a seeded start."""
    seed_everything(TINY.seed, trainer.fold)
    trainer.initialize()
    trainer.on_train_epoch_start()
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        batch: dict[str, Any] = {"data": torch.randn((2, 1, 16, 16, 16), generator=generator)}
        target = (batch["data"] > 1).short() + (batch["data"] > 2).short()
        batch["target"] = target
        trainer.train_step(batch)
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def trainers(
    dataset: Path, folder: Path, options: NnUNetOptions
) -> tuple[nnUNetTrainer, FoldTrainer]:
    """nnU-Net's own trainer as it comes, and ours with ``options``."""
    ours = _make_trainer(dataset, 0, options)
    ours.configure(options, folder, lambda row, epoch: None)
    plans = {**ours.plans_manager.plans, "continue_training": False}
    theirs = nnUNetTrainer(plans, "3d_fullres", 0, ours.dataset_json, torch.device("cpu"))
    return theirs, ours


@pytest.mark.parametrize("accelerate", [False, True])
def test_training(dataset: Path, tmp_path: Path, accelerate: bool) -> None:
    options = NnUNetOptions(
        accelerate=accelerate,
        precision="float32" if accelerate else "bfloat16",
        deep_supervision=False,
        device="cpu",
    )
    with nnunet_environment(dataset), own_random_state():
        both = trainers(dataset, tmp_path, options)
        both[0].enable_deep_supervision = False
        theirs, ours = map(steps, both)
    same = [torch.equal(ours[name], theirs[name]) for name in theirs]
    assert all(same) != accelerate  # another order of the sums
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-5)


def test_ours_are_nnunets_own_defaults(dataset: Path, tmp_path: Path) -> None:
    with nnunet_environment(dataset):
        theirs, ours = trainers(dataset, tmp_path, NnUNetOptions())
    for name in (
        *("num_epochs", "num_iterations_per_epoch", "num_val_iterations_per_epoch"),
        *("initial_lr", "weight_decay", "oversample_foreground_percent"),
        *("enable_deep_supervision", "save_every"),
    ):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.slow
def test_preparation(dataset: Path, tmp_path: Path, cases) -> None:
    prepare_dataset(tmp_path, cases, LABELS, SPLITS, PLAIN)
    plain, quick = (folder / "preprocessed" / DATASET for folder in (tmp_path, dataset))
    names = sorted(path.relative_to(quick) for path in quick.rglob("*.b2nd"))
    assert len(names) == 2 * len(cases)
    for name in names:
        # packed by several threads, the same values may be packed in another order
        values = [blosc2.open(str(folder / name), mode="r")[:] for folder in (plain, quick)]
        assert values[0].tobytes() == values[1].tobytes()
    assert (plain / "nnUNetPlans.json").read_text() == (quick / "nnUNetPlans.json").read_text()


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

"""A phantom head with two bright tubes, small enough to train on within seconds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import torch

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold

if TYPE_CHECKING:
    from pathlib import Path

LABELS = {"M1": 1, "M2": 2}
SPLITS = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c", "b"], "val": ["a"]}]
TINY = NnUNetOptions(
    window_hu=(0.0, 100.0),
    patch_size=(16, 16, 16),
    batch_size=2,
    features_per_stage=(8, 16),
    convolutions_per_stage=1,
    epochs=3,
    iterations_per_epoch=25,
    validation_iterations=1,
    optimizer="adamw",
    schedule="one_cycle",
    learning_rate=1e-2,
    deep_supervision=False,
    foreground_oversampling=0.67,
    augmentation="light",
    mirror_training="left_right",
    mirror_prediction="none",
    checkpoint_every=1,
    device="cpu",
)


def phantom(
    seed: int, shape: tuple[int, int, int] = (28, 32, 24), spacing: float = 2.0
) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """Noise of 30 HU with a tube of 70 HU along x (label 1) and one of 90 HU along y (label 2)."""
    rng = np.random.default_rng(seed)
    image = rng.normal(30, 3, shape).astype(np.float32)
    labels = np.zeros(shape, dtype=np.uint8)
    y, z = rng.integers(9, shape[1] - 9), rng.integers(7, shape[2] // 2 - 1)
    labels[6:-6, y - 2 : y + 2, z - 2 : z + 2] = 1
    x, z = rng.integers(9, shape[0] - 9), rng.integers(shape[2] // 2 + 3, shape[2] - 5)
    labels[x - 2 : x + 2, 5:-8, z - 2 : z + 2] = 2
    image += labels * 20 + 20 * (labels > 0)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * np.asarray(shape) / 2
    return make_image(image, affine), make_image(labels, affine)


def weights(folder: Path, fold: int = 0) -> dict[str, torch.Tensor]:
    path = folder / f"fold_{fold}" / "checkpoint_final.pth"
    stored: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["network_weights"]
    return stored


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="session")
def cases():
    return {name: partial(phantom, seed) for seed, name in enumerate("abc")}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, cases) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    prepare_dataset(folder, cases, LABELS, SPLITS, TINY)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> list[Path]:
    folders = [tmp_path_factory.mktemp("model") / f"fold_{k}" for k in range(2)]
    for fold, folder in enumerate(folders):
        train_fold(dataset, fold, folder, TINY)
    return folders


@pytest.fixture(scope="session")
def predictor(models: list[Path]):
    return load_predictor(models[:1], TINY)

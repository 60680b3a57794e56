"""Labels lie where the vessels lie: a network that only thresholds makes the answer known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine, voxel_sizes
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.nnunet import NnUNetOptions, Predictor

from .conftest import TINY

if TYPE_CHECKING:
    from collections.abc import Sequence

BRIGHT, DARK = np.array([14.0, -9.0, 5.0]), np.array([-16.0, 8.0, -7.0])
RADIUS = 11.0
VOLUME = 4 / 3 * np.pi * RADIUS**3


class Threshold(torch.nn.Module):
    """Label 1 above 80 HU, label 2 between 10 and 40 HU; 0 HU is what lies outside the scan.

    The window from 0 to 100 HU has become 0 to 4.
    """

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hu = 25 * image
        return torch.cat([torch.zeros_like(hu), hu - 80, 15 - (hu - 25).abs()], dim=1)


@pytest.fixture(scope="module")
def threshold(predictor: Predictor) -> nnUNetPredictor:
    """nnU-Net's predictor, planned for cubic voxels of 2 mm, with the network replaced."""
    trained = predictor._network
    network = nnUNetPredictor(
        tile_step_size=1.0, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False
    )
    network.manual_initialization(
        Threshold(),
        trained.plans_manager,
        trained.configuration_manager,
        [{}],
        trained.dataset_json,
        trainer_name=nnUNetTrainer.__name__,
        inference_allowed_mirroring_axes=(),
    )
    return network


def grid(axes: str, spacing: Sequence[float], turn: float = 0.0) -> tuple[tuple, np.ndarray]:
    """Shape and affine of a field of 100 mm about (4, -3, 2), turned about two axes."""
    directions = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row = next(r for r, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        directions[row, column] = 1 if letter in "RAS" else -1
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, c, -s], [0, s, c]]
    shape = tuple(int(np.ceil(100 / step)) for step in spacing)
    affine = np.eye(4)
    affine[:3, :3] = turned @ directions * np.asarray(spacing)
    affine[:3, 3] = [4, -3, 2] - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return shape, affine


def scan(shape: tuple[int, ...], affine: np.ndarray) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """Tissue of 60 HU with a ball of 100 HU and one of 20 HU; and a mask around both."""
    points = apply_affine(affine, np.stack(np.indices(shape), axis=-1))
    away = {hu: np.linalg.norm(points - at, axis=-1) for hu, at in ((100, BRIGHT), (20, DARK))}
    data = np.full(shape, 60.0, dtype=np.float32)
    for hu, distance in away.items():
        # the wall is as soft as a scanner's: its half height lies at the radius
        data += (hu - 60) / (1 + np.exp((distance - RADIUS) / 0.7))
    mask = np.minimum(*away.values()) < RADIUS + 4
    return make_image(data, affine), make_image(mask.astype(np.uint8), affine)


SCANS = {
    "as planned": grid("RAS", (2.0, 2.0, 2.0)),
    "finer": grid("RAS", (1.4, 1.4, 1.4)),
    "LAS": grid("LAS", (1.3, 1.3, 2.5)),
    "anisotropic": grid("RAS", (0.9, 0.9, 5.0)),
    "anisotropic PIR": grid("PIR", (1.0, 5.0, 1.0)),
    "oblique": grid("LPS", (1.2, 1.2, 3.0), turn=14.0),
    "oblique SRA": grid("SRA", (3.0, 1.5, 1.5), turn=-9.0),
}
WAYS = {
    "nnU-Net resamples": TINY,
    "cut to the mask": TINY.model_copy(update={"crop_margin_mm": 6.0}),
    "we resample": TINY.model_copy(update={"spacing_mm": 2.0, "crop_margin_mm": 6.0}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCANS)
def test_volume_and_place_agree_with_the_scan_to_one_voxel(
    threshold: nnUNetPredictor, name: str, way: str
) -> None:
    shape, affine = SCANS[name]
    options: NnUNetOptions = WAYS[way]
    image, mask = scan(shape, affine)
    found = Predictor(threshold, options, []).predict(image, mask)
    assert found.shape == shape
    assert np.array_equal(found.affine, image.affine)
    voxel = voxel_sizes(affine)
    for label, centre in ((1, BRIGHT), (2, DARK)):
        index = np.argwhere(np.asarray(found.dataobj) == label)
        # in voxels, along the axes of the array
        away = np.linalg.inv(affine[:3, :3]) @ (apply_affine(affine, index).mean(axis=0) - centre)
        assert np.abs(away).max() < 0.5
        volume = len(index) * voxel.prod()
        # half a voxel of the coarser grid at the wall, all around
        slack = 1.5 * max(*voxel, 2.0) / RADIUS
        assert volume == pytest.approx(VOLUME, rel=slack)

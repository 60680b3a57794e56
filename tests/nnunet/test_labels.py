"""Our way from logits to labels gives nnU-Net's labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape as convert_logits,
)
from scipy import ndimage

from lvo_kedro.nnunet import Predictor, export
from lvo_kedro.nnunet.acceleration.labels import labels_from_logits
from tests.lengths import one_of

# spacing of the scan (z, y, x) in mm; the network was planned for cubic voxels of 2 mm
SCANS = {
    "finer": (1.4, 1.1, 1.1),
    "coarser": (2.7, 2.9, 2.9),
    "as planned": (2.0, 2.0, 2.0),
    "thick slices": (7.0, 0.9, 0.9),
    "thick slices across y": (0.9, 7.0, 0.9),
}


def logits_and_properties(spacing: tuple[float, ...]) -> tuple[torch.Tensor, dict[str, Any]]:
    """Smooth logits of three labels on a grid of 2 mm, and what nnU-Net notes about the scan."""
    field = np.array([44.0, 52.0, 60.0])
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(3, *(field / 2).astype(int)))
    logits = 20 * ndimage.gaussian_filter(noise, (0, 2, 2, 2))
    shape = tuple(round(n) for n in field / spacing)
    box = [[2, 2 + shape[0]], [0, shape[1]], [1, 1 + shape[2]]]
    return torch.from_numpy(logits.astype(np.float16)), {
        "spacing": list(spacing),
        "shape_before_cropping": (shape[0] + 3, shape[1], shape[2] + 4),
        "bbox_used_for_cropping": box,
        "shape_after_cropping_and_before_resampling": shape,
    }


@pytest.mark.parametrize("name", one_of(3, SCANS))
def test_labels_are_those_of_nnunets_own_export(
    predictor: Predictor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = predictor._network
    logits, properties = logits_and_properties(SCANS[name])
    theirs = convert_logits(
        logits.clone(),
        network.plans_manager,
        network.configuration_manager,
        network.label_manager,
        properties,
        num_threads_torch=1,
    )
    asked: list[str] = []

    def by_nnunet(*arguments: Any, **named: Any) -> np.ndarray:
        asked.append(name)
        return np.asarray(convert_logits(*arguments, **named))

    monkeypatch.setattr(export, "convert_logits", by_nnunet)
    ours = labels_from_logits(logits, network, properties)
    assert asked == (["thick slices across y"] if name == "thick slices across y" else [])
    assert ours.shape == properties["shape_before_cropping"]
    assert len(np.unique(ours)) == 3
    assert np.mean(ours == np.asarray(theirs)) > 0.999

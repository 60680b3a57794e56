"""From logits to labels or probabilities on the grid that nnU-Net was given, as nnU-Net does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape as convert_logits,
)
from scipy import ndimage

from lvo_kedro.imaging.geometry import grid_of, make_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from numpy.typing import NDArray


def labels_of(
    logits: torch.Tensor, network: nnUNetPredictor, properties: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """Return labels (z, y, x).

    Args:
        logits: (labels, z, y, x) on nnU-Net's grid, its axes transposed as planned.
        network: Knows plans and configuration.
        properties: What nnU-Net's preprocessing noted about the image.
    """
    return np.asarray(_convert(logits, network, properties), dtype=np.uint8)


def probabilities_of(
    logits: torch.Tensor, network: nnUNetPredictor, properties: Mapping[str, Any]
) -> NDArray[np.float32]:
    """Return probabilities (labels, z, y, x), background first; arguments as for the labels."""
    _, probabilities = _convert(logits, network, properties, return_probabilities=True)
    return np.asarray(probabilities, dtype=np.float32)


def _convert(
    logits: torch.Tensor, network: nnUNetPredictor, properties: Mapping[str, Any], **wanted: bool
) -> Any:
    return convert_logits(
        *(logits, network.plans_manager, network.configuration_manager, network.label_manager),
        dict(properties),
        num_threads_torch=torch.get_num_threads(),
        **wanted,
    )


def remove_islands(labels: nib.Nifti1Image, smallest_ml: float) -> nib.Nifti1Image:
    """Remove connected foreground (all labels together, 26 neighbours) below a volume in ml."""
    data = np.asarray(labels.dataobj)
    if smallest_ml <= 0 or not data.any():
        return labels
    islands, _ = ndimage.label(data > 0, structure=np.ones((3, 3, 3)))
    small = np.bincount(islands.ravel()) * grid_of(labels).voxel_volume_ml < smallest_ml
    return make_image(np.where(small[islands], 0, data).astype(data.dtype), labels.affine)

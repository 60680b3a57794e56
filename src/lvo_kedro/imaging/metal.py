"""How much metal lies in or beside the brain, whose streaks hide what a model looks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import grid_of

if TYPE_CHECKING:
    import nibabel as nib

METAL_HU: Final = 2500.0
"""Denser than any bone; scanners that store 12 bits end at 3071 HU."""
NEAR_MM: Final = 10.0
"""Clips, coils, shunts and plates lie as near to the brain; fillings of teeth do not."""


def metal_volume(ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image) -> float:
    """Return the volume (ml) of what is denser than bone, in the brain or within 10 mm of it.

    Args:
        ncct: Head CT in HU.
        brain_mask: Non-zero inside the brain, on the same grid.

    Returns:
        ml; 0 without any.
    """
    brain = np.asarray(brain_mask.dataobj) > 0
    grid = grid_of(ncct)
    box = bounding_box(brain, margin=np.ceil(NEAR_MM / np.array(grid.spacing)))
    metal = np.asarray(ncct.dataobj[box]) > METAL_HU
    if not metal.any():
        return 0.0
    away = ndimage.distance_transform_edt(~brain[box], sampling=grid.spacing)
    return float((metal & (away <= NEAR_MM)).sum()) * grid.voxel_volume_ml

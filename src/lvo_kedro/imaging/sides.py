"""Whether an annotation lies on the side that the cohort table says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine

from lvo_kedro.errors import ScanError

if TYPE_CHECKING:
    import nibabel as nib

    from lvo_kedro.vocabulary import Side

TOLERANCE_MM = 10.0
"""The brain's centre is not its midline: heads are turned, and one hemisphere may be swollen."""


def check_side(
    mask: nib.Nifti1Image, brain_mask: nib.Nifti1Image, side: Side, role: str = "occlusion_mask"
) -> None:
    """Refuse an annotation whose centre lies clearly on the other side of the brain's centre.

    Args:
        mask: Non-zero where something is marked; any orientation.
        brain_mask: Of the same head; any grid.
        side: The patient's side on which it should lie.
        role: Column of the cohort table, for the message.

    Raises:
        ScanError: More than :data:`TOLERANCE_MM` on the patient's other side, along world x.
    """
    marked, brain = (_centre_x(image) for image in (mask, brain_mask))
    rightward = marked - brain
    found: Side = "right" if rightward > 0 else "left"
    if found != side and abs(rightward) > TOLERANCE_MM:
        raise ScanError(
            f"{role} {abs(rightward):.0f} mm to the patient's {found} of the brain's centre",
            f"the patient's {side}, as in the cohort table",
            "correct the side in the table, or the orientation of the mask",
        )


def _centre_x(image: nib.Nifti1Image) -> float:
    """Return world x (mm, growing to the patient's right) of the centre of what is not 0."""
    index = np.argwhere(np.asarray(image.dataobj) > 0)
    return float(apply_affine(image.affine, index.mean(axis=0))[0])

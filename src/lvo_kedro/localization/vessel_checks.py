"""Whether vessel labels can be right at all: what each side of the head should hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.imaging.geometry import grid_of, make_image, world_axis
from lvo_kedro.imaging.midplane import Midplane, midplane_of
from lvo_kedro.vocabulary import HEMISPHERES, OCCLUSION_LABELS, VESSEL_LABELS, Side

if TYPE_CHECKING:
    import nibabel as nib

PLAUSIBLE_ML: Final[dict[str, tuple[float, float]]] = {
    "C7": (0.05, 3.0),
    "M1": (0.1, 4.0),
    "M2": (0.2, 8.0),
}
"""Volume in ml of a segment on one side, from thin true lumina to generous annotations."""


def split_by_side(
    vessel_labels: nib.Nifti1Image, midplane: Midplane | nib.Nifti1Image
) -> dict[Side, nib.Nifti1Image]:
    """Divide vessel labels into the patient's left and right, in world coordinates.

    Args:
        vessel_labels: Label image, any orientation.
        midplane: The plane, or the hemisphere image to take it from.

    Returns:
        For each side the labels on it (uint8), 0 elsewhere, on the same grid.

    Raises:
        ScanError: As :func:`midplane_of`.
    """
    plane = midplane if isinstance(midplane, Midplane) else midplane_of(midplane)
    grid = grid_of(vessel_labels)
    distance = sum(
        plane.normal[axis] * (world_axis(grid, axis) - plane.point[axis]) for axis in range(3)
    )
    data = np.asarray(vessel_labels.dataobj)
    return {
        side: make_image(
            np.where((distance > 0) == (side == "right"), data, 0).astype(np.uint8),
            vessel_labels.affine,
        )
        for side in HEMISPHERES
    }


def check_vessels(
    vessel_labels: nib.Nifti1Image, midplane: Midplane | nib.Nifti1Image
) -> list[str]:
    """Say what is implausible about segmented vessels.

    Args:
        vessel_labels: Label image, any orientation.
        midplane: The plane between the hemispheres, or the hemisphere image to take it from.

    Returns:
        Findings in words: a segment that a side lacks, or whose volume is not within
        :data:`PLAUSIBLE_ML`. Empty when there is none.

    Raises:
        ScanError: As :func:`midplane_of`.
    """
    findings = []
    voxel_ml = grid_of(vessel_labels).voxel_volume_ml
    for side, image in split_by_side(vessel_labels, midplane).items():
        counts = np.bincount(np.asarray(image.dataobj).ravel(), minlength=len(VESSEL_LABELS) + 1)
        for segment, (low, high) in PLAUSIBLE_ML.items():
            volume = float(counts[OCCLUSION_LABELS[segment]]) * voxel_ml
            if volume == 0:
                findings.append(f"{side} {segment} not found")
            elif not low <= volume <= high:
                expected = f"expected {low:g} to {high:g} ml"
                findings.append(f"{side} {segment} of {volume:.2f} ml, {expected}")
    return findings

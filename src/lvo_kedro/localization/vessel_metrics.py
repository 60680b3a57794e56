"""How well vessel labels agree with an annotation, and whether they can be right at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import SimpleITK as sitk
from nibabel.affines import voxel_sizes
from skimage.morphology import skeletonize

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import grid_of, make_image, world_axis
from lvo_kedro.localization.midplane import Midplane, midplane_of
from lvo_kedro.vocabulary import HEMISPHERES, OCCLUSION_LABELS, VESSEL_LABELS, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from numpy.typing import NDArray

COLUMNS: Final = ("label", "dice", "cldice", "hd95_mm", "msd_mm", "volume_error", "missing")

PLAUSIBLE_ML: Final[dict[str, tuple[float, float]]] = {
    "C7": (0.05, 3.0),
    "M1": (0.1, 4.0),
    "M2": (0.2, 8.0),
}
"""Volume in ml of a segment on one side, from thin true lumina to generous annotations."""


def measure_vessels(
    predicted: nib.Nifti1Image,
    annotated: nib.Nifti1Image,
    labels: Mapping[str, int] = VESSEL_LABELS,
) -> pd.DataFrame:
    """Compare predicted with annotated vessels.

    Args:
        predicted: Label image.
        annotated: Label image on the same grid.
        labels: Names and values.

    Returns:
        A row a label: ``dice``, ``cldice`` (Shit et al. 2021, on skeletons), ``hd95_mm`` and
        ``msd_mm`` (symmetric surface distances), ``volume_error`` (predicted over annotated minus
        1) and ``missing`` (annotated but not predicted). Distances are NaN where one is empty,
        everything is NaN where both are.

    Raises:
        ScanError: Where the images are not on one grid.
    """
    if predicted.shape != annotated.shape:
        raise ScanError(
            f"labels of shape {predicted.shape}", f"{annotated.shape}", "compare on one grid"
        )
    spacing = voxel_sizes(annotated.affine)
    found, truth = np.asarray(predicted.dataobj), np.asarray(annotated.dataobj)
    rows = []
    for name, value in labels.items():
        rows.append({"label": name, **_agreement(found == value, truth == value, spacing)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def split_by_side(
    vessel_labels: nib.Nifti1Image, midplane: Midplane | nib.Nifti1Image
) -> dict[Side, nib.Nifti1Image]:
    """Divide vessel labels into the patient's left and right, in world coordinates.

    Args:
        vessel_labels: Label image, any orientation.
        midplane: The plane, or the hemisphere image to take it from.
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
    """Return what is implausible about segmented vessels, in words; empty when nothing is."""
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


def _agreement(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> dict[str, float | bool]:
    nan = float("nan")
    volumes = int(found.sum()), int(truth.sum())
    if not any(volumes):
        return dict.fromkeys(COLUMNS[1:-1], nan) | {"missing": False}
    row: dict[str, float | bool] = {
        "dice": 2.0 * float((found & truth).sum()) / sum(volumes),
        "cldice": 0.0,
        "hd95_mm": nan,
        "msd_mm": nan,
        "volume_error": volumes[0] / volumes[1] - 1 if volumes[1] else nan,
        "missing": bool(volumes[1] and not volumes[0]),
    }
    if all(volumes):
        box = bounding_box(found | truth, margin=1)
        row["cldice"] = _centreline_dice(found[box], truth[box])
        row["hd95_mm"], row["msd_mm"] = _surface_distances(found[box], truth[box], spacing)
    return row


def _centreline_dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    found_line, true_line = skeletonize(found) > 0, skeletonize(truth) > 0
    if not found_line.any() or not true_line.any():
        return 0.0
    precision = float((found_line & truth).sum()) / float(found_line.sum())
    sensitivity = float((true_line & found).sum()) / float(true_line.sum())
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def _surface_distances(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the 95th percentile and the mean of surface distances, both ways together (mm)."""
    one, other = (_sitk(np.pad(mask, 1), spacing) for mask in (found, truth))
    distances = np.concatenate([_from_surface(one, other), _from_surface(other, one)])
    return float(np.percentile(distances, 95)), float(distances.mean())


def _from_surface(one: sitk.Image, other: sitk.Image) -> NDArray[np.float32]:
    away = sitk.SignedMaurerDistanceMap(
        sitk.LabelContour(other), squaredDistance=False, useImageSpacing=True
    )
    surface = sitk.GetArrayFromImage(sitk.LabelContour(one)) > 0
    values: NDArray[np.float32] = sitk.GetArrayFromImage(away)[surface]
    return np.maximum(values, 0)  # below 0 where the surfaces coincide


def _sitk(mask: NDArray[np.bool_], spacing: NDArray[np.float64]) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8).transpose(2, 1, 0))
    image.SetSpacing([float(s) for s in spacing])
    return image

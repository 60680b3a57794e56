"""How well vessel labels agree with an annotation, label by label in one case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.morphology import skeletonize

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.vocabulary import VESSEL_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from numpy.typing import NDArray

COLUMNS: Final = ("label", "dice", "cldice", "hd95_mm", "msd_mm", "volume_error", "missing")


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
        A row per label: ``dice``, ``cldice`` (Shit et al. 2021, on skeletons), ``hd95_mm`` and
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
    """Return the 95th percentile and the mean of surface distances, both ways together (mm).

    MONAI's Hausdorff distance takes the percentile of each way and then the larger of the two.
    """
    one, other = (
        np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in (found, truth)
    )
    ways = (KDTree(other).query(one)[0], KDTree(one).query(other)[0])
    distances = np.concatenate(ways)
    return float(np.percentile(distances, 95)), float(distances.mean())

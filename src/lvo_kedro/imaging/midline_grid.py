"""A grid around the brain whose middle sagittal plane is the plane between the hemispheres.

RAS+: the first axis grows to the patient's right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import Grid, to_ras

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray


def brain_grid(
    brain: nib.Nifti1Image,
    hemispheres: nib.Nifti1Image | None,
    spacing_mm: float,
    shape: tuple[int, int, int],
) -> Grid:
    """Return the isotropic grid of ``shape`` voxels that is centred on the brain.

    The centre is the middle between the brain's 1st and 99th percentile along each axis; along the
    first it lies on the plane between the hemispheres, where they are given. A brain larger than
    the grid loses its rim, evenly on both ends.

    Args:
        brain: Non-zero in the brain.
        hemispheres: 1 in the patient's left, 2 in the right half: the grid is turned so that the
            plane between them is its middle sagittal plane. None: it follows the scan's own axes.
        spacing_mm: Edge of a voxel.
        shape: Voxels along x, y and z.

    Raises:
        ScanError: No brain, or no two hemispheres that touch.
    """
    brain = to_ras(brain)
    rotation = _straight_axes(brain.affine)
    filled = np.argwhere(np.asarray(brain.dataobj) > 0)
    if len(filled) == 0:
        raise ScanError("an empty brain mask", "a brain", "look at the brain mask of this case")
    offset = None
    if hemispheres is not None:
        rotation, offset = _midline_axes(to_ras(hemispheres), rotation)
    along = apply_affine(brain.affine, filled[:: max(1, len(filled) // 200_000)]) @ rotation
    centre = np.percentile(along, [1, 99], axis=0).mean(axis=0)
    if offset is not None:
        centre[0] = offset
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing_mm
    first = centre - spacing_mm * (np.asarray(shape) - 1) / 2
    affine[:3, 3] = rotation @ first
    return Grid(shape, affine)


def _straight_axes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the right-angled axes (columns) nearest to those of an affine."""
    left, _, right = np.linalg.svd(affine[:3, :3] / voxel_sizes(affine))
    axes: NDArray[np.float64] = left @ right
    return axes


def _midline_axes(
    hemispheres: nib.Nifti1Image, rotation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Turn ``rotation`` so that its first axis is normal to the plane between the hemispheres.

    Returns:
        The axes as columns, and the plane's coordinate (mm) along the first of them.
    """
    labels = np.asarray(hemispheres.dataobj)
    left, right = labels == 1, labels == 2
    rows, columns = np.nonzero(left.any(axis=0) & right.any(axis=0))
    if len(rows) < 50:
        raise ScanError(
            f"two hemispheres side by side on {len(rows)} lines",
            "labels 1 (left) and 2 (right) that meet at the midline",
            "look at the hemispheres of this case, or use `frame: native`",
        )
    last_left = len(labels) - 1 - np.argmax(left[::-1, rows, columns], axis=0)
    first_right = np.argmax(right[:, rows, columns], axis=0)
    index = np.column_stack([(last_left + first_right) / 2, rows, columns])
    x, y, z = (apply_affine(hemispheres.affine, index) @ rotation).T
    keep = np.ones(len(x), dtype=bool)
    for _ in range(4):  # least squares without the lines where one lobe bulges over the midline
        design = np.column_stack([np.ones(len(x)), y, z])
        plane = np.linalg.lstsq(design[keep], x[keep], rcond=None)[0]
        error = np.abs(x - design @ plane)
        keep = error <= 3 * np.median(error) + 1e-6
    normal = np.array([1.0, -plane[1], -plane[2]])
    length = np.linalg.norm(normal)
    first = normal / length
    second = np.array([0.0, 1.0, 0.0]) - first[1] * first
    second /= np.linalg.norm(second)
    turned = np.column_stack([first, second, np.cross(first, second)])
    return rotation @ turned, float(plane[0] / length)

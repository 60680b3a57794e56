"""Lines of arteries drawn as labels, all of one width, as annotators do on plain scans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree

from lvo_kedro.imaging.boxes import covering_box
from lvo_kedro.imaging.geometry import make_image

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid


def draw_lines(
    points: NDArray[np.float64], values: NDArray[np.uint8], grid: Grid, width_mm: float
) -> nib.Nifti1Image:
    """Give every voxel within half a width of a line the value of its nearest point.

    Args:
        points: (N, 3) world mm; closer to one another than a voxel.
        values: (N,) of the points.
        grid: Of the image to be drawn; sheared ones included.
        width_mm: Of the lines.

    Returns:
        uint8 on ``grid``, 0 elsewhere.
    """
    labels = np.zeros(grid.shape, np.uint8)
    if len(points) == 0:
        return make_image(labels, grid.affine)
    edges = np.linalg.norm(np.linalg.inv(grid.affine)[:3, :3], axis=1)
    box = covering_box(points, grid, np.ceil(width_mm / 2 * edges))
    part = grid.part(box)
    voxels = np.moveaxis(np.indices(part.shape), 0, -1)
    distance, nearest = cKDTree(points).query(
        apply_affine(part.affine, voxels), distance_upper_bound=width_mm / 2
    )
    inside = np.isfinite(distance)
    drawn = labels[box]
    drawn[inside] = values[nearest[inside]]
    return make_image(labels, grid.affine)

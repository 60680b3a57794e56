"""The published padded grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine

from lvo_kedro.detection.options import PUBLISHED_SHAPE
from lvo_kedro.errors import CaseError, ScanError
from lvo_kedro.imaging.geometry import Grid, grid_of, to_ras

if TYPE_CHECKING:
    import nibabel as nib


def published_grid(ncct: nib.Nifti1Image) -> Grid:
    """Return the scan's own RAS+ voxels, padded evenly to 512 x 512 x 200.

    Raises:
        ScanError: The scan has more voxels than that along an axis.
    """
    grid = grid_of(to_ras(ncct))
    spare = np.subtract(PUBLISHED_SHAPE, grid.shape)
    if (spare < 0).any():
        raise ScanError(
            f"a scan of {grid.shape} voxels",
            f"at most {PUBLISHED_SHAPE} on the published grid",
            "use `grid: brain`, or resample the scan to thicker slices",
        )
    affine = grid.affine.copy()
    affine[:3, 3] = apply_affine(grid.affine, -(spare // 2))
    return Grid(PUBLISHED_SHAPE, affine)


def missing(channel: str) -> CaseError:
    """Return the error for a channel that is not there."""
    return CaseError(
        f"no {channel}",
        "every configured channel",
        "run the stage that makes it, or take it out of `channels`",
    )

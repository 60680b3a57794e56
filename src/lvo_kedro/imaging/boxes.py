"""Boxes of voxels: where a mask lies in its own array, and where its box lies on another grid.

A *box* is a slice of whole voxels along each of three array axes, with start and stop.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from nibabel.affines import apply_affine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    from lvo_kedro.imaging.geometry import Grid

Box = tuple[slice, slice, slice]


def box_between(start: Iterable[float], stop: Iterable[float]) -> Box:
    """Return the box from the voxel ``start`` to that before ``stop``, a number for each axis."""
    x, y, z = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return x, y, z


def bounding_box(mask: NDArray[np.bool_], margin: ArrayLike = 0) -> Box:
    """Return the box of the true voxels of ``mask`` (X, Y, Z), clipped to the array.

    Args:
        mask: At least one voxel is true.
        margin: Voxels by which the box is wider on either side: one number, or one per axis.

    Raises:
        ValueError: No voxel is true.
    """
    wider = np.broadcast_to(np.asarray(margin, dtype=int), 3)
    low, high, part = [], [], mask
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        present = np.flatnonzero(part.any(axis=others))
        if present.size == 0:
            raise ValueError("an empty mask has no box")
        low.append(max(0, int(present[0]) - int(wider[axis])))
        high.append(min(mask.shape[axis], int(present[-1]) + 1 + int(wider[axis])))
        # what the first axes leave out need not be looked at again
        part = part[(slice(None),) * axis + (slice(present[0], present[-1] + 1),)]
    return box_between(low, high)


def whole_box(shape: tuple[int, ...]) -> Box:
    """Return the box of all voxels of an array (X, Y, Z, ...)."""
    return box_between([0, 0, 0], shape[:3])


def box_corners(affine: NDArray[np.float64], box: Box, margin: float = 0.0) -> NDArray[np.float64]:
    """Return the world coordinates (mm; (8, 3)) of a box's outermost voxel centres.

    Args:
        affine: Voxel to world.
        box: Of voxels.
        margin: Voxels, also parts of one, by which the corners lie further out; not clipped.
    """
    ends = [(part.start - margin, part.stop - 1 + margin) for part in box]
    return apply_affine(affine, np.array(list(product(*ends)), dtype=float))


def covering_box(points: NDArray[np.float64], grid: Grid, margin: ArrayLike = 0) -> Box:
    """Return the box of ``grid`` whose voxel centres enclose world points, as far as it reaches.

    Points beyond the grid give its nearest voxels: a box has at least one along each axis.

    Args:
        points: World coordinates in mm, (N, 3).
        grid: Any grid.
        margin: Voxels of the grid by which the box is wider on either side.
    """
    # rounded, lest a point on a voxel's centre need its neighbour as well
    index = np.round(apply_affine(np.linalg.inv(grid.affine), points), 6)
    low = np.clip(np.floor(index.min(axis=0) - margin), 0, np.asarray(grid.shape) - 1)
    high = np.clip(np.ceil(index.max(axis=0) + margin) + 1, low + 1, grid.shape)
    return box_between(low, high)

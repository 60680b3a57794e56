"""Grids and orientations, always through world coordinates.

Vocabulary
    *image*: a :class:`nibabel.Nifti1Image`, that is data **and** affine.
    *world*: NIfTI's patient space in millimetres; x grows to the patient's **right**,
    y to the front (anterior), z to the head (superior).
    *grid*: a shape and an affine without data, where an image may be sampled.
    *RAS+*: array axes run along the world's axes as nearly as the grid's own directions allow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from lvo_kedro.imaging.boxes import bounding_box, box_corners, whole_box

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from lvo_kedro.imaging.boxes import Box


class Grid(NamedTuple):
    """Where an image is sampled: voxel counts and the voxel-to-world affine (mm)."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxels along each array axis."""
        x, y, z = voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in ml, right for oblique and sheared grids as well."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def part(self, box: Box) -> Grid:
        """Return the grid of the voxels in ``box``."""
        affine = self.affine.copy()
        affine[:3, 3] = apply_affine(self.affine, [part.start for part in box])
        x, y, z = (int(part.stop - part.start) for part in box)
        return Grid((x, y, z), affine)


def grid_of(image: nib.Nifti1Image) -> Grid:
    """Return the grid on which ``image`` (3D) is sampled."""
    x, y, z = image.shape[:3]
    return Grid((int(x), int(y), int(z)), np.asarray(image.affine, dtype=float))


def make_image(data: ArrayLike, affine: ArrayLike) -> nib.Nifti1Image:
    """Return an image whose header carries geometry and data type alone: no names, no dates."""
    data, affine = np.asarray(data), np.asarray(affine, dtype=float)
    if data.dtype == bool:
        data = data.astype(np.uint8)
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1, strip_shears=True)
    return image


def to_ras(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Reorder and flip the array axes to RAS+; no value is interpolated and no voxel moves."""
    return nib.as_closest_canonical(image)


def is_sheared(affine: ArrayLike, tolerance: float = 1e-3) -> bool:
    """Tell whether the array axes are not at right angles (an uncorrected gantry tilt)."""
    directions = np.asarray(affine)[:3, :3] / voxel_sizes(np.asarray(affine))
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() > tolerance)


def straight_grid(image: nib.Nifti1Image) -> Grid:
    """Return a right-angled grid that covers a sheared ``image`` and keeps its slice planes.

    Slices are taken to be stacked along the axis whose two companions are at right angles (the
    coarsest such axis). Only that axis is turned, onto the slices' normal: sampling a tilted
    scan on this grid shifts rows within their slice and interpolates in no other direction.
    """
    columns = image.affine[:3, :3]
    rotation = columns / voxel_sizes(image.affine)
    skew = np.array([abs(rotation[:, a - 2] @ rotation[:, a - 1]) for a in range(3)])
    coarse = voxel_sizes(image.affine)
    stacked = max(range(3), key=lambda a: (skew[a] <= skew.min() + 1e-3, coarse[a], a))
    first, second = (stacked + 1) % 3, (stacked + 2) % 3
    within = rotation[:, second] - rotation[:, first] * (rotation[:, first] @ rotation[:, second])
    rotation[:, second] = within / np.linalg.norm(within)
    normal = np.cross(rotation[:, first], rotation[:, second])
    rotation[:, stacked] = normal * np.sign(normal @ columns[:, stacked])
    spacing = np.einsum("ia,ia->a", rotation, columns)
    return _covering_grid(rotation, spacing, box_corners(image.affine, whole_box(image.shape)))


def box_overlap(image: nib.Nifti1Image, other: nib.Nifti1Image) -> float:
    """Return the part (0 to 1) of ``other``'s voxels, thinned out, that lie in ``image``'s box."""
    index = np.stack(
        np.meshgrid(*(np.linspace(0, n - 1, min(n, 24)) for n in other.shape[:3])), axis=-1
    )
    inside = apply_affine(np.linalg.inv(image.affine) @ other.affine, index)
    upper = np.asarray(image.shape[:3]) - 0.5
    return float(np.all((inside > -0.5) & (inside < upper), axis=-1).mean())


def world_axis(grid: Grid, axis: int) -> NDArray[np.float32]:
    """Return one world coordinate (0: x, 1: y, 2: z; mm) of every voxel, in the grid's shape."""
    i, j, k = (np.arange(n, dtype=np.float32) for n in grid.shape)
    row = grid.affine[axis].astype(np.float32)
    return row[0] * i[:, None, None] + row[1] * j[:, None] + row[2] * k + row[3]


def isotropic_grid(
    image: nib.Nifti1Image,
    spacing: float,
    mask: nib.Nifti1Image | None = None,
    margin: float = 0.0,
) -> Grid:
    """Return a grid of cubic voxels along ``image``'s own axes.

    Args:
        image: Its array axes give the directions; a sheared image gives the nearest right angles.
        spacing: Edge of a voxel in mm.
        mask: Where given, the grid covers its non-zero voxels only (any grid).
        margin: Added on every side, in mm.

    Raises:
        ValueError: The mask is empty.
    """
    directions = image.affine[:3, :3] / voxel_sizes(image.affine)
    left, _, right = np.linalg.svd(directions)
    rotation = left @ right
    shown, box = image, whole_box(image.shape)
    if mask is not None:
        shown, box = mask, bounding_box(np.asarray(mask.dataobj) > 0)
    corners = box_corners(shown.affine, box)
    return _covering_grid(rotation, np.full(3, float(spacing)), corners, margin)


def _covering_grid(
    rotation: NDArray[np.float64],
    spacing: NDArray[np.float64],
    points: NDArray[np.float64],
    margin: float = 0.0,
) -> Grid:
    """Return the grid along ``rotation``'s columns whose voxel centres enclose all ``points``."""
    along = points @ rotation
    low, high = along.min(axis=0) - margin, along.max(axis=0) + margin
    count = np.ceil((high - low) / spacing - 1e-4).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = rotation @ low
    return Grid((int(count[0]), int(count[1]), int(count[2])), affine)

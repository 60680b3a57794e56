"""Planes through a patient as radiologists look at them, whatever the order of an image's array.

Every picture is sampled in world coordinates, so that array order, flips and oblique scans make no
difference. The world axis across a picture always falls from the viewer's left to right: an axial
or coronal plane has the patient's right on the viewer's left, a sagittal one the face on the left.
The other axis rises from bottom to top (front, or head, up).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from nibabel.orientations import aff2axcodes

from lvo_kedro.imaging.geometry import Grid, to_ras
from lvo_kedro.imaging.resampling import resample

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

Plane = Literal["axial", "coronal", "sagittal"]
WORLD_AXES: Final[dict[Plane, tuple[int, int, int]]] = {
    "axial": (0, 1, 2),
    "coronal": (0, 2, 1),
    "sagittal": (1, 2, 0),
}
"""World axis (0: x, 1: y, 2: z) across a picture, up it, and through it."""
OPPOSITE: Final = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}


@dataclass(frozen=True)
class View:
    """A rectangle in the patient, at right angles to a world axis.

    Attributes:
        plane: Which two world axes it spans.
        at: Where it crosses the third, in world mm.
        low: Lowest world coordinate across and up, mm.
        high: Highest world coordinate across and up, mm.
        spacing: Edge of a pixel, mm.
    """

    plane: Plane
    at: float
    low: tuple[float, float]
    high: tuple[float, float]
    spacing: float

    @property
    def grid(self) -> Grid:
        """Pixels as a grid (rows, columns, 1) that starts at the viewer's top left."""
        across, up, through = WORLD_AXES[self.plane]
        columns, rows = (
            max(round((high - low) / self.spacing), 1)
            for low, high in zip(self.low, self.high, strict=True)
        )
        affine = np.zeros((4, 4))
        affine[up, 0] = affine[across, 1] = -self.spacing  # down the rows, along the columns
        affine[through, 2] = self.spacing
        affine[across, 3] = self.high[0] - self.spacing / 2
        affine[up, 3] = self.high[1] - self.spacing / 2
        affine[through, 3] = self.at
        affine[3, 3] = 1.0
        return Grid((rows, columns, 1), affine)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """World mm at the viewer's left, right, bottom and top edge of the pixels."""
        (rows, columns, _), edge = self.grid.shape, self.spacing
        left, top = self.high
        return left, left - columns * edge, top - rows * edge, top

    @property
    def letters(self) -> dict[str, str]:
        """The patient's side at the viewer's ``left``, ``right``, ``bottom`` and ``top``."""
        bottom, right, _ = aff2axcodes(self.grid.affine)
        return {"left": OPPOSITE[right], "right": right, "bottom": bottom, "top": OPPOSITE[bottom]}

    def sample(self, image: Nifti1Image, order: int = 1, fill: float = 0.0) -> NDArray[np.float32]:
        """Pixels as the viewer sees them, (rows, columns), the first at the top left.

        Args:
            image: 3D, in any orientation.
            order: 1 for intensities, 0 for labels.
            fill: Outside the image.
        """
        return np.asarray(resample(image, self.grid, order, fill).dataobj, dtype=np.float32)[..., 0]


def view_of(
    image: Nifti1Image,
    plane: Plane = "axial",
    at: float | None = None,
    *,
    marked_only: bool = False,
    margin: float = 0.0,
) -> View:
    """Return the view that shows a whole image.

    Args:
        image: 3D, in any orientation.
        plane: Which way to look.
        at: World mm along the third axis; without it the middle of the image.
        marked_only: Show the voxels above 0 only.
        margin: Added on every side, mm.

    Raises:
        ValueError: Nothing is marked.
    """
    across, up, through = WORLD_AXES[plane]
    first, last = np.zeros(3), np.asarray(image.shape[:3]) - 1.0
    if marked_only:
        index = np.argwhere(np.asarray(image.dataobj) > 0)
        if not len(index):
            raise ValueError("nothing is marked: there is no part to show")
        first, last = index.min(axis=0), index.max(axis=0)
    corners = np.stack(np.meshgrid(*zip(first - 0.5, last + 0.5, strict=True)), axis=-1)
    world = apply_affine(image.affine, corners.reshape(-1, 3))
    low, high = world.min(axis=0), world.max(axis=0)
    return View(
        plane,
        float((low[through] + high[through]) / 2 if at is None else at),
        (float(low[across] - margin), float(low[up] - margin)),
        (float(high[across] + margin), float(high[up] + margin)),
        float(voxel_sizes(image.affine).min()),
    )


def level_of(image: Nifti1Image) -> float | None:
    """World z (mm) of the slice that holds most of an image; None where all of it is 0."""
    straight = to_ras(image)
    weights = np.abs(np.nan_to_num(np.asarray(straight.dataobj, dtype=np.float32)))
    if not weights.any():
        return None
    k = int(weights.sum(axis=(0, 1)).argmax())
    i, j = (np.average(np.arange(n), weights=weights[:, :, k].sum(axis=1 - axis))
            for axis, n in enumerate(weights.shape[:2]))  # fmt: skip
    return float(apply_affine(straight.affine, (i, j, k))[2])

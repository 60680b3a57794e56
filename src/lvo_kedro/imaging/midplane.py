"""Left and right, told in world coordinates: by the plane between the hemispheres."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from nibabel.affines import apply_affine, from_matvec

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.vocabulary import HEMISPHERES, Side

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import ArrayLike, NDArray


class Midplane(NamedTuple):
    """A plane with its normal to the patient's right.

    Attributes:
        point: A point on it (world mm).
        normal: Unit vector; its x is positive, because x grows to the right.
    """

    point: NDArray[np.float64]
    normal: NDArray[np.float64]

    def distance(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the distance (mm) of points (..., 3) to the plane; positive on the right."""
        offset: NDArray[np.float64] = np.asarray(points, dtype=float) - self.point
        return offset @ self.normal

    def side(self, point: ArrayLike) -> Side:
        """Return the side on which one point (3,) lies."""
        return "right" if float(self.distance(point)) > 0 else "left"

    def mirror(self) -> NDArray[np.float64]:
        """Return the affine (4, 4) that takes world points to their mirror images."""
        turn = np.eye(3) - 2 * np.outer(self.normal, self.normal)
        return from_matvec(turn, self.point - turn @ self.point)


def split_mask(mask: nib.Nifti1Image, midplane: Midplane) -> nib.Nifti1Image:
    """Return a mask's voxels labelled by the side on which they lie.

    Args:
        mask: > 0 inside, any orientation.
        midplane: What parts left from right.

    Returns:
        uint8 on the same grid: 1 patient's left, 2 right, 0 outside the mask.
    """
    inside = np.argwhere(np.asarray(mask.dataobj) > 0)
    right = midplane.distance(apply_affine(mask.affine, inside)) > 0
    labels = np.zeros(mask.shape, dtype=np.uint8)
    labels[tuple(inside.T)] = np.where(right, HEMISPHERES["right"], HEMISPHERES["left"])
    return make_image(labels, mask.affine)


def midplane_at(x: float = 0.0) -> Midplane:
    """Return the sagittal plane at world ``x``.

    Args:
        x: Position in mm; 0 is the origin of the scan's world.
    """
    return Midplane(np.array([x, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))


def midplane_of(hemispheres: nib.Nifti1Image) -> Midplane:
    """Return the plane half-way between the centroids of the hemispheres.

    Args:
        hemispheres: 1 patient's left, 2 right, on any grid.

    Raises:
        ScanError: Where a hemisphere is missing or label 1 lies to the right of label 2.
    """
    data = np.asarray(hemispheres.dataobj)
    centre = {}
    for side, label in HEMISPHERES.items():
        index = np.argwhere(data == label)
        if len(index) == 0:
            raise ScanError(
                f"no {side} hemisphere", "labels 1 (left) and 2 (right)", "compute the priors again"
            )
        centre[side] = apply_affine(hemispheres.affine, index.mean(axis=0))
    across = centre["right"] - centre["left"]
    if across[0] <= 0:
        raise ScanError(
            "a left hemisphere on the patient's right",
            "label 1 at smaller world x than label 2",
            "check the hemisphere atlas and the scan's affine",
        )
    return Midplane((centre["left"] + centre["right"]) / 2, across / np.linalg.norm(across))

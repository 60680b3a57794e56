"""A head of three vessels per side, drawn in world coordinates on any grid."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest

from lvo_kedro.imaging.geometry import Grid, make_image, world_axis
from lvo_kedro.vocabulary import HEMISPHERES, VESSEL_LABELS

# centre (right side) and half extent in mm of a box per segment; C7 lies below M1
BOXES = {
    "C7": ((12.0, 4.0, -16.0), (4.0, 6.0, 5.0)),
    "M1": ((26.0, 4.0, -6.0), (9.0, 4.0, 4.0)),
    "M2": ((42.0, -6.0, 2.0), (5.0, 14.0, 5.0)),
}
PATENT, CLOT = 40.0, 65.0


class Head(NamedTuple):
    ncct: nib.Nifti1Image
    vessels: nib.Nifti1Image
    clot: nib.Nifti1Image
    hemispheres: nib.Nifti1Image
    centre: np.ndarray


def draw_head(grid: Grid, segments: tuple[str, ...] = ("M1",), side: str = "left") -> Head:
    x, y, z = (world_axis(grid, axis).astype(float) for axis in range(3))
    hu = np.full(grid.shape, 30.0, dtype=np.float32)
    vessels = np.zeros(grid.shape, dtype=np.uint8)
    clot = np.zeros(grid.shape, dtype=np.uint8)
    for name, (centre, half) in BOXES.items():
        for sign, this_side in ((-1, "left"), (1, "right")):
            inside = np.abs(x - sign * centre[0]) <= half[0]
            inside = (
                inside & (np.abs(y - centre[1]) <= half[1]) & (np.abs(z - centre[2]) <= half[2])
            )
            vessels[inside] = VESSEL_LABELS[name]
            hu[inside] = PATENT
            if this_side == side and name in segments:
                clot[inside] = VESSEL_LABELS[name]
                hu[inside] = CLOT
    index = np.argwhere(clot > 0)
    centre = nib.affines.apply_affine(grid.affine, index).mean(0) if len(index) else np.zeros(3)
    hemispheres = np.where(x > 0, HEMISPHERES["right"], HEMISPHERES["left"]) + 0 * vessels
    images = (make_image(a, grid.affine) for a in (hu, vessels, clot, hemispheres.astype(np.uint8)))
    return Head(*images, centre)


def grid_with(axes: str = "RAS", spacing=(1.5, 1.5, 2.0), turn=(0.0, 0.0, 0.0), shear=0.0) -> Grid:
    """A grid around the head with array axes such as ``LPS``, turned by degrees about x, y, z."""
    size = np.array([130.0, 90.0, 70.0])
    directions = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        row = next(r for r, pair in enumerate(("RL", "AP", "SI")) if letter in pair)
        directions[row, column] = 1 if letter in "RAS" else -1
    order = np.abs(directions).argmax(axis=0)
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(turn)):
        one, two = [a for a in range(3) if a != axis]
        step = np.eye(3)
        step[one, one] = step[two, two] = np.cos(angle)
        step[one, two], step[two, one] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ step
    lean = np.eye(3)
    lean[1, 2] = shear
    affine = np.eye(4)
    affine[:3, :3] = rotation @ lean @ directions * np.array(spacing)[order]
    count = np.ceil(size[order] / np.array(spacing)[order]).astype(int)
    affine[:3, 3] = [0, 0, -6] - affine[:3, :3] @ ((count - 1) / 2)
    return Grid(tuple(int(n) for n in count), affine)


ORIENTATIONS = [
    "".join(letters)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*order)
]
POSES = {
    "straight": {},
    "LAS": {"axes": "LAS"},
    "anisotropic": {"spacing": (0.8, 0.8, 5.0)},
    "turned": {"turn": (8.0, -6.0, 10.0)},
    "turned PIL": {"axes": "PIL", "turn": (-10.0, 8.0, 5.0)},
    "gantry tilt": {"shear": 0.3},
}


@pytest.fixture(params=list(POSES))
def pose(request: pytest.FixtureRequest) -> Grid:
    return grid_with(**POSES[request.param])

"""The head of which every simulated head is a deformed copy: MNI152 within a modelled skull.

Grey and white matter are nilearn's bundled probability maps. What lies around the brain is built
from the distance to it: cerebrospinal fluid, skull with its diploe, scalp, and a simple skull
base with the sella, the clinoid processes beside the carotid arteries, sinuses and orbits.
All coordinates are MNI millimetres, RAS+.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

AIR_HU: Final = -1000.0
CSF_HU: Final = 8.0
GREY_HU: Final = 38.0
WHITE_HU: Final = 29.0
FAT_HU: Final = -80.0
SOFT_TISSUE_HU: Final = 45.0
COMPACT_BONE_HU: Final = 1150.0
DIPLOE_HU: Final = 620.0
CENTRE: Final = np.array([0.0, -17.0, 5.0], np.float32)
"""About the middle of the skull (MNI mm), from which its vault is seen outwards."""


class HeadTemplate(NamedTuple):
    """Maps on one RAS+ grid of 1 mm; ``origin`` is the MNI position (mm) of voxel (0, 0, 0)."""

    grey: NDArray[np.float32]
    """Grey matter, 0 to 1."""
    white: NDArray[np.float32]
    """White matter, 0 to 1."""
    brain: NDArray[np.float32]
    """1 within the brain with its ventricles and sulci."""
    surroundings: NDArray[np.float32]
    """HU of all that is neither grey nor white matter, from cerebrospinal fluid to air."""
    origin: NDArray[np.float32]
    skull_distance: NDArray[np.float32]
    """mm to the inner surface of the skull, negative inside; every second voxel."""


class _Space(NamedTuple):
    """Open coordinate axes (mm) of the template grid."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]

    def ellipsoid(
        self, centre: tuple[float, float, float], radii: tuple[float, float, float]
    ) -> NDArray[np.bool_]:
        """Return the inside of an ellipsoid and of its mirror image."""
        (x, y, z), (a, b, c) = centre, radii
        distance = ((np.abs(self.x) - x) / a) ** 2
        inside = distance + ((self.y - y) / b) ** 2 + ((self.z - z) / c) ** 2 < 1
        return np.asarray(inside)


@lru_cache(maxsize=1)
def load_head_template() -> HeadTemplate:
    """Build the template, once in a process (about 3 s); nothing is downloaded.

    Source: ICBM 152 nonlinear symmetric 2009a, as bundled with nilearn.
    """
    from nilearn import datasets  # noqa: PLC0415 - two seconds that only a simulation needs

    grey_image = datasets.load_mni152_gm_template(resolution=1)
    grey = np.asarray(grey_image.dataobj, dtype=np.float32)
    white = np.asarray(datasets.load_mni152_wm_template(resolution=1).dataobj, dtype=np.float32)
    brain = np.asarray(datasets.load_mni152_brain_mask(resolution=1).dataobj) > 0
    scale = 1.0 / np.maximum(grey + white, 1.0)
    origin = grey_image.affine[:3, 3].astype(np.float32)
    axes = np.ogrid[tuple(slice(0, n) for n in brain.shape)]
    space = _Space(*(a.astype(np.float32) + o for a, o in zip(axes, origin, strict=True)))
    distance = _inner_skull_distance(brain, space)
    return HeadTemplate(
        grey * scale,
        white * scale,
        brain.astype(np.float32),
        _surroundings(distance, space),
        origin,
        distance[::2, ::2, ::2].copy(),
    )


@lru_cache(maxsize=1)
def tissue_points() -> NDArray[np.float64]:
    """Return places (N, 3; MNI mm) 4 mm apart in grey and white matter, off the midline."""
    maps = load_head_template()
    tissue = (maps.grey + maps.white)[::4, ::4, ::4] > 0.5
    points = np.argwhere(tissue) * 4.0 + maps.origin
    return np.asarray(points[np.abs(points[:, 0]) > 3], dtype=float)


def inner_skull_distance(mni: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the distance (mm) of MNI positions (..., 3) to the skull's inner surface.

    Negative inside; interpolated linearly.
    """
    maps = load_head_template()
    index = np.moveaxis((mni - maps.origin) / 2.0, -1, 0)
    return np.asarray(ndimage.map_coordinates(maps.skull_distance, index, order=1, mode="nearest"))


def _signed_distance(mask: NDArray[np.bool_], voxel: float) -> NDArray[np.float32]:
    outside = ndimage.distance_transform_edt(~mask)
    inside = ndimage.distance_transform_edt(mask)
    return ((outside - inside) * voxel).astype(np.float32)


def _inner_skull_distance(brain: NDArray[np.bool_], space: _Space) -> NDArray[np.float32]:
    """Distance (mm) to the inner surface of the skull, negative inside.

    Half the resolution suffices: a distance is smooth, and its zero is found by interpolation.
    """
    half = brain[::2, ::2, ::2]
    closed = _signed_distance(_signed_distance(half, 2.0) < 8.0, 2.0) < -8.0
    cisterns = space.ellipsoid((0, 4, -24), (18, 18, 12)) | space.ellipsoid(
        (0, -10, -34), (9, 8, 18)
    )
    mask = closed | half | cisterns[::2, ::2, ::2]
    distance = ndimage.gaussian_filter(_signed_distance(mask, 2.0), 0.7) - 1.5
    last = [
        np.minimum(np.arange(n) / 2.0, m - 1) for n, m in zip(brain.shape, half.shape, strict=True)
    ]
    for axis, position in enumerate(last):
        distance = _stretch(distance, position, axis)
    return distance


def _stretch(
    values: NDArray[np.float32], position: NDArray[np.float64], axis: int
) -> NDArray[np.float32]:
    """Interpolate linearly along one axis at fractional indices."""
    low = np.minimum(position.astype(int), values.shape[axis] - 2)
    weight = (position - low).astype(np.float32)
    weight = weight.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    below, above = np.take(values, low, axis), np.take(values, low + 1, axis)
    return np.asarray(below + weight * (above - below), dtype=np.float32)


def _surroundings(distance: NDArray[np.float32], space: _Space) -> NDArray[np.float32]:
    texture = _texture(distance.shape)
    bone = 5.5 + 1.5 * np.exp(-(((space.y + 90) / 30) ** 2)) + np.where(space.z < -20, 1.5, 0.0)
    bone = (bone - 2.0 * np.exp(-((space.y / 35) ** 2) - ((space.z + 5) / 25) ** 2)).astype(
        np.float32
    )
    muscle = 8 * np.exp(-(((space.y - 20) / 28) ** 2) - ((space.z + 20) / 26) ** 2)
    outer = distance - bone
    head = (outer < 5 + muscle) | _face_and_neck(space)
    hu = np.where(head, SOFT_TISSUE_HU + 12 * texture, AIR_HU).astype(np.float32)
    fat = (outer > 0) & (outer < 2.5) & (space.z > -30)
    hu[fat | (head & (texture > 1.1) & (space.z < -25))] = FAT_HU
    _paint_face(hu, space)
    table = np.exp(-(((distance / bone - 0.5) / 0.22) ** 2))
    in_bone = (distance > 0) & (outer <= 0)
    hu[in_bone] = (COMPACT_BONE_HU - (COMPACT_BONE_HU - DIPLOE_HU) * table)[in_bone]
    _paint_base(hu, space, distance, texture)
    hu[distance <= 0] = CSF_HU
    hu[space.ellipsoid((15.5, 16.0, -28.5), (2.5, 5.0, 2.5))] = COMPACT_BONE_HU  # anterior clinoid
    return hu


def _texture(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a smooth field of unit variance, always the same and symmetric."""
    coarse = np.random.default_rng(0).standard_normal(tuple(n // 3 + 2 for n in shape))
    noise: NDArray[np.float32] = ndimage.gaussian_filter(coarse.astype(np.float32), 0.8)
    for axis, n in enumerate(shape):
        noise = _stretch(noise, np.arange(n) / 3.0, axis)
    noise = noise + noise[::-1]
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _face_and_neck(space: _Space) -> NDArray[np.bool_]:
    outline = (space.x / 66) ** 2 + ((space.y + 8) / 88) ** 2 < 1
    below_brain = (space.z < -18) & ((space.y > -60) | (space.z > -50))
    return np.asarray(outline & below_brain)


def _paint_face(hu: NDArray[np.float32], space: _Space) -> None:
    hu[space.ellipsoid((31, 48, -36), (18, 30, 17))] = FAT_HU  # orbit
    hu[space.ellipsoid((31, 64, -36), (12, 12, 12))] = 18.0  # globe
    hu[space.ellipsoid((22, 42, -35), (3, 20, 3))] = 35.0  # optic nerve
    nose = (np.abs(space.x) < 11) & (space.y > 22) & (space.y < 62) & (space.z < -36)
    septa = (np.abs(space.x) < 1) | (np.abs(np.abs(space.x) - 8) < 1)
    hu[nose & ~septa] = -850.0
    hu[nose & septa] = 300.0


def _paint_base(
    hu: NDArray[np.float32],
    space: _Space,
    distance: NDArray[np.float32],
    texture: NDArray[np.float32],
) -> None:
    """Sphenoid with its air, petrous bone with the mastoid's cells, and the pituitary gland."""
    outside = distance > 0
    hu[outside & space.ellipsoid((0, 4, -50), (20, 22, 16))] = 750.0
    hu[outside & space.ellipsoid((0, 16, -47), (11, 13, 9))] = -900.0
    hu[outside & space.ellipsoid((0, 3, -36), (6, 6, 4))] = 50.0
    petrous = outside & space.ellipsoid((42, -25, -40), (26, 12, 12))
    hu[petrous] = 800.0
    cells = petrous & (np.abs(space.x) > 42) & (texture > 0.2)
    hu[cells] = -600.0

"""How the head lies, from its own anatomy: do the image's axes say where its front and vertex are?

No atlas: three observations, each of which may decide or not.

1. The plane about which a head is most symmetric is its midplane; its normal is left-right.
2. Within that plane a brain is longest from front to back (about 1.35 times its height), on the
   average 10 degrees above the horizontal.
3. The brain's third moments tell the ends of both axes apart: it tapers towards the front, and the
   bulk of it lies above its flat base. What surrounds it (face, neck) lies below.

A normal says nothing of its sign, and a mirrored head looks like a head: a pure left-right flip
cannot be seen. A turn can, as it moves front or vertex.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging.brain import FAT_HU, working_image
from lvo_kedro.imaging.geometry import grid_of, make_image

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

SPACING_MM = 5.0
"""Coarse enough for noise, lesions and clips not to count."""
REACH_MM = 100.0
"""How far from the brain's centre one looks: face and skull base, little of the neck."""
LONG_AXIS_DEG = 10.0
"""Rise of the brain's long axis towards the front when the head lies straight."""
MIN_SYMMETRY = 0.08
"""By how much more than all others (correlation) the midplane must be one of symmetry."""
MIN_ELONGATION = 1.15
"""Length by height (standard deviations) that tells both axes apart; heads have about 1.35."""
MIN_TAPER = 0.1
"""Evidence for the front; heads have 0.2 to 0.3."""
MIN_BASE = 0.12
"""Evidence for the vertex; heads have 0.2 to 0.5."""
MIN_SEEN = 0.9
"""Part of the brain whose mirror images must lie within the scan, for its shape to be judged."""

_TOWARDS = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


class HeadPose(NamedTuple):
    """Directions are unit vectors in world coordinates."""

    right: NDArray[np.float64]
    """To the patient's right, as far as the axes' handedness is right; x where undecided."""
    turned_deg: float | None
    """Angle between the head and what the axes say; None where no midplane was found."""
    front_towards: str
    """Where the axes say that the patient's front is; "anterior" when all is right."""
    vertex_towards: str
    """Where they say that the vertex is; "superior" when all is right."""


class _Head(NamedTuple):
    hu: NDArray[np.float32]
    to_index: NDArray[np.float64]
    points: NDArray[np.float64]
    """(N, 3) world mm from the brain's centre, of what lies within reach."""
    brain: NDArray[np.float32]
    """(N,) 0 to 1."""
    tissue: NDArray[np.float32]
    """(N,) 0 to 1: the head without its brain."""


def find_pose(ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image) -> HeadPose:
    """Find how the head lies.

    Args:
        ncct: Head CT in HU, axes RAS+.
        brain_mask: Non-zero inside the brain, on the same grid.

    Returns:
        The pose nearest to what the axes say, among those that the anatomy leaves open: where it
        decides nothing, nothing is said against the axes.
    """
    head = _look_at(ncct, brain_mask)
    normal, clear = _midplane(head)
    if not clear:
        return HeadPose(np.eye(3)[0], None, "anterior", "superior")
    # columns: the patient's right, front and vertex
    pose = max(_possible_poses(head, normal), key=np.trace)
    angle = np.degrees(np.arccos(np.clip((np.trace(pose) - 1) / 2, -1, 1)))
    return HeadPose(pose[:, 0], float(angle), _towards(pose[:, 1]), _towards(pose[:, 2]))


def _look_at(ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image) -> _Head:
    every = [max(1, int(SPACING_MM / 2 / v)) for v in grid_of(ncct).spacing]
    thin = tuple(slice(None, None, n) for n in every)
    work = working_image(ncct.slicer[thin], SPACING_MM)
    inside = np.asarray(brain_mask.dataobj[thin]) > 0
    mask = make_image(inside.astype(np.uint8), brain_mask.slicer[thin].affine)
    hu = np.asarray(work.dataobj)
    brain = np.clip(np.asarray(working_image(mask, SPACING_MM).dataobj), 0, 1)
    points = apply_affine(work.affine, np.moveaxis(np.indices(hu.shape), 0, -1))
    centre = np.average(points.reshape(-1, 3), axis=0, weights=brain.ravel())
    near = np.linalg.norm(points - centre, axis=-1) < REACH_MM
    to_index = np.linalg.inv(work.affine)
    to_index[:3, 3] = apply_affine(to_index, centre)
    tissue = (hu > FAT_HU / 2) * (1 - brain)
    flat = np.clip(hu, FAT_HU / 2, -FAT_HU)  # bone counts no more than its outline does
    return _Head(flat, to_index, points[near] - centre, brain[near], tissue[near])


def _midplane(head: _Head) -> tuple[NDArray[np.float64], bool]:
    """Return the normal of the plane of best symmetry, and whether there is one at all."""
    points = head.points[::6].astype(np.float32)
    own = ndimage.map_coordinates(head.hu, apply_affine(head.to_index, points).T, order=1)

    def alike(normal: NDArray[np.float64], offset: float = 0.0) -> float:
        mirrored = points - np.outer(2 * (points @ normal - offset), normal)
        index = apply_affine(head.to_index, mirrored).T
        there = ndimage.map_coordinates(head.hu, index, order=1, cval=np.nan)
        both = np.isfinite(there)  # where the scan ends is no asymmetry
        return float(np.corrcoef(own[both], there[both])[0, 1])

    normals = _half_sphere(160)
    values = np.array([alike(normal) for normal in normals])
    best, highest = normals[values.argmax()], float(values.max())
    other = values[np.abs(normals @ best) < np.sqrt(0.5)].max()  # by more than 45 degrees
    for step in (0.12, 0.06, 0.03):
        sideways = np.linalg.svd(best[None])[2][1:]
        around = [best + step * (a * sideways[0] + b * sideways[1]) for a, b in _AROUND]
        tried = [n / np.linalg.norm(n) for n in around]
        alikes = [max(alike(n, offset) for offset in (-3.0, 0.0, 3.0)) for n in tried]
        best, highest = tried[int(np.argmax(alikes))], max(alikes)
    return best, bool(highest - other >= MIN_SYMMETRY)


_AROUND = tuple(product((-1.0, 0.0, 1.0), repeat=2))


def _half_sphere(count: int) -> NDArray[np.float64]:
    """Return directions (count, 3) spread evenly over half a sphere (a Fibonacci spiral)."""
    z = (np.arange(count) + 0.5) / count
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


def _possible_poses(head: _Head, normal: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the rotations (right, front, vertex as columns) that the brain's shape allows."""
    plane = np.linalg.svd(normal[None])[2][1:]
    flat = head.points @ plane.T
    spread, axes = np.linalg.eigh(np.cov(flat.T, aweights=head.brain))
    long, short = axes[:, 1] @ plane, axes[:, 0] @ plane
    seen = _seen_mirrored(head, long, short)
    whole = float(head.brain[seen].sum()) >= MIN_SEEN * float(head.brain.sum())
    elongated = whole and np.sqrt(spread[1] / spread[0]) >= MIN_ELONGATION
    taper, base = _ends(head, long, short, seen) if elongated else (0.0, 0.0)
    pairs = [(long, short, taper, base)]
    if not elongated:
        pairs.append((short, long, 0.0, 0.0))
    poses = []
    for (along, across, to_front, to_top), signs in product(pairs, product((1, -1), repeat=2)):
        if signs[0] * to_front > -MIN_TAPER and signs[1] * to_top > -MIN_BASE:
            poses.append(_pose(signs[0] * along, signs[1] * across))
    return poses


def _pose(along: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    rise = np.radians(LONG_AXIS_DEG)
    front = np.cos(rise) * along - np.sin(rise) * across
    vertex = np.sin(rise) * along + np.cos(rise) * across
    return np.stack([np.cross(front, vertex), front, vertex], axis=1)


def _seen_mirrored(
    head: _Head, long: NDArray[np.float64], short: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Tell which points lie in the scan in all four mirror images: no end is judged by a cut."""
    upper = np.array(head.hu.shape) - 0.5
    seen = np.ones(len(head.points), bool)
    for a, b in product((0.0, 2.0), repeat=2):
        mirrored = head.points - a * np.outer(head.points @ long, long)
        mirrored -= b * np.outer(head.points @ short, short)
        index = apply_affine(head.to_index, mirrored)
        seen &= np.all((index > -0.5) & (index < upper), axis=1)
    return seen


def _ends(
    head: _Head, long: NDArray[np.float64], short: NDArray[np.float64], seen: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return evidence that ``long`` points to the front and ``short`` to the vertex."""
    a, b = head.points[seen] @ long, head.points[seen] @ short
    brain, tissue = head.brain[seen], head.tissue[seen]
    a_scale, b_scale = (np.sqrt(np.average(v * v, weights=brain)) for v in (a, b))
    third = {
        "aaa": np.average(a**3, weights=brain) / a_scale**3,
        "abb": np.average(a * b * b, weights=brain) / (a_scale * b_scale**2),
        "aab": np.average(a * a * b, weights=brain) / (a_scale**2 * b_scale),
    }
    below = -float((tissue * b).sum() / max((tissue * np.abs(b)).sum(), 1e-6))
    return float(third["aaa"] - third["abb"]), float(0.5 * below - third["aab"])


def _towards(direction: NDArray[np.float64]) -> str:
    axis = int(np.abs(direction).argmax())
    return _TOWARDS[axis][int(direction[axis] > 0)]

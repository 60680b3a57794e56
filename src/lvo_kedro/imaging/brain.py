"""The brain mask: everything inside the skull, down to the foramen magnum.

No atlas and no training: soft tissue that is thick, and walled in by bone. The work is done on a
grid of about 2 mm, where noise is averaged away and a distance transform takes a fraction of a
second; only the last step returns to the scan's own grid.

1. The scan, clipped to soft tissue and bone, is averaged down to the working grid.
2. *Tissue* is what has the HU of brain, CSF and blood, with its holes (calcification, air) filled.
   Its *cores* lie further from everything else than the bridges that join brain and neck, scalp
   or orbits are wide.
3. A core grown back by a little more than that distance, within tissue that is nowhere as thin
   as a nerve or a layer of half bone, half fat, is a body. The largest that bone walls in is the
   brain.
4. The edge is put where HU are half-way between brain and skull, and taken to the scan's grid,
   where the rim loses what is partly bone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy import ndimage

from lvo_kedro.errors import OutOfScopeError
from lvo_kedro.imaging.boxes import bounding_box, box_corners, covering_box
from lvo_kedro.imaging.geometry import grid_of, isotropic_grid, make_image
from lvo_kedro.imaging.resampling import block_grid, block_mean, resample
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    import nibabel as nib

BRAIN_HU = 40.0
"""Grey matter, against which the skull's inner edge is measured."""
SKULL_HU = 800.0
"""Clipping value: all dense bone looks the same."""
FAT_HU = -200.0
"""Clipping value: all air looks the same."""

Mask = NDArray[np.bool_]


class BrainOptions(Options):
    """How the brain is found; lengths in mm, intensities in HU."""

    renamed: ClassVar[dict[str, str]] = {
        "spacing": "spacing_mm",
        "rim_average": "rim_average_mm",
        "bridge_radius": "bridge_radius_mm",
        "corner_radius": "corner_radius_mm",
        "reach": "reach_mm",
        "skin_thickness": "skin_thickness_mm",
        "smoothing": "smoothing_mm",
        "wall_distance": "wall_distance_mm",
    }

    spacing_mm: float = 2.0
    """Edge (mm) of a voxel of the working grid."""
    tissue_hu: tuple[float, float] = (-15.0, 130.0)
    """Range of brain, CSF and blood after averaging; fat and bone lie outside."""
    bone_hu: float = 250.0
    """Averaged HU above which a voxel is bone."""
    rim_average_mm: float = 1.5
    """Edge (mm) of the cube over which the rim is averaged, to tell partly bone from noise."""
    bridge_radius_mm: float = 12.0
    """Half the width (mm) up to which tissue that joins two bodies is cut (foramen magnum)."""
    corner_radius_mm: float = 3.0
    """Half the width (mm) of the finest corner that belongs to the brain."""
    reach_mm: float = 6.0
    """How far (mm) such corners may reach beyond what grows back from the core."""
    skin_thickness_mm: float = 7.0
    """Scalp (mm) that is taken off where no bone separates it from the brain (craniectomy)."""
    max_hole_ml: float = 30.0
    """Largest calcification, clip or air bubble inside the brain that is filled."""
    smoothing_mm: float = 1.5
    """Standard deviation (mm) of the Gaussian that smooths the mask's surface."""
    min_walled: float = 0.5
    """Least part of the brain's surface with bone next to it; less is not a head."""
    wall_distance_mm: float = 8.0
    """Distance (mm) that counts as next to it."""
    min_volume_ml: float = 100.0
    """Smallest body that is taken for (a part of) a brain."""
    max_volume_ml: float = 2500.0
    """Largest body that is taken for a brain."""


def extract_brain(ncct: nib.Nifti1Image, options: BrainOptions = BrainOptions()) -> nib.Nifti1Image:
    """Mask the brain with its CSF spaces: no skull, orbit, scalp or neck.

    Args:
        ncct: Head CT in HU, any axis order and sign, oblique or sheared.
        options: Thresholds and lengths.

    Returns:
        uint8 mask (0, 1) on ``ncct``'s grid, one component.

    Raises:
        OutOfScopeError: No body of soft tissue of a brain's size that is walled in by bone.

    Examples:
        >>> from lvo_kedro.simulation import SimulationOptions, simulate_case
        >>> case = simulate_case(7, SimulationOptions(spacing_mm=2.0, slice_thickness_mm=(5.0,)))
        >>> brain = extract_brain(case.ncct)
        >>> brain.shape == case.ncct.shape
        True
        >>> litres = brain.get_fdata().sum() * 2.0 * 2.0 * 5.0 / 1e6
        >>> round(float(litres), 1)
        1.4
    """
    work = working_image(ncct, options.spacing_mm)
    hu = np.asarray(work.dataobj)
    low, high = options.tissue_hu
    # scalp is as dense as brain. Where bone is near, it lies between both; where bone is missing
    # (craniectomy), scalp is what the air around the head is close to
    walls = _widened(hu > options.bone_hu, options.wall_distance_mm, options.spacing_mm)
    tissue = _fill_small_holes((hu > low) & (hu < high), options) & ~(_skin(hu, options) & ~walls)
    brain = _choose_brain(_bodies(tissue, options), walls, options)
    edge = _soft_edge(brain, hu, options)
    return _to_scan(make_image(edge, work.affine), ncct, options)


def working_image(ncct: nib.Nifti1Image, spacing: float) -> nib.Nifti1Image:
    """Average whole blocks of voxels (anti-aliasing), then sample a cubic grid."""
    grid = grid_of(ncct)
    # whole voxels in a working voxel; from 1.7 on they count as two (blocks of up to 2.35 mm)
    wanted = np.floor(spacing / np.asarray(grid.spacing) + 0.3).astype(int)
    factor = np.clip(wanted, 1, grid.shape)
    # clipped first: the mean then says how much of a block is bone, and not how dense it is
    clipped = np.clip(np.asanyarray(ncct.dataobj), FAT_HU, SKULL_HU, dtype=np.float32)
    small = make_image(block_mean(clipped, factor), block_grid(grid, factor).affine)
    # the cubic grid ends up to one voxel beyond the scan, where its last slice goes on
    return resample(_padded(small), isotropic_grid(small, spacing), fill=FAT_HU)


def _bodies(tissue: Mask, options: BrainOptions) -> Iterator[Mask]:
    """Yield the bodies of ``tissue`` that are thicker than a bridge, the largest core first.

    Three at most: in a scan that shows more than the head another core may be larger than the
    brain's. Which of them bone walls in, the caller finds out.
    """
    depth = _depth(tissue, options.spacing_mm)
    cores, _ = ndimage.label(depth > options.bridge_radius_mm)
    sizes = np.bincount(cores.ravel())[1:]
    # an opening: what a ball of the corner's radius cannot reach is a nerve, or a layer of half
    # bone, half fat. Distances are between voxel centres, so that without half a millimetre more
    # the ball would not give back all that it was (1 ml of a brain)
    fine = _grow(
        depth > options.corner_radius_mm, options.corner_radius_mm + 0.5, options.spacing_mm
    )
    for label in np.argsort(-sizes)[:3] + 1:
        away = _depth(cores != label, options.spacing_mm)
        # a core ends a bridge's radius below the surface: so much brings it back there, and the
        # reach on into corners
        parts, _ = ndimage.label(
            tissue & fine & (away <= options.bridge_radius_mm + options.reach_mm)
        )
        # the distance is 0 in the core itself: the part that holds it, not one beside it
        inside = parts[np.unravel_index(int(away.argmin()), away.shape)]
        yield ndimage.binary_fill_holes(parts == inside)


def _choose_brain(bodies: Iterator[Mask], walls: Mask, options: BrainOptions) -> Mask:
    seen = []
    for body in bodies:
        volume = float(body.sum()) * options.spacing_mm**3 / 1000
        surface = body & ~ndimage.binary_erosion(body, border_value=1)
        walled = float(walls[surface].mean()) if surface.any() else 0.0
        if (
            options.min_volume_ml <= volume <= options.max_volume_ml
            and walled >= options.min_walled
        ):
            return body
        seen.append(f"{volume:.0f} ml with bone around {walled:.0%}")
    raise OutOfScopeError(
        "no brain inside a skull (" + ("; ".join(seen) or "no thick soft tissue") + ")",
        f"{options.min_volume_ml:.0f} to {options.max_volume_ml:.0f} ml of soft tissue with bone "
        f"around at least {options.min_walled:.0%} of its surface",
        "check that the scan is a head CT in HU, or give a brain mask in the cohort table",
    )


def _soft_edge(brain: Mask, hu: NDArray, options: BrainOptions) -> NDArray[np.float32]:
    """Return 1 inside and 0 outside, passing 0.5 half-way between brain and skull HU.

    Voxels between both are mixtures that ``tissue_hu`` counts as bone: an eighth of skull makes a
    voxel denser than any tissue.
    """
    shell = ndimage.binary_dilation(brain, np.ones((3, 3, 3))) & ~brain
    # how dense the skull is here: thin bone, averaged over 2 mm, stays far below SKULL_HU
    skull = ndimage.maximum_filter(hu, 3, mode="nearest")
    part = (skull - hu) / np.maximum(skull - BRAIN_HU, 1.0)
    mixed = shell & (skull > options.bone_hu) & (hu >= options.tissue_hu[1])
    edge = np.where(mixed, np.clip(part, 0, 1), brain).astype(np.float32)
    # takes away single voxels that stick out and leaves a smooth surface where it is
    edge = ndimage.gaussian_filter(edge, options.smoothing_mm / options.spacing_mm, mode="nearest")
    edge[~brain & (hu < options.tissue_hu[0])] = 0.0  # fat of the orbits, air of the sinuses
    return edge


def _to_scan(
    edge: nib.Nifti1Image, ncct: nib.Nifti1Image, options: BrainOptions
) -> nib.Nifti1Image:
    """Threshold ``edge`` at 0.5 on the scan's grid, sampling only the box that it fills."""
    grid = grid_of(ncct)
    filled = bounding_box(np.asarray(edge.dataobj) > 0)
    within = covering_box(box_corners(edge.affine, filled, margin=1), grid)
    # padded: the scan's outermost voxels lie up to half a working voxel beyond the working grid
    inside = np.asarray(resample(_padded(edge), grid.part(within)).dataobj)
    bony = _mixed_with_bone(np.asanyarray(ncct.dataobj)[within], grid.spacing, options)
    # off the rim alone, where the smoothed edge is below 0.95 (to a depth of 1.6 times its standard
    # deviation): what is as dense further inside is calcification or a clip
    mask = np.zeros(ncct.shape, dtype=np.uint8)
    mask[within] = _solid((inside > 0.5) & ~(bony & (inside < 0.95)))
    return make_image(mask, ncct.affine)


def _mixed_with_bone(
    hu: NDArray, spacing: tuple[float, float, float], options: BrainOptions
) -> Mask:
    """Tell which voxels are bone, or on a small average denser than any brain or blood.

    HU are cut off as far above the limit as brain lies below it: each voxel has one vote, and the
    skull next door does not outvote a voxel of brain.
    """
    size = [2 * round(options.rim_average_mm / (2 * edge)) + 1 for edge in spacing]
    limit = options.tissue_hu[1]
    votes = np.clip(hu, FAT_HU, 2 * limit - BRAIN_HU, dtype=np.float32)
    mixed = ndimage.uniform_filter(votes, size, mode="nearest") > limit
    return mixed | (hu > options.bone_hu)


def _padded(image: nib.Nifti1Image) -> nib.Nifti1Image:
    data = np.pad(np.asarray(image.dataobj), 2, mode="edge")
    affine = image.affine.copy()
    affine[:3, 3] = apply_affine(image.affine, [-2, -2, -2])
    return make_image(data, affine)


def _solid(mask: Mask) -> Mask:
    """Return the largest part without its holes.

    Holes are what the largest part of the outside does not reach; a rim of outside makes that one
    part, also where the mask touches the image's border.
    """
    around = _largest(np.pad(~_largest(mask), 1, constant_values=True))
    return ~around[1:-1, 1:-1, 1:-1]


def _largest(mask: Mask) -> Mask:
    parts, count = ndimage.label(mask)
    return parts == np.bincount(parts.ravel())[1:].argmax() + 1 if count > 1 else mask


def _skin(hu: NDArray[np.float32], options: BrainOptions) -> Mask:
    """Return what lies close to the air around the head: scalp where the bone is missing.

    The largest body of air alone counts: that in the sinuses lies close to brain, too.
    """
    around = _largest(hu < FAT_HU / 2)
    return _widened(around, options.skin_thickness_mm, options.spacing_mm)


def _fill_small_holes(tissue: Mask, options: BrainOptions) -> Mask:
    """Fill what is too small to be the skull: scalp is tissue, too, and may enclose all of it."""
    holes, _ = ndimage.label(~tissue)
    small = np.bincount(holes.ravel()) * options.spacing_mm**3 / 1000 <= options.max_hole_ml
    return tissue | small[holes]


def _widened(mask: Mask, distance: float, spacing: float) -> Mask:
    """Add ``distance`` mm along the axes: quicker than a sphere, for where that is enough."""
    return ndimage.maximum_filter(mask, 2 * round(distance / spacing) + 1, mode="nearest")


def _depth(mask: Mask, spacing: float) -> NDArray[np.float32]:
    """Distance in mm from each voxel of ``mask`` to what is outside; the image's rim is inside."""
    return ndimage.distance_transform_edt(mask, sampling=spacing).astype(np.float32)


def _grow(mask: Mask, distance: float, spacing: float) -> Mask:
    return _depth(~mask, spacing) <= distance

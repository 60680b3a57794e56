"""From a scan and its brain mask to the three prior maps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    io_orientation,
    ornt_transform,
)
from threadpoolctl import threadpool_limits

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import grid_of, is_sheared, make_image, to_ras
from lvo_kedro.imaging.resampling import change_grid, resample
from lvo_kedro.priors import engine
from lvo_kedro.priors.asymmetry import find_counterparts, signed_difference
from lvo_kedro.priors.options import PriorOptions
from lvo_kedro.priors.published import compute_published
from lvo_kedro.priors.quality import find_faults, measure
from lvo_kedro.priors.registration import align, prepare_atlas, prepare_scan
from lvo_kedro.vocabulary import HEMISPHERES

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.priors.atlas import Atlas
    from lvo_kedro.priors.registration import Alignment

Maps = dict[str, "NDArray[Any]"]


@dataclass(frozen=True, eq=False)
class Priors:
    """What is known of a brain before looking for an occlusion; images on the scan's grid.

    Attributes:
        territory_probability: Probability of the MCA territory; (X, Y, Z) float32 in [0, 1].
        hemispheres: 1 the patient's left, 2 the right, 0 outside the brain; (X, Y, Z) uint8.
        signed_difference: This side minus the opposite; (X, Y, Z) float32, HU; negative where
            this side is less dense. 0 outside the brain, beside fluid and at calcifications.
        quality: Measures of the registration, ``seconds_*`` per step, and ``findings`` in words.
    """

    territory_probability: nib.Nifti1Image
    hemispheres: nib.Nifti1Image
    signed_difference: nib.Nifti1Image
    quality: dict[str, float | str | list[str]]

    @property
    def difference(self) -> nib.Nifti1Image:
        """``abs(signed_difference)``, as published; (X, Y, Z) float32, HU."""
        signed = self.signed_difference
        return make_image(np.abs(np.asarray(signed.dataobj)), signed.affine)


def compute_priors(
    ncct: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    atlas: Atlas,
    options: PriorOptions | None = None,
) -> Priors:
    """Register the atlas to a scan and compare its two sides.

    Args:
        ncct: Head CT in HU, (X, Y, Z), any orientation; oblique and sheared affines are honoured.
        brain_mask: Non-zero in the brain; brought onto the scan's grid where it is on another.
        atlas: From :func:`lvo_kedro.priors.load_atlas`.
        options: Resolution, iterations, thresholds; the default is the fast way.

    Returns:
        Maps on the scan's grid. Where the result should not be trusted, ``quality["findings"]``
        says why.

    Raises:
        ScanError: Scan or mask is not 3D, or the mask is empty.
        RegistrationError: No start brought atlas and brain together.

    Examples:
        >>> from lvo_kedro.imaging import extract_brain
        >>> from lvo_kedro.priors import PriorOptions, load_atlas
        >>> from lvo_kedro.simulation import SimulationOptions, simulate_case
        >>> stroke = SimulationOptions(
        ...     lvo=True, side="left", segment="M1", spacing_mm=2.0, slice_thickness_mm=(5.0,)
        ... )
        >>> ncct = simulate_case(7, stroke).ncct
        >>> few = (10, 0, 0)
        >>> quick = PriorOptions(spacing_mm=6.0, iterations=few, mirror_iterations=few)
        >>> priors = compute_priors(ncct, extract_brain(ncct), load_atlas(), quick)
        >>> left = priors.hemispheres.get_fdata() == 1
        >>> territory = priors.territory_probability.get_fdata() > 0.5
        >>> signed = priors.signed_difference.get_fdata()
        >>> bool(signed[left & territory].mean() < -1)  # HU: less dense than the right one
        True
    """
    options = options or PriorOptions()
    began = time.perf_counter()
    scan, mask = _canonical(ncct, brain_mask)
    compute = _published_maps if options.variant == "published" else _fast_maps
    with threadpool_limits(1, user_api="blas"):  # sums differ with the number of threads
        maps, quality = compute(scan, mask, atlas, options)
    quality["seconds"] = time.perf_counter() - began
    quality["findings"] = find_faults(quality, options.limits)
    images = {name: _as_stored(values, ncct) for name, values in maps.items()}
    return Priors(
        territory_probability=images["territory"],
        hemispheres=images["hemispheres"],
        signed_difference=images["signed"],
        quality=quality,
    )


def register_atlas(
    ncct: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    atlas: Atlas,
    options: PriorOptions | None = None,
) -> Alignment:
    """Bring the atlas onto a scan, as the fast way of :func:`compute_priors` does.

    Args:
        ncct: Head CT in HU, any orientation.
        brain_mask: Non-zero in the brain.
        atlas: From :func:`lvo_kedro.priors.load_atlas`.
        options: Resolution and iterations.

    Returns:
        The map between the scan's world and the atlas' (mm), and how well they fit.

    Raises:
        ScanError: Scan or mask is not 3D, or the mask is empty.
        RegistrationError: No start brought atlas and brain together.
    """
    options = options or PriorOptions()
    scan, mask = _canonical(ncct, brain_mask)
    with threadpool_limits(1, user_api="blas"):
        small = prepare_scan(scan, mask, options.spacing_mm)
        return align(small, prepare_atlas(atlas, options.spacing_mm), options)


def _canonical(
    ncct: nib.Nifti1Image, brain_mask: nib.Nifti1Image
) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """Check scan and mask, bring them onto one grid and to RAS+ (no interpolation of the scan)."""
    for name, image in (("scan", ncct), ("brain mask", brain_mask)):
        if len(image.shape) != 3:
            raise ScanError(f"a {name} of shape {image.shape}", "a 3D volume", "choose one volume")
    mask = resample(brain_mask, grid_of(ncct), order=0)
    if not (np.asarray(mask.dataobj) > 0).any():
        raise ScanError(
            "a brain mask that is empty on the scan's grid",
            "a mask that covers the brain",
            "check that mask and scan belong together",
        )
    return _in_memory(to_ras(ncct)), _in_memory(to_ras(mask))


def _in_memory(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Unpack a compressed file once, however often its voxels are asked for."""
    return make_image(np.asanyarray(image.dataobj), image.affine)


def _as_stored(values: NDArray[Any], like: nib.Nifti1Image) -> nib.Nifti1Image:
    """Turn RAS+ voxels back to the order in which ``like`` stores them."""
    turn = ornt_transform(axcodes2ornt(("R", "A", "S")), io_orientation(like.affine))
    # the order in which NIfTI stores voxels, so that writing need not turn them around
    return make_image(np.asfortranarray(apply_orientation(values, turn)), like.affine)


def _fast_maps(
    ncct: nib.Nifti1Image, mask: nib.Nifti1Image, atlas: Atlas, options: PriorOptions
) -> tuple[Maps, dict[str, float | str | list[str]]]:
    """One registration on a coarse grid serves territory, sides and mirror; resample at the end."""
    ticks = [time.perf_counter()]
    scan = prepare_scan(ncct, mask, options.spacing_mm)
    working = prepare_atlas(atlas, options.spacing_mm)
    ticks.append(time.perf_counter())
    alignment = align(scan, working, options)
    side = engine.sample(working.side, working.grid, alignment.points, mode="nearest")
    territory = engine.sample(working.territory, working.grid, alignment.points)
    ticks.append(time.perf_counter())
    counterpart = find_counterparts(scan, side, working, alignment, options)
    signed = signed_difference(ncct, mask, counterpart, scan.grid, options.difference)
    ticks.append(time.perf_counter())
    maps = _on_scan(ncct, mask, (territory, scan.grid), (side, scan.grid), signed)
    quality = measure(scan, alignment, side)
    ticks.append(time.perf_counter())
    steps = ("prepare", "register", "difference", "resample")
    for step, begin, end in zip(steps, ticks[:-1], ticks[1:], strict=True):
        quality[f"seconds_{step}"] = end - begin
    return maps, quality


def _on_scan(
    ncct: nib.Nifti1Image,
    mask: nib.Nifti1Image,
    territory: tuple[NDArray[np.float32], Grid],
    side: tuple[NDArray[np.float32], Grid],
    signed: tuple[NDArray[np.float32], Grid],
) -> Maps:
    """Resample the coarse maps into the brain's box on the scan's own grid, once."""
    full = grid_of(ncct)
    brain = np.asarray(mask.dataobj) > 0
    box = bounding_box(brain)
    grid, inside = full.part(box), brain[box]

    def fill(values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
        whole = np.zeros(full.shape, dtype=dtype, order="F")
        np.copyto(whole[box], values, where=inside, casting="unsafe")
        return whole

    left_negative = change_grid(*side, grid)
    sides = np.where(left_negative < 0, HEMISPHERES["left"], HEMISPHERES["right"])
    return {
        "territory": fill(np.clip(change_grid(*territory, grid), 0.0, 1.0), np.float32),
        "hemispheres": fill(sides, np.uint8),
        "signed": fill(change_grid(*signed, grid), np.float32),
    }


def _published_maps(
    ncct: nib.Nifti1Image, mask: nib.Nifti1Image, atlas: Atlas, options: PriorOptions
) -> tuple[Maps, dict[str, float | str | list[str]]]:
    if is_sheared(ncct.affine):
        raise ScanError(
            "a sheared grid (an uncorrected gantry tilt)",
            "axes at right angles, which the published way needs",
            "straighten the scan first, or use the fast way",
        )
    maps, scan, alignment, seconds = compute_published(ncct, mask, atlas, options)
    working = prepare_atlas(atlas, options.spacing_mm)
    side = engine.sample(working.side, working.grid, alignment.points, mode="nearest")
    quality = measure(scan, alignment, side)
    quality.update({f"seconds_{step}": value for step, value in seconds.items()})
    return maps, quality

"""From a scan, its vessels and its priors to the channels that McResNet reads.

Channels, each in [0, 1]:

``ncct``
    HU outside 0-70 set to 0, the rest scaled to [0, 1].
``vessels``
    The same scaling inside the binary vessel mask, 0 elsewhere.
``territory``
    Probability of the MCA's territory.
``difference``
    Absolute difference between the hemispheres, scaled to [0, 1].
``signed_difference``
    This side minus the opposite one; 0.5 is no difference.
``hypodensity``
    By how much this side is darker than the opposite one, scaled to [0, 1]; 0 where it is brighter.
``hyperdensity``
    By how much the core of C7, M1 and M2 is denser than the patient's own blood, scaled to [0, 1].

On the *published* grid scales are each scan's own smallest and largest non-zero value. On the
*brain* grid they are fixed: at full resolution noise fills the window 0-70 HU, so that both are the
same there, but a coarse grid averages the noise away, and the largest value left is often the clot
itself. Scaling by it would hide what is looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lvo_kedro.detection.grids import missing, published_grid
from lvo_kedro.detection.inputs import Arrays, read_arrays
from lvo_kedro.detection.options import HU_WINDOW, ChannelName, ChannelOptions
from lvo_kedro.features import ArteryCores
from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import Grid, grid_of, to_ras
from lvo_kedro.imaging.midline_grid import brain_grid
from lvo_kedro.imaging.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.priors import Priors

NEUTRAL: dict[ChannelName, float] = {"signed_difference": 0.5}
"""Value of a channel where it says nothing; 0 for those not named."""

DENSEST_CLOT_HU = 100.0
"""Voxels of a vessel above this are calcium or bone beside it and are left out of its mean."""

BESIDE_MM = 10.0
"""What lies further from every artery has no part in its density."""

BRAIN_SHARE, VESSEL_SHARE = 0.5, 0.1
"""Share of a coarse voxel that brain and vessel must fill to be shown there."""


def normalize_ncct(ncct: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set what lies outside 0-70 HU to 0 and scale the non-zero voxels to [0, 1]."""
    low, high = HU_WINDOW
    windowed = np.where((ncct >= low) & (ncct <= high), ncct, 0).astype(np.float32)
    return normalize_nonzero(windowed)


def normalize_nonzero(data: NDArray[np.generic]) -> NDArray[np.float32]:
    """Scale the non-zero values to [0, 1] by their own minimum and maximum; zeros stay.

    Values that are all the same become 1: there is something, and it does not vary.
    """
    scaled = np.array(data, dtype=np.float32)
    present = scaled != 0
    if not present.any():
        return scaled
    values = scaled[present]
    low, high = values.min(), values.max()
    scaled[present] = (values - low) / (high - low) if high > low else 1
    return scaled


def plan_grid(
    ncct: nib.Nifti1Image,
    priors: Priors | None,
    options: ChannelOptions,
    brain_mask: nib.Nifti1Image | None = None,
) -> Grid:
    """Return the grid on which the case's channels are sampled (see ``ChannelOptions.grid``).

    Args:
        ncct: Scan in HU.
        priors: Those of the scan; their hemispheres give the midline where the grid follows it.
        options: Grid, spacing and shape.
        brain_mask: Of the scan, > 0 inside; without it the hemispheres say where the brain is.

    Raises:
        ScanError: Too large for the published grid, or no brain to centre on.
        CaseError: The hemispheres are needed and missing.
    """
    if options.grid == "published":
        return published_grid(ncct)
    hemispheres = None if priors is None else priors.hemispheres
    brain = brain_mask if brain_mask is not None else hemispheres
    if brain is None:
        raise missing("brain mask and no hemispheres")
    if options.frame == "native":
        hemispheres = None
    elif hemispheres is None:
        raise missing("hemispheres")
    return brain_grid(brain, hemispheres, options.spacing_mm, options.shape)


def stack_channels(
    ncct: nib.Nifti1Image,
    vessels: nib.Nifti1Image | None,
    priors: Priors | None,
    grid: Literal["published", "brain"] | Grid = "brain",
    *,
    options: ChannelOptions | None = None,
    brain_mask: nib.Nifti1Image | None = None,
) -> Tensor:
    """Make the channels of one case.

    Args:
        ncct: HU, 3D, any orientation.
        vessels: Label image on the same voxels; see ``ChannelOptions.vessel_labels``.
        priors: Territory, hemispheres and differences on the same voxels.
        grid: By name, or the grid that :func:`plan_grid` returned.
        options: Which channels, and the brain grid's geometry.
        brain_mask: Non-zero in the brain. Without it, the brain grid takes the hemispheres, and
            the published grid takes the NCCT as it is (skull-stripped already).

    Returns:
        float32 of shape (channel, x, y, z) in [0, 1]; x grows to the patient's right.

    Raises:
        CaseError: A configured channel is missing, is not finite, is out of range, or does not lie
            on the scan's voxels. No channel is ever replaced by another.
        ScanError: As in :func:`plan_grid`.
    """
    options = options or ChannelOptions()
    if isinstance(grid, str):
        options = options.model_copy(update={"grid": grid})
        grid = plan_grid(ncct, priors, options, brain_mask)
    arrays = read_arrays(ncct, vessels, priors, options, brain_mask)
    if options.grid == "published":
        made = _published_channels(arrays, options, grid.spacing)
        stacked = torch.from_numpy(np.stack([made[name] for name in options.channels]))
        return _pad(stacked, grid.shape, options.channels)
    sampler = Sampler(grid_of(to_ras(ncct)), grid)
    made = {name: _BRAIN_CHANNELS[name](sampler, arrays, options) for name in options.channels}
    return torch.from_numpy(np.stack([made[name] for name in options.channels]).clip(0, 1))


def neutral(channels: tuple[ChannelName, ...]) -> Tensor:
    """Return each channel's value where it says nothing, of shape (channel, 1, 1, 1)."""
    return torch.tensor([NEUTRAL.get(name, 0.0) for name in channels])[:, None, None, None]


def _vessel_mask(arrays: Arrays, options: ChannelOptions) -> NDArray[np.bool_]:
    return np.isin(arrays["vessels"], options.vessel_labels)


def _published_channels(
    arrays: Arrays, options: ChannelOptions, spacing: tuple[float, float, float]
) -> Arrays:
    brain = arrays["brain"] > 0 if "brain" in arrays else True
    made: Arrays = {"ncct": normalize_ncct(np.where(brain, arrays["ncct"], 0))}
    if "vessels" in arrays:
        # vessels run along the brain's surface: the brain mask must not cut them away
        made["vessels"] = normalize_ncct(arrays["ncct"]) * _vessel_mask(arrays, options)
    if "territory" in arrays:
        made["territory"] = arrays["territory"].clip(0, 1)
    if "difference" in arrays:
        made["difference"] = normalize_nonzero(np.abs(arrays["difference"]))
    if "signed_difference" in arrays:
        made["signed_difference"] = _signed(arrays["signed_difference"], options)
    if "hypodensity" in arrays:
        made["hypodensity"] = normalize_nonzero((-arrays["hypodensity"]).clip(0))
    if "hyperdensity" in arrays:
        made["hyperdensity"] = normalize_nonzero(_over_blood(arrays, spacing)[0])
    return made


def _over_blood(
    arrays: Arrays, spacing: tuple[float, float, float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the HU of arteries above the patient's blood, and where arteries are."""
    labels = arrays["hyperdensity"]
    excess, inside = np.zeros(labels.shape, np.float32), np.zeros(labels.shape, np.bool_)
    if (labels > 0).any():
        sides = np.asarray(spacing)
        box = bounding_box(labels > 0, margin=np.ceil(BESIDE_MM / sides))
        cores = ArteryCores(arrays["ncct"][box], labels[box], sides)
        inside[box] = cores.inside
        over = np.nan_to_num(cores.density - cores.blood)  # no artery free of calcium: no blood
        excess[box] = np.where(cores.inside, over, 0).clip(0)
    return excess, inside


def _signed(data: NDArray[np.float32], options: ChannelOptions) -> NDArray[np.float32]:
    return (0.5 + data / (2 * options.signed_range_hu)).clip(0, 1)


def _pad(stacked: Tensor, shape: tuple[int, int, int], channels: tuple[ChannelName, ...]) -> Tensor:
    spare = [full - own for full, own in zip(shape, stacked.shape[1:], strict=True)]
    padding = [width for gap in reversed(spare) for width in (gap // 2, gap - gap // 2)]
    empty = neutral(channels)
    return functional.pad(stacked - empty, padding) + empty


def _brain_ncct(sampler: Sampler, arrays: Arrays, options: ChannelOptions) -> NDArray[np.float32]:
    low, high = HU_WINDOW
    brain = arrays["brain"] > 0 if "brain" in arrays else np.abs(arrays["ncct"]) > 0
    mean, share = sampler.mean_within(arrays["ncct"], brain)
    shown = (share >= BRAIN_SHARE) & (mean >= low) & (mean <= high)
    return np.where(shown, (mean - low) / (high - low), 0).astype(np.float32)


def _brain_vessels(
    sampler: Sampler, arrays: Arrays, options: ChannelOptions
) -> NDArray[np.float32]:
    """Average a vessel's own voxels only, so that brain beside it does not dilute a dense clot."""
    low, high = HU_WINDOW
    mask = _vessel_mask(arrays, options) & (arrays["ncct"] >= low)
    mask &= arrays["ncct"] <= DENSEST_CLOT_HU
    pool = sampler.mean_within if options.vessel_pooling == "mean" else sampler.maximum_within
    density, share = pool(arrays["ncct"], mask)
    scaled = (density.clip(low, high) - low) / (high - low)
    return np.where(share >= VESSEL_SHARE, scaled, 0).astype(np.float32)


def _brain_territory(
    sampler: Sampler, arrays: Arrays, options: ChannelOptions
) -> NDArray[np.float32]:
    return sampler.linear(arrays["territory"])


def _brain_difference(
    sampler: Sampler, arrays: Arrays, options: ChannelOptions
) -> NDArray[np.float32]:
    return sampler.linear(np.abs(arrays["difference"])) / np.float32(options.difference_range_hu)


def _brain_signed(sampler: Sampler, arrays: Arrays, options: ChannelOptions) -> NDArray[np.float32]:
    return _signed(sampler.linear(arrays["signed_difference"]), options)


def _brain_hypodensity(
    sampler: Sampler, arrays: Arrays, options: ChannelOptions
) -> NDArray[np.float32]:
    # averaged first: noise that is darker here and brighter there cancels out
    darker = (-sampler.linear(arrays["hypodensity"])).clip(0)
    return (darker / options.difference_range_hu).astype(np.float32)


def _brain_hyperdensity(
    sampler: Sampler, arrays: Arrays, options: ChannelOptions
) -> NDArray[np.float32]:
    excess, inside = _over_blood(arrays, sampler.spacing)
    highest, share = sampler.maximum_within(excess, inside)
    shown = np.where(share >= VESSEL_SHARE, highest, 0)
    return (shown / options.hyperdensity_range_hu).astype(np.float32)


_BRAIN_CHANNELS: dict[
    ChannelName, Callable[[Sampler, Arrays, ChannelOptions], NDArray[np.float32]]
] = {
    "ncct": _brain_ncct,
    "vessels": _brain_vessels,
    "territory": _brain_territory,
    "difference": _brain_difference,
    "signed_difference": _brain_signed,
    "hypodensity": _brain_hypodensity,
    "hyperdensity": _brain_hyperdensity,
}

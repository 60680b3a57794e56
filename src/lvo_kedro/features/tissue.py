"""The tissue that the middle cerebral artery supplies, on one side against the other.

Read in the midline frame, where the mirror image of a side is an array flip. Both sides are turned
outwards alike: along x, index 0 lies at the midline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.features.options import FeatureOptions
from lvo_kedro.imaging.geometry import Grid, grid_of, to_ras
from lvo_kedro.imaging.midline_grid import brain_grid
from lvo_kedro.imaging.midplane import Midplane
from lvo_kedro.imaging.sampling import Sampler
from lvo_kedro.vocabulary import HEMISPHERES, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

PARTS: Final = ("whole", "front", "back", "deep", "high")
"""Of the territory: its front and back half, the basal ganglia and insula, the vertex."""
SMOOTHED_MM: Final = (6.0, 10.0, 15.0)
"""Standard deviations of the Gaussians behind the low percentiles: small and large infarcts."""
LOW_PERCENT: Final = (5, 25)
STATISTICS: Final = (
    *(f"{part}_hu" for part in PARTS),
    *(f"low{percent}_of_{mm:.0f}mm_hu" for mm in SMOOTHED_MM for percent in LOW_PERCENT),
)
"""Names of the territory's numbers, all differences to the other side in HU."""

_DEEP_MM, _HIGH_MM = 32.0, 10.0
_SHRINK: Final = 2.0
"""Voxels without a difference that each block is averaged with: little tissue says little."""


class Tissue(NamedTuple):
    """One case; the first axis of each array is the patient's left, then right side.

    Attributes:
        statistics: (2, ``STATISTICS``), HU against the other side.
        blocks: (2, x, y, z), the mean difference (HU) of each block within the territory, drawn
            to 0 where there is little of it.
        shares: (2, x, y, z), 0 to 1: how much of each block is territory that can be compared.
        grid: Midline grid; block (i, j, k) of the right side starts at its voxel (half + i n,
            j n, k n), that of the left ends at half - i n.
        edge: Voxels n along the edge of a block.
    """

    statistics: Floats
    blocks: Floats
    shares: Floats
    grid: Grid
    edge: int

    @property
    def midplane(self) -> Midplane:
        """The plane that parts both halves of the grid."""
        middle = (np.asarray(self.grid.shape) - 1) / 2
        across = self.grid.affine[:3, 0]
        return Midplane(apply_affine(self.grid.affine, middle), across / np.linalg.norm(across))


def compare_tissue(
    ncct: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    priors: Mapping[str, nib.Nifti1Image],
    options: FeatureOptions = FeatureOptions(),
) -> Tissue:
    """Compare the territory of each side with the mirrored one.

    Args:
        ncct: HU; gives the voxels on which the priors lie.
        brain_mask: Non-zero in the brain.
        priors: ``hemispheres``, ``territory_probability`` and ``signed_difference`` of
            :class:`lvo_kedro.priors.Priors`.
        options: Grid, blocks and limits.

    Returns:
        Statistics and blocks of both sides.

    Raises:
        ScanError: No brain, or no two hemispheres that touch.
    """
    grid = brain_grid(brain_mask, priors["hemispheres"], options.tissue_mm, options.tissue_shape)
    sampler = Sampler(grid_of(to_ras(ncct)), grid)
    signed = _array(priors["signed_difference"])
    limit = options.old_infarct_hu
    # 0 is not a difference but a place that cannot be compared, beside fluid or at calcium
    difference, share = sampler.mean_within(np.clip(signed, -limit, limit), signed != 0)
    difference = np.where(share > 0.1, difference, 0)
    territory = sampler.linear(_array(priors["territory_probability"])).clip(0, 1)
    sides = [
        (_outwards(difference, side), _outwards(share, side), _outwards(territory, side))
        for side in HEMISPHERES
    ]
    blocks = [_blocks(d, s * t, options) for d, s, t in sides]
    return Tissue(
        np.array([_statistics(d, s, t, options.tissue_mm) for d, s, t in sides]),
        np.array([mean for mean, _ in blocks]),
        np.array([filled for _, filled in blocks]),
        grid,
        options.block_voxels,
    )


def territory_differences(
    priors: Mapping[str, nib.Nifti1Image], options: FeatureOptions = FeatureOptions()
) -> dict[Side, float]:
    """Return each side's territory minus the other's, in HU; 0 where a side has none.

    Args:
        priors: As for :func:`compare_tissue`.
        options: ``old_infarct_hu`` limits each voxel.
    """
    sides = np.asarray(priors["hemispheres"].dataobj)
    difference = np.asarray(priors["signed_difference"].dataobj, dtype=np.float32)
    compared = (np.asarray(priors["territory_probability"].dataobj) > 0.5) & (difference != 0)
    limited = np.clip(difference, -options.old_infarct_hu, options.old_infarct_hu)
    means = {}
    for side, label in HEMISPHERES.items():
        values = limited[compared & (sides == label)]
        means[side] = float(values.mean()) if values.size else 0.0
    half = (means["left"] - means["right"]) / 2
    return {"left": half, "right": -half}


def block_box(tissue: Tissue, side: Side, block: tuple[int, int, int]) -> tuple[slice, ...]:
    """Return the voxels of the midline grid that a block covers.

    Args:
        tissue: Of :func:`compare_tissue`.
        side: The patient's.
        block: Its place in :attr:`Tissue.blocks`, without the first axis.
    """
    n, half = tissue.edge, tissue.grid.shape[0] // 2
    i, j, k = (n * place for place in block)
    x = slice(half + i, half + i + n) if side == "right" else slice(half - i - n, half - i)
    return x, slice(j, j + n), slice(k, k + n)


def _array(image: nib.Nifti1Image) -> NDArray[np.float32]:
    return np.asarray(to_ras(image).dataobj, dtype=np.float32)


def _outwards(values: Floats, side: Side) -> Floats:
    """Return one half of the midline grid with the midline at x index 0."""
    half = values.shape[0] // 2
    return values[half:] if side == "right" else values[:half][::-1]


def _statistics(difference: Floats, share: Floats, territory: Floats, mm: float) -> list[float]:
    x, y, z = np.meshgrid(*(np.arange(n) * mm for n in difference.shape), indexing="ij")
    y, z = y - y.max() / 2, z - z.max() / 2
    weight = share * territory * (territory > 0.2)
    parts = (np.ones_like(x, dtype=bool), y > 0, y <= 0, x + mm / 2 < _DEEP_MM, z > _HIGH_MM)
    means = [
        float((difference * weight * part).sum() / max((weight * part).sum(), 1e-3))
        for part in parts
    ]
    compared, inside = share * (territory > 0.3), (territory > 0.4) & (share > 0.3)
    for sigma in SMOOTHED_MM:
        total = ndimage.gaussian_filter(compared, sigma / mm)
        smooth = ndimage.gaussian_filter(difference * compared, sigma / mm)
        values = (smooth / np.maximum(total, 1e-3))[inside]
        means += np.percentile(values, LOW_PERCENT).tolist() if values.size > 20 else [0.0, 0.0]
    return means


def _blocks(difference: Floats, weight: Floats, options: FeatureOptions) -> tuple[Floats, Floats]:
    """Return the mean difference and the filled share of each block."""
    n = options.block_voxels
    limited = np.clip(difference, -options.block_limit_hu, options.block_limit_hu)
    count = [length // n for length in weight.shape]
    shape = [part for length in count for part in (length, n)]
    cut = tuple(slice(0, length * n) for length in count)
    total = (limited * weight)[cut].reshape(shape).sum((1, 3, 5))
    filled = weight[cut].reshape(shape).sum((1, 3, 5))
    return total / (filled + _SHRINK), filled / n**3

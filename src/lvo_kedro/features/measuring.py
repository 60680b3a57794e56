"""One case's numbers of both sides, and how they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch

from lvo_kedro.features.arteries import BLOOD, CORE, PLACE, SEARCHED, describe_arteries
from lvo_kedro.features.options import FeatureOptions
from lvo_kedro.features.tissue import Tissue, compare_tissue, territory_differences
from lvo_kedro.imaging.geometry import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    import pandas as pd
    from torch import Tensor

TERRITORY: Final = "territory_difference"
"""Of a side: the territory that its arteries supply against the other side's, in HU."""
SCAN: Final = ("brain_median_hu", "noise_hu", "slice_thickness_mm", "child")
"""What is kept of a scan's quality, to tell whether it is like those of the training."""
_ARRAYS: Final = ("statistics", "blocks", "shares")


class SideFeatures(NamedTuple):
    """What was measured on both sides of one head.

    Attributes:
        arteries: Table of :func:`~lvo_kedro.features.arteries.describe_arteries`, with
            ``territory_difference`` (HU), alike for all segments of a side.
        tissue: Of :func:`~lvo_kedro.features.tissue.compare_tissue`.
        scan: The numbers of :data:`SCAN`, NaN where one is not known.
    """

    arteries: pd.DataFrame
    tissue: Tissue
    scan: Mapping[str, float]


def measure_sides(
    ncct: nib.Nifti1Image,
    vessel_labels: nib.Nifti1Image,
    brain_mask: nib.Nifti1Image,
    priors: Mapping[str, nib.Nifti1Image],
    *,
    quality: Mapping[str, float | None],
    options: FeatureOptions = FeatureOptions(),
) -> SideFeatures:
    """Measure arteries and tissue of both sides of a head.

    Args:
        ncct: HU, any orientation; axes at right angles.
        vessel_labels: Vessel labels on the scan's grid, predicted or annotated.
        brain_mask: Non-zero in the brain.
        priors: ``hemispheres``, ``territory_probability`` and ``signed_difference`` of
            :class:`lvo_kedro.priors.Priors`.
        quality: Of :func:`lvo_kedro.imaging.describe_scan`: the numbers of :data:`SCAN`.
        options: How.

    Returns:
        Numbers of the patient's left and right.

    Raises:
        ScanError: No brain, or no two hemispheres.
    """
    arteries = describe_arteries(ncct, vessel_labels, priors["hemispheres"], options)
    of_side = territory_differences(priors, options)
    return SideFeatures(
        arteries.assign(**{TERRITORY: arteries["side"].map(of_side)}),
        compare_tissue(ncct, brain_mask, priors, options),
        {name: _number(quality[name]) for name in SCAN},
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def leave_out(features: SideFeatures, channel: str) -> SideFeatures:
    """Return features without what a channel of the network is made of, to see what they tell then.

    Args:
        features: Of :func:`measure_sides`.
        channel: ``vessels`` and ``hyperdensity``: no artery was found. ``territory`` and the
            differences: there is no tissue to compare. ``ncct`` changes nothing: what is read of
            it lies in the others.
    """
    arteries, tissue = features.arteries, features.tissue
    if channel in ("vessels", "hyperdensity"):
        arteries = arteries.assign(volume_ml=0.0, **dict.fromkeys((CORE, BLOOD, *PLACE), np.nan))
        arteries = arteries.assign(**dict.fromkeys(SEARCHED, 0.0))
    elif channel != "ncct":
        arteries = arteries.assign(**{TERRITORY: 0.0})
        tissue = tissue._replace(**{name: 0 * getattr(tissue, name) for name in _ARRAYS})
    return features._replace(arteries=arteries, tissue=tissue)


def pack_features(features: SideFeatures) -> dict[str, Any]:
    """Return what is stored of a case's features: a table, tensors for a safetensors file, numbers.

    Args:
        features: Of :func:`measure_sides`.
    """
    tissue = features.tissue
    arrays = {name: torch.from_numpy(np.float32(getattr(tissue, name))) for name in _ARRAYS}
    grid = {
        "shape": torch.tensor(tissue.grid.shape),
        "affine": torch.from_numpy(tissue.grid.affine.copy()),
        "edge": torch.tensor(tissue.edge),
    }
    return {"arteries": features.arteries, "tissue": arrays | grid, "scan": dict(features.scan)}


def unpack_features(stored: Mapping[str, Any]) -> SideFeatures:
    """Return the features that :func:`pack_features` packed.

    Args:
        stored: Its three parts by name.
    """
    tensors: Mapping[str, Tensor] = stored["tissue"]
    x, y, z = tensors["shape"].tolist()
    statistics, blocks, shares = (tensors[name].numpy() for name in _ARRAYS)
    grid = Grid((x, y, z), tensors["affine"].numpy())
    return SideFeatures(
        stored["arteries"],
        Tissue(statistics, blocks, shares, grid, int(tensors["edge"])),
        stored["scan"],
    )

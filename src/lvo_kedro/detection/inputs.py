"""Reads and checks the images that channels are made of; none is ever replaced by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvo_kedro.detection.grids import missing
from lvo_kedro.errors import CaseError
from lvo_kedro.imaging.geometry import Grid, grid_of, to_ras

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.detection.options import ChannelOptions
    from lvo_kedro.priors import Priors

Arrays = dict[str, "NDArray[np.float32]"]


def read_arrays(
    ncct: nib.Nifti1Image,
    vessels: nib.Nifti1Image | None,
    priors: Priors | None,
    options: ChannelOptions,
    brain_mask: nib.Nifti1Image | None,
) -> Arrays:
    """Return the arrays that the configured channels need, all on the scan's RAS+ voxels.

    Arguments and errors are those of :func:`~lvo_kedro.detection.stack_channels`.
    """
    images: dict[str, nib.Nifti1Image | None] = {"ncct": ncct}
    for name in ("vessels", "hyperdensity"):
        if name in options.channels:
            images[name] = vessels
    for name, attribute in (
        ("territory", "territory_probability"),
        ("difference", "difference"),
        ("signed_difference", "signed_difference"),
        ("hypodensity", "signed_difference"),
    ):
        if name in options.channels:
            images[name] = getattr(priors, attribute, None)
    brain = brain_mask
    if brain is None and options.grid == "brain":
        brain = getattr(priors, "hemispheres", None)
    if brain is not None:
        images["brain"] = brain
    grid = grid_of(to_ras(ncct))
    return {name: _read_array(name, image, grid) for name, image in images.items()}


def _read_array(name: str, image: nib.Nifti1Image | None, grid: Grid) -> NDArray[np.float32]:
    if image is None:
        raise missing(name)
    image = to_ras(image)
    if image.shape != grid.shape or not np.allclose(image.affine, grid.affine, atol=1e-2):
        raise CaseError(
            f"{name} of {image.shape} voxels that are not those of the NCCT, {grid.shape}",
            "the scan's own grid",
            "resample it to the NCCT first",
        )
    try:
        data = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError) as error:
        raise CaseError(
            f"{name} that cannot be read ({error})", "a complete image", "make it again"
        ) from error
    if not np.isfinite(data).all():
        raise CaseError(f"{name} with NaN or infinite values", "finite values", "make it again")
    if name == "territory" and (data.min() < -1e-3 or data.max() > 1 + 1e-3):
        raise CaseError(
            f"territory values from {data.min():.3g} to {data.max():.3g}",
            "probabilities in [0, 1]",
            "check the atlas's territory map",
        )
    return data

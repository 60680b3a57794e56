"""The atlas that comes with the package: nilearn's MNI152 and a smooth MCA-territory model.

nilearn bundles the *symmetric* MNI152 (ICBM 2009a) template, so no file is downloaded: anatomy,
hemispheres and territory are mirror images of themselves at world x = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import nibabel as nib
import numpy as np

from lvo_kedro.imaging.geometry import grid_of, make_image, world_axis
from lvo_kedro.vocabulary import HEMISPHERES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

GREY_HU: Final = 38.0
WHITE_HU: Final = 30.0
CSF_HU: Final = 8.0
"""What the three tissues of a template measure on a CT at about 120 kV."""

# Watershed model of the middle cerebral artery's territory, in mm of MNI space.
_PEAK: Final = 0.95
_MEDIAL_LIMIT, _MEDIAL_WIDTH = 21.0, 6.0  # border to the anterior cerebral and deep territories
_CENTRE_Y, _CENTRE_Z = -15.0, 20.0  # behind the Sylvian fissure's middle
_FISSURE_SLOPE: Final = -0.5  # the fissure, and the territory with it, climbs to the back
_RADIUS_Y, _RADIUS_Z = 40.0, 32.0  # towards frontal and occipital pole, vertex and skull base


def model_territory(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> NDArray[np.float32]:
    """Return the probability that the middle cerebral artery feeds a point of MNI space.

    The territory is the lateral convexity around the Sylvian fissure with insula and lentiform
    nucleus: a logistic border to the midline, times a Gaussian fall-off along a core that climbs
    backwards. It is the same on both sides.

    Args:
        x: World coordinates in mm, as are ``y`` and ``z``; any shapes that broadcast.
        y: Grows to the front.
        z: Grows to the head.

    Returns:
        Probability (float32), in the broadcast shape.
    """
    x, y, z = np.asarray(x), np.asarray(y), np.asarray(z)
    lateral = 1.0 / (1.0 + np.exp((_MEDIAL_LIMIT - np.abs(x)) / _MEDIAL_WIDTH))
    along = (y - _CENTRE_Y - _FISSURE_SLOPE * (z - _CENTRE_Z)) / _RADIUS_Y
    upward = (z - _CENTRE_Z) / _RADIUS_Z
    core = np.exp(-0.5 * (along**2 + upward**2))
    return np.asarray(_PEAK * lateral * core, dtype=np.float32)


def embedded_images(resolution: int = 2) -> dict[str, nib.Nifti1Image]:
    """Compute the embedded atlas.

    Args:
        resolution: Edge of a voxel in mm; 1 is what nilearn bundles.

    Returns:
        ``template`` (T1, 0 outside the brain), ``template_hu`` (the same anatomy as a CT shows it,
        HU), ``territory_probability`` and ``hemispheres``, on one RAS+ grid.
    """
    from nilearn import datasets  # noqa: PLC0415  (takes a second to import)

    mask_image = nib.as_closest_canonical(datasets.load_mni152_brain_mask(resolution=resolution))
    grid = grid_of(mask_image)
    brain = np.asarray(mask_image.dataobj) > 0
    t1 = datasets.load_mni152_template(resolution=resolution)
    grey = datasets.load_mni152_gm_template(resolution=resolution)
    white = datasets.load_mni152_wm_template(resolution=resolution)
    x, y, z = (world_axis(grid, axis) for axis in range(3))
    sides = np.where(x < 0, HEMISPHERES["left"], HEMISPHERES["right"])
    arrays: dict[str, NDArray[Any]] = {
        "template": np.where(brain, _values(t1), 0.0).astype(np.float32),
        "template_hu": _as_ct(_values(grey), _values(white), brain),
        "territory_probability": np.where(brain, model_territory(x, y, z), 0).astype(np.float32),
        "hemispheres": np.where(brain, sides, 0).astype(np.uint8),
    }
    return {name: make_image(array, grid.affine) for name, array in arrays.items()}


def _values(image: nib.Nifti1Image) -> NDArray[np.float32]:
    return np.asarray(nib.as_closest_canonical(image).dataobj, dtype=np.float32)


def _as_ct(
    grey: NDArray[np.float32], white: NDArray[np.float32], brain: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Mix the tissues' HU; what is neither grey nor white matter inside the brain is CSF."""
    fluid = np.clip(1.0 - grey - white, 0.0, 1.0)
    total = np.maximum(grey + white + fluid, 1e-6)
    mixed = (GREY_HU * grey + WHITE_HU * white + CSF_HU * fluid) / total
    return np.where(brain, mixed, 0.0).astype(np.float32)

"""How much a perfect reader could see: scores read from the true masks, never from the label.

An oracle calibrates the presets. It must be nearly perfect where a trained model is expected to
be good, and a reading that looks at nothing must be worth nothing.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import ndimage

from lvo_kedro.simulation.arteries import STEP_MM

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.simulation.arteries import Artery
    from lvo_kedro.simulation.case import SimulatedCase

WINDOW_MM: Final = 9.0
"""Length of artery of which the median is read: longer than any plaque."""
TISSUE_HU: Final = (15.0, 60.0)
"""Densities that count as brain tissue in the territory."""


def oracle_scores(case: SimulatedCase) -> dict[str, float]:
    """Read asymmetries from a case's scan and true masks; ``lvo``, side and clot are not used.

    Args:
        case: A simulated case.

    Returns:
        ``clot``: largest difference (HU) of a stretch of artery to its mirrored stretch;
        ``territory``: absolute difference (HU) between the MCA territories of both sides;
        ``oracle``: both together; ``position``: world x (mm) of the brain's centre,
        a reading that should be worth nothing.
    """
    brain = np.asarray(case.brain_mask.dataobj) > 0
    hu = np.asarray(case.ncct.dataobj, dtype=np.float32)
    clot = _artery_asymmetry(hu, case)
    territory = abs(territory_difference(case))
    centre = case.ncct.affine[:3, :3] @ np.argwhere(brain).mean(0) + case.ncct.affine[:3, 3]
    return {
        "clot": clot,
        "territory": territory,
        "oracle": clot / 6.0 + territory / 1.5,
        "position": float(centre[0]),
    }


def artefact_features(case: SimulatedCase) -> dict[str, float]:
    """Read what must not tell occluded from open: geometry, noise, volume and file size.

    Args:
        case: A simulated case.

    Returns:
        Voxel counts, spacings (mm), array directions, position of the scan and of the head (mm),
        noise (HU), brain volume (ml) and the compressed size of the voxels (kB).
    """
    hu = np.asarray(case.ncct.dataobj)
    brain = np.asarray(case.brain_mask.dataobj) > 0
    affine = case.ncct.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    step = int(np.argmin(np.abs(affine[2, :3])))  # an axis within the slice
    change = np.abs(np.diff(np.moveaxis(hu.astype(np.float32), step, -1), axis=-1))
    within = np.moveaxis(brain, step, -1)
    within = within[..., 1:] & within[..., :-1]
    centre = affine[:3, :3] @ np.argwhere(brain).mean(0) + affine[:3, 3]
    features = {
        "noise_brain": float(np.median(change[within])),
        "noise_all": float(np.median(change[~within])),
        "brain_ml": float(brain.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000),
        "field_ml": float(brain.size * abs(np.linalg.det(affine[:3, :3])) / 1000),
        "file_kb": len(gzip.compress(hu.tobytes(), 6, mtime=0)) / 1000,
    }
    for axis, name in enumerate("xyz"):
        features[f"count_{name}"] = float(hu.shape[axis])
        features[f"spacing_{name}"] = float(spacing[axis])
        features[f"direction_{name}"] = float(np.sign(affine[:3, axis].sum()))
        features[f"origin_{name}"] = float(affine[axis, 3])
        features[f"centre_{name}"] = float(centre[axis])
    return features


def territory_difference(case: SimulatedCase) -> float:
    """Return the density (HU) of the left minus the right MCA territory.

    Args:
        case: A simulated case.
    """
    hu = np.asarray(case.ncct.dataobj, dtype=np.float32)
    inside = np.asarray(case.territory_probability.dataobj) > 0.5
    tissue = inside & (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])
    sides = np.asarray(case.hemispheres.dataobj)
    return float(hu[tissue & (sides == 1)].mean() - hu[tissue & (sides == 2)].mean())


def _artery_asymmetry(hu: NDArray[np.float32], case: SimulatedCase) -> float:
    """Return the largest difference between a stretch of C7, M1 or M2 and its counterpart."""
    pairs: dict[str, dict[str | None, Artery]] = {}
    for artery in case.arteries:
        pairs.setdefault(artery.name, {})[artery.side] = artery
    largest = 0.0
    for name, pair in pairs.items():
        if not name.startswith(("C7", "M1", "M2")):
            continue
        left, right = (_running_median(hu, case.ncct, pair[side]) for side in ("left", "right"))
        at = np.linspace(0, 1, 60)
        difference = np.interp(at, np.linspace(0, 1, left.size), left)
        difference -= np.interp(at, np.linspace(0, 1, right.size), right)
        largest = max(largest, float(np.abs(difference).max()))
    return largest


def _running_median(
    hu: NDArray[np.float32], image: nib.Nifti1Image, artery: Artery
) -> NDArray[np.float64]:
    to_index = np.linalg.inv(image.affine)
    index = (artery.points @ to_index[:3, :3].T + to_index[:3, 3]).T
    along = ndimage.map_coordinates(hu, index, order=1, mode="nearest")
    count = min(round(WINDOW_MM / STEP_MM), along.size)
    windows = np.lib.stride_tricks.sliding_window_view(along, count)
    return np.asarray(np.median(windows, axis=-1), dtype=float)

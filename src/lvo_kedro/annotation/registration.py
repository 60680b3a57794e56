"""The angiography brought onto the plain scan: the same skull, minutes apart, so rigidly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from lvo_kedro.annotation.options import CtaRegistrationOptions
from lvo_kedro.errors import RegistrationError
from lvo_kedro.imaging.geometry import Grid, grid_of, isotropic_grid, to_ras
from lvo_kedro.imaging.resampling import change_grid
from lvo_kedro.priors import engine

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

_AIR_HU: Final = -1000.0
_WINDOW_HU: Final = (-100.0, 700.0)
"""Air to bone. The skull decides; contrast medium is a thousandth of the voxels."""
_LEAST_SKULL: Final = 200
"""Voxels of skull that both scans must see."""


@dataclass(frozen=True)
class CtaAlignment:
    """Where the angiography's head lies against the plain scan's."""

    matrix: NDArray[np.float64]
    """4 x 4 rigid map, world of the plain scan (mm) to world of the angiography."""
    overlap: float
    """Dice of the skulls where both scans see."""
    shift_mm: float
    """How far the head's middle has moved between the scans."""
    rotation_deg: float
    """How far the head has turned."""

    def record(self) -> dict[str, Any]:
        """Return map and measures, to be kept beside the labels."""
        return {
            "cta_matrix": self.matrix.tolist(),
            "skull_overlap": self.overlap,
            "shift_mm": self.shift_mm,
            "rotation_deg": self.rotation_deg,
        }


def register_cta(
    cta: nib.Nifti1Image,
    ncct: nib.Nifti1Image,
    options: CtaRegistrationOptions = CtaRegistrationOptions(),
) -> CtaAlignment:
    """Find how the head moved between a plain scan and an angiography of the same study.

    Both share the scanner's world as a rule, so the search starts from there, and from the heads'
    centres of mass where that leads astray.

    Args:
        cta: HU, any orientation and field of view; axes at right angles.
        ncct: HU, likewise.
        options: Voxels, what bone is, which overlap is enough.

    Returns:
        The rigid map and how well the skulls lie on one another.

    Raises:
        RegistrationError: The skulls do not match: another patient, another body part, too
            little in common.
    """
    fixed, moving = _small(ncct, options), _small(cta, options)
    with threadpool_limits(1, user_api="blas"):  # sums differ with the number of threads
        found = [_attempt(fixed, moving, np.eye(4), options)]
        if found[0].overlap < options.least_overlap:
            found.append(_attempt(fixed, moving, None, options))
    best = max(found, key=lambda one: one.overlap)
    if best.overlap < options.least_overlap:
        raise RegistrationError(
            f"an angiography whose skull overlaps the plain scan's by Dice {best.overlap:.2f}",
            f"at least {options.least_overlap:.2f} (cta_registration.least_overlap)",
            "look whether both are of one patient and one study, and both show the head",
        )
    return best


class _Head:
    """A scan on cubic voxels."""

    def __init__(self, hu: NDArray[np.float32], grid: Grid, source: Grid, bone_hu: float) -> None:
        self.hu, self.grid, self.source = np.clip(hu, *_WINDOW_HU), grid, source
        self.bone = hu > bone_hu


def _small(image: nib.Nifti1Image, options: CtaRegistrationOptions) -> _Head:
    image = to_ras(image)
    source, grid = grid_of(image), isotropic_grid(image, options.spacing_mm)
    values = np.asarray(image.dataobj, dtype=np.float32)
    hu = change_grid(values, source, grid, fill=_AIR_HU)
    return _Head(hu, grid, source, options.bone_hu)


def _attempt(
    fixed: _Head,
    moving: _Head,
    start: NDArray[np.float64] | None,
    options: CtaRegistrationOptions,
) -> CtaAlignment:
    try:
        mapping = engine.register(
            fixed.hu, moving.hu, fixed.grid, moving.grid,
            kind="Rigid", start=start, seed=options.seed,
        )  # fmt: skip
    except RegistrationError:  # a start from which nothing is found is judged by its overlap
        return CtaAlignment(np.eye(4), 0.0, 0.0, 0.0)
    matrix = mapping.affine
    turn = np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1)))
    middle = fixed.grid.affine @ [*(np.asarray(fixed.grid.shape) / 2), 1]
    shift = float(np.linalg.norm((matrix @ middle - middle)[:3]))
    return CtaAlignment(matrix, _skull_overlap(fixed, moving, matrix), shift, float(turn))


def _skull_overlap(fixed: _Head, moving: _Head, matrix: NDArray[np.float64]) -> float:
    points = engine.transform(matrix, engine.grid_points(fixed.grid))
    seen = engine.is_inside(points, moving.source)
    bone = engine.sample(moving.bone.astype(np.float32), moving.grid, points) > 0.5
    own = fixed.bone & seen
    total = int(own.sum() + (bone & seen).sum())
    return 2.0 * float((bone & own).sum()) / total if total > 2 * _LEAST_SKULL else 0.0

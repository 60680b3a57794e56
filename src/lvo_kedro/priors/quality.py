"""Measures of a registration, and what to say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvo_kedro.priors import engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.priors.options import QualityLimits
    from lvo_kedro.priors.registration import Alignment, WorkingAtlas, WorkingScan


def jacobian_range(mapping: Mapping, brain: NDArray[np.float32]) -> tuple[float, float]:
    """Return smallest and largest local volume change of the deformable part in the brain."""
    points = engine.grid_points(mapping.grid) + mapping.forward
    gradients = np.stack([np.stack(np.gradient(part)) for part in points])  # (3, 3, X, Y, Z)
    volume = np.linalg.det(np.moveaxis(gradients, (0, 1), (-2, -1)))
    relative = volume / np.linalg.det(mapping.grid.affine[:3, :3])
    inside = relative[brain > 0.5]
    return float(inside.min()), float(inside.max())


def measure(
    scan: WorkingScan, atlas: WorkingAtlas, alignment: Alignment, side: NDArray[np.float32]
) -> dict[str, float | str | list[str]]:
    """Measure an alignment.

    Args:
        scan: The scan that was aligned.
        atlas: The atlas it was aligned with.
        alignment: The result.
        side: Distance from the midline at each working voxel, negative on the left.

    Returns:
        Overlap, similarity, Jacobian range, coverage, volumes, midline shift (mm), start.
    """
    low, high = jacobian_range(alignment.mapping, scan.brain)
    left = float(scan.brain[side < 0].sum())
    right = float(scan.brain[side >= 0].sum())
    return {
        "start": alignment.start,
        "overlap": alignment.overlap,
        "similarity": alignment.similarity,
        "jacobian_min": low,
        "jacobian_max": high,
        "left_right_ratio": left / max(right, 1e-6),
        "coverage": _coverage(scan, atlas, alignment),
        "midline_shift_mm": _midline_shift(scan, side),
    }


def find_faults(quality: dict[str, float | str | list[str]], limits: QualityLimits) -> list[str]:
    """Say in words which measures are outside their limits."""

    def value(name: str) -> float:
        return float(quality[name])  # type: ignore[arg-type]

    ratio = value("left_right_ratio")
    ratio = max(ratio, 1.0 / max(ratio, 1e-6))
    rules = (
        (
            value("overlap") < limits.overlap,
            f"atlas and brain mask overlap by Dice {value('overlap'):.2f} only",
        ),
        (
            value("similarity") < limits.similarity,
            f"template and scan correlate by {value('similarity'):.2f} only",
        ),
        (
            value("jacobian_min") < limits.jacobian_low,
            f"the map nearly folds (smallest volume change {value('jacobian_min'):.2f})",
        ),
        (
            value("jacobian_max") > limits.jacobian_high,
            f"the map stretches by up to {value('jacobian_max'):.1f} in volume",
        ),
        (
            ratio > limits.volume_ratio,
            f"one hemisphere is {ratio:.2f} times as large as the other",
        ),
        (
            value("coverage") < limits.coverage,
            f"the scan shows {100 * value('coverage'):.0f} % of the brain",
        ),
        (
            value("midline_shift_mm") > limits.midline_shift_mm,
            f"the midline is bent by {value('midline_shift_mm'):.0f} mm",
        ),
    )
    return [words for applies, words in rules if applies]


def _coverage(scan: WorkingScan, atlas: WorkingAtlas, alignment: Alignment) -> float:
    """Return the part of the atlas brain that is mapped into the scan's field of view."""
    thin = (slice(None, None, 2),) * 3
    points = engine.grid_points(atlas.grid)[(slice(None), *thin)]
    weight = atlas.brain[thin]
    brain = points[:, weight > 0.5]
    fixed = alignment.mapping.to_fixed(brain)
    seen = engine.sample(scan.seen.astype(np.float32), scan.grid, fixed)
    return float((seen > 0.5).mean())


def _midline_shift(scan: WorkingScan, side: NDArray[np.float32]) -> float:
    """Return how far (95th percentile, mm) the midline leaves the plane that fits it best."""
    near = (np.abs(side) < scan.grid.spacing[0]) & (scan.brain > 0.5)
    if near.sum() < 20:
        return 0.0
    points = engine.grid_points(scan.grid)[:, near].astype(float)
    centred = points - points.mean(axis=1, keepdims=True)
    normal = np.linalg.svd(centred, full_matrices=False)[0][:, 2]
    return float(np.percentile(np.abs(normal @ centred), 95))

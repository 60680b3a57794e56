"""Measures of a registration, and what to say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from lvo_kedro.priors import engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.priors.options import PriorLimits
    from lvo_kedro.priors.registration import Alignment, WorkingScan


_RIM_MM = 12.0


def jacobian_range(mapping: Mapping, brain: NDArray[np.float32]) -> tuple[float, float]:
    """Return smallest and largest local volume change of the deformable part in the brain."""
    points = engine.grid_points(mapping.grid) + mapping.forward
    gradients = np.stack([np.stack(np.gradient(part)) for part in points])  # (3, 3, X, Y, Z)
    volume = np.linalg.det(np.moveaxis(gradients, (0, 1), (-2, -1)))
    relative = volume / np.linalg.det(mapping.grid.affine[:3, :3])
    inside = relative[brain > 0.5]
    return float(inside.min()), float(inside.max())


def midline_shift(scan: WorkingScan, side: NDArray[np.float32]) -> float:
    """Return how far (99th percentile, mm) the midline leaves the plane through its rim.

    At the skull the falx holds the midline in its place; what is pushed aside lies between.
    """
    near = (np.abs(side) < scan.grid.spacing[0]) & (scan.brain > 0.5)
    inside = (scan.brain > 0.5) | ~scan.seen  # where the scan ends is no rim
    rim = distance_transform_edt(inside, sampling=scan.grid.spacing)[near] < _RIM_MM
    if rim.sum() < 20:
        return 0.0
    points = engine.grid_points(scan.grid)[:, near].astype(float)
    normal = _plane(points)[1]
    normal *= np.sign(normal @ (points * side[near]).sum(axis=1) or 1.0)
    midline = points - np.outer(normal, side[near])  # from voxel centres onto the surface
    centre, normal = _plane(midline[:, rim])
    return float(np.percentile(np.abs(normal @ (midline - centre)), 99))


def measure(
    scan: WorkingScan, alignment: Alignment, side: NDArray[np.float32]
) -> dict[str, float | str | list[str]]:
    """Measure an alignment.

    Args:
        scan: The scan that was aligned.
        alignment: The result.
        side: Distance from the midline at each working voxel, negative on the left.

    Returns:
        Overlap, similarity, Jacobian range, coverage (brain, arteries), volumes, midline shift
        (mm), start.
    """
    low, high = jacobian_range(alignment.mapping, scan.brain)
    on_left, on_right = alignment.coverage
    left = float(scan.brain[side < 0].sum())
    right = float(scan.brain[side >= 0].sum())
    return {
        "start": alignment.start,
        "overlap": alignment.overlap,
        "similarity": alignment.similarity,
        "jacobian_min": low,
        "jacobian_max": high,
        "left_right_ratio": left / max(right, 1e-6),
        "coverage": 0.5 * (on_left + on_right),
        "arteries_coverage": alignment.arteries_coverage,
        "coverage_asymmetry": abs(on_left - on_right),
        "midline_shift_mm": midline_shift(scan, side),
    }


def find_faults(quality: dict[str, float | str | list[str]], limits: PriorLimits) -> list[str]:
    """Say in words which measures are outside their limits.

    Args:
        quality: What :func:`~lvo_kedro.priors.compute_priors` measured (``Priors.quality``).
        limits: Beyond these a measure becomes a finding.

    Returns:
        The findings; none where the priors may be trusted.
    """

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
            value("coverage_asymmetry") > limits.coverage_asymmetry,
            f"the scan shows {100 * value('coverage_asymmetry'):.0f} % more of one side",
        ),
        (
            value("midline_shift_mm") > limits.midline_shift_mm,
            f"the midline is bent by {value('midline_shift_mm'):.0f} mm",
        ),
    )
    found = [words for applies, words in rules if applies]
    return [*_uncovered(quality, limits), *found]


def lacks_coverage(quality: dict[str, float | str | list[str]], limits: PriorLimits) -> list[str]:
    """Return those of the findings that leave a scan without a call, in the same words.

    Args:
        quality: As for :func:`find_faults`.
        limits: Likewise; ``no_call_coverage`` says whether there are any.

    Returns:
        Sentences; none where the scan shows enough.
    """
    return _uncovered(quality, limits) if limits.no_call_coverage else []


def _uncovered(quality: dict[str, float | str | list[str]], limits: PriorLimits) -> list[str]:
    brain, arteries = (float(quality[n]) for n in ("coverage", "arteries_coverage"))  # type: ignore[arg-type]
    found = []
    if brain < limits.coverage:
        found.append(f"the scan shows {100 * brain:.0f} % of the brain")
    if arteries < limits.arteries_coverage:
        found.append(f"the scan shows {100 * arteries:.0f} % of the circle of Willis and M1")
    return found


def _plane(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a plane to points (3, N): a point on it (3, 1) and its normal (3,)."""
    centre = points.mean(axis=1, keepdims=True)
    return centre, np.linalg.svd(points - centre, full_matrices=False)[0][:, 2]

"""What can be set for the priors, with the thresholds that turn measures into findings."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from lvo_kedro.options import Options
from lvo_kedro.vocabulary import Side


class StartLimits(Options):
    """Short of these the registration tries another start, or gives up."""

    overlap: float = 0.88
    """Dice of the warped atlas brain and the scan's brain mask, within the scan's coverage."""
    similarity: float = 0.38
    """Correlation of the warped template and the scan deep (12 mm and more) in the brain."""
    coverage: float = 0.9
    """Part of the atlas brain's left, and of its right, that lies inside the scan."""
    hopeless_overlap: float = 0.6
    """Below this overlap after two starts the result is refused."""


class PriorLimits(Options):
    """Beyond these a finding is written down: words alone, no map is computed again for them."""

    renamed: ClassVar[dict[str, str]] = {"hopeless_overlap": "priors.starts.hopeless_overlap"}

    overlap: float = 0.88
    """Dice of the warped atlas brain and the scan's brain mask, within the scan's coverage."""
    similarity: float = 0.38
    """Correlation of the warped template and the scan deep (12 mm and more) in the brain."""
    jacobian_low: float = 0.1
    """Smallest local volume change; at 0 and below the map folds."""
    jacobian_high: float = 8.0
    """Largest local volume change."""
    volume_ratio: float = 1.12
    """Larger over smaller hemisphere."""
    coverage: float = 0.9
    """Part of the atlas brain that lies inside the scan."""
    arteries_coverage: float = 0.95
    """Part of the place of C7, M1 and the proximal M2 that lies inside the scan."""
    no_call_coverage: bool = True
    """Whether a new scan that shows less than ``coverage`` of the brain or ``arteries_coverage`` of
    these arteries gets no call (``detection.scope.enabled``)."""
    coverage_asymmetry: float = 0.05
    """Difference between both sides' parts of the atlas brain inside the scan."""
    midline_shift_mm: float = 4.5
    """Distance of the midline from the plane through its rim at the skull (99th percentile)."""


class DifferenceOptions(Options):
    """The hemispheric difference map."""

    renamed: ClassVar[dict[str, str]] = {"spacing": "spacing_mm"}

    spacing_mm: float = Field(1.0, gt=0)
    """Edge in mm, about, of the blocks of the scan's voxels on which sides are compared."""
    median_mm: float = Field(3.0, ge=0)
    """Edge of the median filter's cube in mm; at least 3 blocks along every axis."""
    fluid_hu: float = 15.0
    """Where either side is below (sulci, ventricles) the difference is 0."""
    limit_hu: float = 70.0
    """Where the difference is larger (calcification) it is 0."""


class PriorOptions(Options):
    """How priors are computed; the defaults are the fast way."""

    without_influence: ClassVar[frozenset[str]] = frozenset({"limits"})
    renamed: ClassVar[dict[str, str]] = {"way": "variant", "spacing": "spacing_mm"}

    variant: Literal["fast", "published"] = "fast"
    """``published``: two native-grid SyN registrations, a one-sided map, medians in voxels."""
    spacing_mm: float = Field(3.0, gt=0)
    """Edge of the cubic voxels, in mm, on which brain and atlas are registered."""
    iterations: tuple[int, ...] = (40, 20, 0)
    """SyN iterations per level, coarse to fine; the last is the working grid itself."""
    mirror_iterations: tuple[int, ...] = (40, 20, 3)
    """The same for the registration of the mirrored right half to the left."""
    mirror_sigma: float = Field(0.5, ge=0)
    """Smoothing of the displacement between both sides: standard deviation in voxels of a level."""
    sampling: float = Field(0.2, gt=0, le=1)
    """Part of the voxels by which the affine stages are judged."""
    seed: int = 20
    """Seed of the registration's random sampling."""
    difference: DifferenceOptions = DifferenceOptions()
    """The hemispheric difference map."""
    published_side: Side = "left"
    """The side that the one-sided map of the published way covers."""
    starts: StartLimits = StartLimits()
    """When the registration tries another start, and when it gives up."""
    limits: PriorLimits = PriorLimits()
    """Thresholds of the findings."""

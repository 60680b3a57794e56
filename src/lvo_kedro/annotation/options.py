"""How vessel labels are made from a paired angiography. Lengths in mm, densities in HU."""

from __future__ import annotations

from pydantic import Field

from lvo_kedro.options import Options


class CtaRegistrationOptions(Options):
    """How the angiography is brought onto the plain scan."""

    spacing_mm: float = Field(default=2.0, gt=0, le=5)
    """Cubic voxels on which both heads are compared."""
    bone_hu: float = Field(default=300.0, ge=100, le=1000)
    """Density from which a voxel of that size counts as skull."""
    least_overlap: float = Field(default=0.6, ge=0, le=1)
    """Dice of both skulls, where both scans see, below which the two do not belong together."""
    seed: int = 0
    """Of ANTs' sampling."""

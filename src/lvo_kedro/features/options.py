"""Options of what is measured on either side of a head."""

from __future__ import annotations

from pydantic import Field

from lvo_kedro.options import Options


class FeatureOptions(Options):
    """How arteries and tissue of both sides are read. Lengths in mm, densities in HU."""

    around_mm: float = Field(default=1.6, ge=0)
    """How far (mm) beyond the vessels' labels is searched for the densest place."""
    smooth_mm: float = Field(default=0.6, ge=0)
    """Standard deviation (mm) of the Gaussian that takes off the noise."""
    calibre_mm: float = Field(default=2.5, gt=0)
    """Radius (mm) in which the densest point stands for an artery's lumen."""
    along_mm: float = Field(default=3.0, gt=0)
    """Standard deviation (mm) of the Gaussian along the artery, about a clot's length."""
    dense_hu: float = 52.0
    """Density (HU) from which a voxel counts as dense."""
    core_depth_mm: float = Field(default=2.5, gt=0)
    """Depth (mm) in a vessel's label at which the lumen's core is expected.

    Annotators draw vessels about 5 mm wide; the lumen fills the middle of that.
    """
    core_width_mm: float = Field(default=0.9, gt=0)
    """Standard deviation (mm) of the weight that falls off towards the label's rim."""
    old_infarct_hu: float = Field(default=15.0, gt=0)
    """Limit (HU) of a voxel's difference between the territories: old infarcts do not outweigh."""
    block_limit_hu: float = Field(default=8.0, gt=0)
    """The same for the blocks."""
    tissue_mm: float = Field(default=4.0, gt=0)
    """Voxel edge (mm) of the midline grid on which tissue is compared."""
    tissue_shape: tuple[int, int, int] = (40, 48, 36)
    """Voxels of that grid along x (even), y and z."""
    block_voxels: int = Field(default=3, ge=1)
    """Edge of a block of tissue, in voxels of that grid (3 voxels of 4 mm are 12 mm)."""

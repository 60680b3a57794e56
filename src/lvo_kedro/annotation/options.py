"""How vessel labels are made from a paired angiography. Lengths in mm, densities in HU."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pydantic import Field, field_serializer

from lvo_kedro.options import Options


class CtaRegistrationOptions(Options):
    """How the angiography is brought onto the plain scan."""

    spacing_mm: float = Field(default=2.0, gt=0, le=5)
    """Cubic voxels on which both heads are compared."""
    bone_hu: float = Field(default=300.0, ge=100, le=1000)
    """Density from which a voxel of that size counts as skull."""
    least_overlap: float = Field(default=0.75, ge=0, le=1)
    """Dice of both skulls, where both scans see, below which the two do not belong together."""
    seed: int = 0
    """Of ANTs' sampling."""


class TracingOptions(Options):
    """How contrast-filled arteries are followed and named."""

    spacing_mm: float = Field(default=0.7, gt=0, le=2)
    """Cubic voxels on which arteries are followed."""
    corridor_mm: float = Field(default=14.0, gt=0, le=40)
    """How far from its usual course an artery is looked for."""
    bone_hu: float = Field(default=150.0, ge=80, le=1000)
    """Density in the plain scan from which a voxel is bone or calcium, not contrast medium."""
    least_contrast_hu: float = Field(default=80.0, gt=0)
    """Enhancement of the large arteries below which there is nothing to follow."""
    filled: float = Field(default=0.3, gt=0, lt=1)
    """Enhancement, as part of that of the large arteries, from which an open artery is filled."""
    refilled: float = Field(default=0.15, gt=0, lt=1)
    """The same beyond a clot, where collaterals fill it backwards."""
    least_branch_mm: float = Field(default=8.0, gt=0)
    """Length from which a side branch counts as one."""
    least_gap_mm: float = Field(default=3.0, gt=0)
    """Length of lumen from which a stretch without contrast counts as a clot."""
    least_end_mm: float = Field(default=12.0, gt=0)
    """The same at the end of a branch, where nothing is filled behind: it may just be shorter."""
    least_known_mm: float = Field(default=1.0, gt=0)
    """Length of lumen that is enough if the cohort table names an occlusion and nothing is longer,
    wherever it lies and however unlike a lumen its course is."""
    least_clear: float = Field(default=0.35, ge=0, le=1)
    """How much like a lumen the course of a gap must look, 0 to 1, to be one of an artery's."""
    width_mm: float = Field(default=5.0, gt=0, le=10)
    """Width at which labels are drawn, whatever the calibre, as annotators do on plain scans."""


class LabellerOptions(Options):
    """An nnU-Net of the user's own that labels arteries on angiographies, in place of tracing."""

    model_folder: str | None = None
    """What ``nnUNetv2_train`` made, with ``plans.json`` and ``fold_0`` in it; None: arteries are
    followed by their contrast."""
    labels: dict[int, Literal["C7", "M1", "M2", "other"]] = Field(default_factory=dict)
    """What each of the model's label values is; values that are not named are left out."""
    device: str = "auto"
    """``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``..."""

    @field_serializer("model_folder", when_used="json")
    def _without_folders(self, folder: str | None) -> str | None:
        """Show and record the last part alone: a folder above it may name a patient."""
        return PurePath(folder).name if folder else None

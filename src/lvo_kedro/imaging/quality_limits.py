"""Beyond which values a scan is refused, is worth a finding, or gets no call."""

from __future__ import annotations

from typing import Literal

from lvo_kedro.options import Options

Kind = Literal["contrast", "haemorrhage", "metal"]
"""What a finding is about, if it may leave a new scan without a call."""


class RefusalLimits(Options):
    """Beyond which values a scan is refused; all that a preprocessed scan depends on of them."""

    max_bright_vessels_mm: float = 10.0
    """More length of vessels as bright as contrast medium: suspected."""
    refused_bright_vessels_mm: float = 30.0
    """More than this: the scan is refused as one with contrast medium. Where its header names an
    agent, what is suspected is refused as well."""
    refused_turned_deg: float = 60.0
    """More than this: the scan is refused, as its sides are not what its header says. 180 refuses
    none."""


class QualityLimits(RefusalLimits):
    """Beyond which values a property of the scan is reported as a finding.

    Those that refuse no scan change words alone: no scan is read again for them.
    """

    max_slice_thickness_mm: float = 3.0
    """Thicker slices blur the arteries' cross-sections."""
    max_in_plane_mm: float = 1.0
    """Coarser pixels blur them as well."""
    min_brain_ml: float = 900.0
    """A smaller mask is not a whole adult brain."""
    max_brain_ml: float = 1700.0
    """A larger mask holds more than an adult brain."""
    brain_hu: tuple[float, float] = (18.0, 50.0)
    """Between these lies the median of a brain without contrast medium."""
    max_noise_hu: float = 15.0
    """More noise hides differences of a few HU, even after smoothing."""
    max_vertex_cm2: float = 10.0
    """More brain than this in the topmost slice: the vertex is cut off."""
    max_base_cm2: float = 30.0
    """More brain than this in the lowest slice: the skull base is cut off."""
    max_side_cm2: float = 1.0
    """More brain than this on another face of the image: the field of view is too small."""
    max_rotation_deg: float = 15.0
    """Turn of the head about the vertical axis."""
    max_turned_deg: float = 45.0
    """Angle between the head and the image's axes, about any axis."""
    max_off_centre_mm: float = 40.0
    """Distance, across the slices, from the brain's centre to the image's."""
    width_mm: tuple[float, float] = (100.0, 165.0)
    """Brain from left to right. Adults' heads (1st to 99th centile of both sexes, ANSUR 1988) are
    133 to 164 mm wide and 173 to 214 mm long; scalp and skull take about 12 mm on either side."""
    length_mm: tuple[float, float] = (130.0, 205.0)
    """Brain from back to front; atrophy, masks that leave out CSF, and turned heads have room."""
    height_mm: tuple[float, float] = (95.0, 195.0)
    """Brain from its lowest point, with what of the cord is in the mask, to the vertex."""
    width_to_length: tuple[float, float] = (0.65, 1.02)
    """Cephalic indices are 0.65 to 0.95; a turned head seems wider."""
    height_to_length: tuple[float, float] = (0.62, 1.1)
    """About 0.8 in a straight head."""

    min_haemorrhage_ml: float = 1.0
    """From this volume on what is as dense as fresh blood, and thicker than vessels, is said."""
    max_metal_ml: float = 0.2
    """More than this of clips, coils and the like, in the brain or within 10 mm of it."""
    no_call: tuple[Kind, ...] = ("contrast", "haemorrhage", "metal")
    """Findings that leave a new scan without a call (``detection.scope.enabled``), whatever the
    training cases had: contrast medium that is suspected or named, haemorrhage, metal."""

    def refusals(self) -> RefusalLimits:
        """Return those of the limits beyond which a scan is refused."""
        return RefusalLimits(**self.model_dump(include=set(RefusalLimits.model_fields)))

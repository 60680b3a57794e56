"""The words and numbers that every stage shares.

A *side* is always the patient's. *Vessel labels* are the integers stored in label images.
"""

from __future__ import annotations

from typing import Final, Literal

Side = Literal["left", "right"]
Segment = Literal["C7", "M1", "M2"]
SegmentClass = Literal["M1", "M2", "C7", "C7+M1", "M1+M2"]
Target = Literal["case", "sides"]
"""What a detector answers: one logit for the whole case, or a utility for each side."""

VESSEL_LABELS: Final[dict[str, int]] = {"C7": 1, "M1": 2, "M2": 3, "other": 4}
"""Label values of vessel images (stage 1) and, without ``other``, of occlusion images (stage 3)."""

OCCLUSION_LABELS: Final[dict[str, int]] = {"C7": 1, "M1": 2, "M2": 3}
"""Large-vessel segments in which an occlusion is looked for."""

SEGMENT_CLASSES: Final[tuple[SegmentClass, ...]] = ("M1", "M2", "C7", "C7+M1", "M1+M2")
"""The five ways in which an occlusion is named."""

SIDES: Final[tuple[Side, Side]] = ("left", "right")
"""In the order of every pair of numbers."""

SEGMENTS: Final[tuple[Segment, ...]] = ("C7", "M1", "M2")
"""The large arteries that are looked at."""

HEMISPHERES: Final[dict[Side, int]] = {"left": 1, "right": 2}
"""Label values of hemisphere images; 0 is background."""

RESEARCH_ONLY: Final = "Research software, not a medical device. Not for diagnosis or treatment."
"""Stands in every report."""

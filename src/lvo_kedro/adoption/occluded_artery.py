"""Side and segment of an occlusion from a small marker and labelled arteries about it.

A marker of a few voxels is no clot: it says about where, not how far, and mostly lies beside the
labelled lumen, which ends where contrast does. So what names an occlusion is the nearest labelled
artery, only within a limit, and only where no other is as likely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from lvo_kedro.options import Options
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvo_kedro.adoption.labelled_arteries import ArteryName, LabelledArteries
    from lvo_kedro.imaging.midplane import Midplane


class ArteryRuleOptions(Options):
    """Limits of the rule that names side and segment. Lengths in mm."""

    nearest_mm: float = Field(default=15.0, gt=0, le=50)
    """Farthest artery that may name the occlusion."""
    m1_mm: float = Field(default=12.0, gt=0, le=40)
    """Way from the carotid's end along the middle cerebral artery up to which a marker is one of
    M1; beyond it M1 and M2 cannot be told apart and the segment is unknown. Many M1 are longer."""
    joint_mm: float = Field(default=5.0, gt=0, le=20)
    """Widest gap between the labels of carotid and middle cerebral artery at their joint."""
    tie_mm: float = Field(default=2.0, ge=0, le=20)
    """How much farther another artery may be and still leave the segment unknown: about the size
    of a marker."""
    carotid_end_mm: float = Field(default=10.0, ge=0, le=30)
    """Distance from the carotid within which the anterior cerebral artery names nothing: it begins
    at the carotid's end, whose own label a clot there removes."""
    midline_mm: float = Field(default=5.0, ge=0, le=20)
    """Distance from the midline within which the marker's own place tells no side."""


class NamedOcclusion(NamedTuple):
    """What the rule makes of a marker."""

    side: str
    segment: str
    rule: str
    """The same words for all cases to which the same rule applied."""
    reason: str
    distance_mm: float | None = None
    """To the nearest labelled artery."""
    missing: tuple[str, ...] = ()
    """Labels of large arteries on the occlusion's side that are not there."""
    review: tuple[str, ...] = ()
    """Why a person should look."""


def name_occlusion(
    point: NDArray[np.float64],
    arteries: LabelledArteries | None,
    midplane: Midplane,
    options: ArteryRuleOptions = ArteryRuleOptions(),
) -> NamedOcclusion:
    """Name side and segment of an occlusion.

    Args:
        point: (3,) Centre of its marker, world mm.
        arteries: Of the same head; None where they are missing.
        midplane: Between the hemispheres.
        options: Limits.

    Returns:
        The side is that on which the marker lies, or within ``midline_mm`` of the midline that of
        the nearest artery. The segment is ``unknown`` wherever the rule cannot tell.
    """
    off = abs(float(midplane.distance(point)))
    side: str = midplane.side(point) if off > options.midline_mm else "unknown"
    reason = f"marker {off:.0f} mm to the {midplane.side(point)} of the midline"
    gaps = {} if arteries is None else arteries.gaps(point)
    if arteries is None or not gaps:
        said = f"{reason}; no artery is labelled"
        return NamedOcclusion(side, "unknown", "side by midline", said, review=_unsure(side))
    nearest, distance = next(iter(gaps.items()))
    reason += f"; nearest labelled artery: {_words(nearest)} at {distance:.1f} mm"
    if arteries.sides_exchanged:
        look = ("labels of right and left lie on the other side",)
        return NamedOcclusion(side, "unknown", "labels exchanged", reason, distance, (), look)
    near = distance <= options.nearest_mm
    if near and side == "unknown":
        side = nearest[1] or side
    missing = tuple(
        f"label of the {side} {name}"
        for name in ("ICA", "MCA")
        if side in SIDES and not any((name, s) in arteries for s in SIDES if s == side)
    )
    if not near:
        segment, rule, why = "unknown", "far from arteries", f"more than {options.nearest_mm:g} mm"
    elif nearest[1] not in (None, side):
        segment, rule, why = "unknown", "artery of other side", "which is one of the other side"
    else:
        segment, rule, why = _segment(point, nearest, arteries, options)
    look = _unsure(side)
    if rule == "artery of other side":
        look = (*look, "the nearest labelled artery is one of the other side")
    return NamedOcclusion(side, segment, rule, f"{reason}; {why}", distance, missing, look)


def _segment(
    point: NDArray[np.float64],
    nearest: ArteryName,
    arteries: LabelledArteries,
    options: ArteryRuleOptions,
) -> tuple[str, str, str]:
    """Return segment, rule and reason, for an artery that is near enough and of the right side."""
    artery, side = nearest
    unclear = _unclear(point, nearest, arteries, options)
    if unclear:
        return "unknown", *unclear
    if artery == "ICA":
        return "C7", "ICA", "of the carotid the circle of Willis holds the terminal part (C7)"
    if artery != "MCA":
        return "other", artery, "an artery outside C7, M1 and M2"
    way = arteries.way_from_carotid(point, side, options.joint_mm)
    if way is None:
        return "unknown", "MCA without ICA", "no labelled carotid joins it, to measure along it"
    told = f"{way:.0f} mm from the carotid's end along the artery"
    if way <= options.m1_mm:
        return "M1", "MCA, proximal", told
    return "unknown", "MCA, distal", f"{told}, where M1 and M2 cannot be told apart"


def _unclear(
    point: NDArray[np.float64],
    nearest: ArteryName,
    arteries: LabelledArteries,
    options: ArteryRuleOptions,
) -> tuple[str, str] | None:
    """Return rule and reason where another artery is as likely as the nearest one."""
    artery, side = nearest
    gaps = arteries.gaps(point)
    limit = gaps[nearest] + options.tie_mm
    near = [name for name, gap in gaps.items() if gap <= limit and name[0] != artery]
    if near:
        others = " and ".join(map(_words, near))
        return "between arteries", f"{others} at most {options.tie_mm:g} mm farther"
    if artery == "ACA" and gaps.get(("ICA", side), 0.0) <= options.carotid_end_mm:
        return "ACA at ICA", "at the carotid's end, which a clot hides: C7 is as likely"
    if artery == "ICA" and ("MCA", side) not in arteries:
        return "ICA without MCA", "without the MCA's label, C7 and M1 cannot be told apart"
    return None


def _words(name: ArteryName) -> str:
    artery, side = name
    return f"{side} {artery}" if side else artery


def _unsure(side: str) -> tuple[str, ...]:
    return () if side in SIDES else ("the marker lies near the midline",)

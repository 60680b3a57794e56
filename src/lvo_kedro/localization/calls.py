"""From marked pixels to a name: which segments are occluded, on which side, how sure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from pydantic import Field

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import Midplane, midplane_at
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SEGMENTS, SIDES, Segment, SegmentClass, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.localization.projection import Projection

NO_OCCLUSION: Final = "no occlusion found"
"""The finding of a projection on which nothing is marked."""
CLASS_OF: Final[dict[frozenset[Segment], SegmentClass]] = {
    frozenset({"C7"}): "C7",
    frozenset({"M1"}): "M1",
    frozenset({"M2"}): "M2",
    frozenset({"C7", "M1"}): "C7+M1",
    frozenset({"M1", "M2"}): "M1+M2",
}


class CallOptions(Options):
    """When a segment counts as occluded."""

    renamed: ClassVar[dict[str, str]] = {"minimum_area": "minimum_area_mm2"}

    minimum_area_mm2: float = Field(default=12.0, ge=0)
    """Least marked area of a segment in mm2."""
    minimum_share: float = Field(default=0.4, ge=0, le=1)
    """Least area of a further segment, on either side, as a share of the largest."""
    guess_share: float = Field(default=0.5, ge=0, le=1)
    """The same for the best guess, in expected area."""


@dataclass(frozen=True)
class OcclusionCall:
    """What a projection's mask says.

    Attributes:
        segment: One of the five classes; None where nothing was found or the finding is
            impossible.
        side: The patient's side; None likewise.
        confidence: 0 to 1: how much of the expected area lies on the called segments and side.
        finding: The call in words.
        best_segment: Likeliest class, given that there is an occlusion.
        best_side: Likeliest side, given that there is one.
        best_point: Where the likeliest occlusion lies (world mm); None where nothing shows it.
        areas: Marked area in mm2 by side and segment, such as ``left M1``.
    """

    segment: SegmentClass | None
    side: Side | None
    confidence: float
    finding: str
    best_segment: SegmentClass
    best_side: Side
    best_point: tuple[float, float, float] | None = None
    areas: Mapping[str, float] = field(default_factory=dict)


def name_occlusion(
    mask: nib.Nifti1Image,
    projection: Projection | None = None,
    midplane: Midplane | None = None,
    probabilities: nib.Nifti1Image | None = None,
    options: CallOptions = CallOptions(),
    *,
    side: Side | None = None,
) -> OcclusionCall:
    """Name the occluded segments and their side.

    Args:
        mask: (X, Y, 1), 1 C7, 2 M1, 3 M2.
        projection: Its depth map tells at which height a pixel lies, which matters where the
            midplane is tilted; without it no point is given.
        midplane: Parts left from right in world coordinates; world x = 0 by default.
        probabilities: (X, Y, 1, 4) of background and labels, for the best guess.
        options: Thresholds.
        side: The patient's, where another method has told it: what is marked on the other does not
            count.

    Returns:
        The call; combinations that cannot be are named in ``finding``, not forced.
    """
    distance = _distance_to(midplane or midplane_at(), mask, projection)
    pixel = float(abs(np.linalg.det(mask.affine[:2, :2])))
    marked = np.asarray(mask.dataobj)[..., 0]
    present = {s: (marked == OCCLUSION_LABELS[s]).astype(float) for s in SEGMENTS}
    chances = present
    if probabilities is not None:
        p = np.asarray(probabilities.dataobj)[:, :, 0]
        chances = {s: p[..., OCCLUSION_LABELS[s]] for s in SEGMENTS}
    if side is not None:
        there = (distance > 0) == (side == "right")
        present, chances = (
            {s: np.where(there, w, 0) for s, w in weights.items()} for weights in (present, chances)
        )
    areas, expected = (_areas(weights, distance, pixel) for weights in (present, chances))
    least = options.minimum_share * max(area for side in SIDES for area in areas[side].values())
    found = {side: _segments(areas[side], max(least, options.minimum_area_mm2)) for side in SIDES}
    call = _call(found, areas, expected, options)
    if side is not None:  # also where nothing is likely on either
        call = replace(call, best_side=side)
    if projection is None:
        return call
    own_side = (distance > 0) == (call.best_side == "right")
    likely = sum(chances[segment] for segment in SEGMENTS if segment in call.best_segment)
    return replace(call, best_point=_point_of(np.where(own_side, likely, 0), projection))


def mark_called(
    labels: nib.Nifti1Image, midplane: Midplane, side: str, segment: str
) -> nib.Nifti1Image:
    """Mark the called segments on the called side of a projection, whichever method called them.

    Args:
        labels: Vessel labels on the projection's grid, (X, Y, 1).
        midplane: Between the scan's hemispheres.
        side: ``left`` or ``right``; empty marks nothing.
        segment: Such as ``M1`` or ``C7+M1``; empty marks nothing.

    Returns:
        uint8 on the projection's grid, 1 where the call lies.
    """
    data = np.asarray(labels.dataobj)
    wanted = [OCCLUSION_LABELS[name] for name in segment.split("+") if name in OCCLUSION_LABELS]
    right = _distance_to(midplane, labels, None)[..., None] > 0
    marked = np.isin(data, wanted) & (right == (side == "right")) & (side != "")
    return make_image(marked.astype(np.uint8), labels.affine)


def class_of(segments: frozenset[Segment]) -> SegmentClass | None:
    """Return the class that a set of occluded segments makes, None where it makes none."""
    return CLASS_OF.get(segments)


def likeliest_class(strength: Mapping[Segment, float], share: float) -> SegmentClass:
    """Return the class of the strongest segment and its strongest neighbour, if strong enough."""
    ranked = sorted(strength, key=lambda segment: strength[segment], reverse=True)
    first = ranked[0]
    for other in ranked[1:]:
        pair = class_of(frozenset({first, other}))
        if pair is not None and strength[other] > 0 and strength[other] >= share * strength[first]:
            return pair
    return CLASS_OF[frozenset({first})]


def _call(
    found: Mapping[Side, frozenset[Segment]],
    areas: Mapping[Side, Mapping[Segment, float]],
    expected: Mapping[Side, Mapping[Segment, float]],
    options: CallOptions,
) -> OcclusionCall:
    total = {side: sum(expected[side].values()) for side in SIDES}
    best_side: Side = "left" if total["left"] >= total["right"] else "right"
    best = likeliest_class(expected[best_side], options.guess_share)
    flat = {f"{side} {s}": round(a, 1) for side in SIDES for s, a in areas[side].items()}
    sides = [side for side in SIDES if found[side]]
    if not sides:
        return OcclusionCall(None, None, 0.0, NO_OCCLUSION, best, best_side, areas=flat)
    described = " and ".join(f"{side} {'+'.join(sorted(found[side]))}" for side in sides)
    named = class_of(found[sides[0]])
    if len(sides) > 1 or named is None:
        finding = f"impossible combination: {described}"
        return OcclusionCall(None, None, 0.0, finding, best, best_side, areas=flat)
    everything = sum(total.values())
    called = sum(expected[sides[0]][segment] for segment in found[sides[0]])
    confidence = called / everything if everything > 0 else 0.0
    return OcclusionCall(named, sides[0], confidence, described, best, best_side, areas=flat)


def _point_of(
    weights: NDArray[np.float64], projection: Projection
) -> tuple[float, float, float] | None:
    """Return the mean world point of the pixels at least half as likely as the likeliest."""
    points = projection.points()
    weights = np.where(np.isfinite(points[..., 2]), weights, 0)
    if not weights.any():
        return None
    x, y, z = points[weights >= weights.max() / 2].mean(axis=0)
    return float(x), float(y), float(z)


def _distance_to(
    midplane: Midplane, mask: nib.Nifti1Image, projection: Projection | None
) -> NDArray[np.float64]:
    shape = mask.shape[:2]
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), [0], indexing="ij"), -1)[:, :, 0]
    points = index @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    if projection is not None:
        depth = np.asarray(projection.depth.dataobj, dtype=float)[..., 0]
        middle = np.nanmedian(depth) if np.isfinite(depth).any() else points[0, 0, 2]
        points[..., 2] = np.where(np.isfinite(depth), depth, middle)
    return midplane.distance(points)


def _areas(
    weights: Mapping[Segment, NDArray[np.float64]], distance: NDArray[np.float64], pixel: float
) -> dict[Side, dict[Segment, float]]:
    where: dict[Side, NDArray[np.bool_]] = {"left": distance <= 0, "right": distance > 0}
    return {
        side: {s: float(w[there].sum()) * pixel for s, w in weights.items()}
        for side, there in where.items()
    }


def _segments(areas: Mapping[Segment, float], least: float) -> frozenset[Segment]:
    return frozenset(segment for segment, area in areas.items() if area > 0 and area >= least)

"""Side and segment of an occlusion from a small marker and labelled arteries about it.

The labels are those of the circle of Willis as TopCoW numbers them (Yang et al. 2023,
arXiv:2312.17670). A marker of a few voxels is no clot: it says about where, not how far, and mostly
lies beside the labelled lumen, which ends where contrast does. So what names an occlusion is the
nearest labelled artery, and only within a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from nibabel.affines import apply_affine
from pydantic import Field
from scipy.spatial import cKDTree
from skimage.graph import MCP_Geometric

from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.imaging.midplane import Midplane, midplane_at
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import SIDES, Side

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

ARTERIES: Final[dict[int, tuple[str, Side | None]]] = {
    1: ("basilar artery", None),
    2: ("PCA", "right"),
    3: ("PCA", "left"),
    4: ("ICA", "right"),
    5: ("MCA", "right"),
    6: ("ICA", "left"),
    7: ("MCA", "left"),
    11: ("ACA", "right"),
    12: ("ACA", "left"),
}
"""Labels that can name an occlusion. Communicating arteries (8, 9, 10) and variants cannot."""
_PAIRS: Final = ("ICA", "PCA", "ACA")
"""Arteries whose two sides show the midline. Not the MCA: a clot makes its label shorter."""


class ArteryRuleOptions(Options):
    """Limits of the rule that names side and segment. Lengths in mm."""

    nearest_mm: float = Field(default=15.0, gt=0, le=50)
    """Farthest artery that may name the occlusion."""
    m1_mm: float = Field(default=12.0, gt=0, le=40)
    """Way from the carotid's end along the middle cerebral artery up to which a marker is one of
    M1; beyond it M1 and M2 cannot be told apart and the segment is unknown. Many M1 are longer."""
    joint_mm: float = Field(default=5.0, gt=0, le=20)
    """Widest gap between the labels of carotid and middle cerebral artery at their joint."""
    midline_mm: float = Field(default=5.0, ge=0, le=20)
    """Distance from the midline within which the marker's own place tells no side."""


@dataclass(frozen=True)
class Named:
    """What the rule makes of a marker."""

    side: str
    segment: str
    rule: str
    reason: str
    distance_mm: float | None
    missing: tuple[str, ...]
    review: tuple[str, ...] = ()


class _Nearest(NamedTuple):
    artery: str
    side: Side | None
    distance: float


def midplane_of_arteries(arteries: nib.Nifti1Image) -> Midplane | None:
    """Return the sagittal plane half-way between both sides' arteries, as far as labelled.

    Args:
        arteries: Labels of the circle of Willis, any orientation.

    Returns:
        Nothing where no artery is labelled on both sides.
    """
    centres = _centres(arteries)
    pairs = [(name, centres.get((name, "left")), centres.get((name, "right"))) for name in _PAIRS]
    middles = [(a[0] + b[0]) / 2 for _, a, b in pairs if a is not None and b is not None]
    return midplane_at(float(np.mean(middles))) if middles else None


def sides_exchanged(arteries: nib.Nifti1Image) -> bool:
    """Return whether labels of the right lie to the left of those of the left, by world x."""
    centres = _centres(arteries)
    across = [
        centres[name, "right"][0] - centres[name, "left"][0]
        for name, side in centres
        if side == "left" and (name, "right") in centres
    ]
    return bool(across) and float(np.mean(across)) < 0


def name_occlusion(
    point: NDArray[np.float64],
    arteries: nib.Nifti1Image | None,
    midplane: Midplane,
    options: ArteryRuleOptions = ArteryRuleOptions(),
) -> Named:
    """Name side and segment of an occlusion.

    Args:
        point: (3,) Centre of its marker, world mm.
        arteries: Labels of the circle of Willis in the same world; None where they are missing.
        midplane: Between the hemispheres.
        options: Limits.

    Returns:
        The side is that on which the marker lies, or within ``midline_mm`` of the midline that of
        the nearest artery. The segment is ``unknown`` wherever the rule cannot tell.
    """
    off = float(midplane.distance(point))
    own = midplane.side(point) if abs(off) > options.midline_mm else "unknown"
    place = f"marker {abs(off):.0f} mm to the {midplane.side(point)} of the midline"
    if arteries is None:
        return Named(own, "unknown", "side by midline", place, None, (), _unsure(own))
    trusted = not sides_exchanged(arteries)
    nearest = _nearest(point, arteries)
    if nearest is None or nearest.distance > options.nearest_mm:
        how = "no artery is labelled" if nearest is None else _words(nearest)
        distance = None if nearest is None else nearest.distance
        absent = _absent(arteries, own) if trusted else ()
        reason = f"{place}; {how}, farther than {options.nearest_mm:g} mm"
        reason = f"{place}; {how}" if nearest is None else reason
        return Named(
            own, "unknown", "too far from arteries", reason, distance, absent, _unsure(own)
        )
    reason, distance = f"{place}; {_words(nearest)}", nearest.distance
    if not trusted:
        note = "labels of right and left lie on the other side"
        return Named(own, "unknown", "labels exchanged", reason, distance, (), (note,))
    side: str = (nearest.side or own) if own == "unknown" else own
    absent = _absent(arteries, side)
    if nearest.side is not None and nearest.side != side:
        note = "the nearest labelled artery is one of the other side"
        return Named(side, "unknown", "artery of other side", reason, distance, absent, (note,))
    segment, rule, why = _segment(point, arteries, nearest, absent, options)
    return Named(side, segment, rule, f"{reason}; {why}", distance, absent, _unsure(side))


def _segment(
    point: NDArray[np.float64],
    arteries: nib.Nifti1Image,
    nearest: _Nearest,
    absent: tuple[str, ...],
    options: ArteryRuleOptions,
) -> tuple[str, str, str]:
    """Return segment, rule and reason, for an artery near enough and of the right side."""
    if nearest.artery == "ICA" and any("MCA" in name for name in absent):
        why = "without the label of its MCA, C7 and M1 cannot be told apart"
        return "unknown", "ICA without MCA", why
    if nearest.artery == "ICA":
        return "C7", "ICA", "of the carotid, the circle of Willis holds the terminal part (C7)"
    if nearest.artery != "MCA":
        return "other", nearest.artery, "an artery outside C7, M1 and M2"
    way = _way_along(point, arteries, nearest.side, options.joint_mm)
    if way is None:
        return "unknown", "MCA without ICA", "no labelled carotid from which to measure along it"
    if way <= options.m1_mm:
        return "M1", "MCA, proximal", f"{way:.0f} mm from the carotid's end along the artery"
    why = f"{way:.0f} mm from the carotid's end, where M1 and M2 cannot be told apart"
    return "unknown", "MCA, distal", why


def _way_along(
    point: NDArray[np.float64], arteries: nib.Nifti1Image, side: Side | None, joint_mm: float
) -> float | None:
    """Return mm from the carotid's end along the MCA's label to ``point``, and then straight on."""
    labels = np.asanyarray(arteries.dataobj)
    of = {name: label for label, (name, where) in ARTERIES.items() if where == side}
    mca, ica = (np.argwhere(labels == of[name]) for name in ("MCA", "ICA"))
    if not len(ica):
        return None
    mca_mm, ica_mm = (apply_affine(arteries.affine, index) for index in (mca, ica))
    gaps, _ = cKDTree(ica_mm).query(mca_mm)
    if gaps.min() > joint_mm:
        return None
    to_point = np.linalg.norm(mca_mm - point, axis=1)
    start, end = mca[int(np.argmin(gaps))], mca[int(np.argmin(to_point))]
    low = mca.min(axis=0)
    costs = np.full(mca.max(axis=0) - low + 1, -1.0)  # negative: not to be entered
    costs[tuple((mca - low).T)] = 1.0
    ways, _ = MCP_Geometric(costs, sampling=grid_of(arteries).spacing).find_costs([start - low])
    along = float(ways[tuple(end - low)])
    return along + float(to_point.min()) if np.isfinite(along) else None


def _nearest(point: NDArray[np.float64], arteries: nib.Nifti1Image) -> _Nearest | None:
    labels = np.asanyarray(arteries.dataobj)
    index = np.argwhere(np.isin(labels, list(ARTERIES)))
    if not len(index):
        return None
    distance = np.linalg.norm(apply_affine(arteries.affine, index) - point, axis=1)
    first = int(np.argmin(distance))
    artery, side = ARTERIES[int(labels[tuple(index[first])])]
    return _Nearest(artery, side, float(distance[first]))


def _centres(arteries: nib.Nifti1Image) -> dict[tuple[str, Side | None], NDArray[np.float64]]:
    labels = np.asanyarray(arteries.dataobj)
    found = {}
    for label, key in ARTERIES.items():
        index = np.argwhere(labels == label)
        if len(index):
            found[key] = apply_affine(arteries.affine, index.mean(axis=0))
    return found


def _absent(arteries: nib.Nifti1Image, side: str) -> tuple[str, ...]:
    """Name the large arteries of the occlusion's side that have no label."""
    there = _centres(arteries)
    return tuple(
        f"{side} {name} in cow-msk"
        for name in ("ICA", "MCA")
        if side in SIDES and not any(key == (name, side) for key in there)
    )


def _words(nearest: _Nearest) -> str:
    named = f"{nearest.side} {nearest.artery}" if nearest.side else nearest.artery
    return f"nearest labelled artery: {named} at {nearest.distance:.1f} mm"


def _unsure(side: str) -> tuple[str, ...]:
    return () if side in SIDES else ("the marker lies near the midline",)

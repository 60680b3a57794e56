"""From a plain scan and its angiography to vessel labels and the occlusion that they show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvo_kedro.annotation.completion import find_ways
from lvo_kedro.annotation.contrast import enhancement
from lvo_kedro.annotation.courses import STEP_MM
from lvo_kedro.annotation.drawing import draw_lines
from lvo_kedro.annotation.guides import find_guide
from lvo_kedro.annotation.labelled import add_completed, labelled_branches
from lvo_kedro.annotation.occlusion import find_gap, is_filled, propose, way_segments
from lvo_kedro.annotation.options import TracingOptions
from lvo_kedro.annotation.skeleton import find_skeleton
from lvo_kedro.annotation.tracing import Branch, trace_side, uncovered
from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SEGMENTS, SIDES, VESSEL_LABELS

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.annotation.completion import Ways
    from lvo_kedro.annotation.contrast import Enhancement
    from lvo_kedro.annotation.occlusion import Gap, Proposal
    from lvo_kedro.annotation.registration import CtaAlignment
    from lvo_kedro.annotation.tracing import SideTrace
    from lvo_kedro.priors.engine import Mapping
    from lvo_kedro.vocabulary import Side

_BESIDE_MM = 3.0
"""Lines nearer to one another than this are one artery."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """What an angiography says of the plain scan's arteries; images on the plain scan's grid."""

    vessel_labels: nib.Nifti1Image
    """uint8, (X, Y, Z): 1 C7, 2 M1, 3 M2; 4 other, where a model drew it."""
    completed: nib.Nifti1Image
    """uint8, (X, Y, Z): 1 where labels stand without contrast to be seen."""
    occlusion_mask: nib.Nifti1Image
    """uint8, (X, Y, Z): the proposed clot, 1 C7, 2 M1, 3 M2; empty without one."""
    proposal: Proposal | None
    """The proposed occlusion, None where contrast goes all the way."""
    record: dict[str, Any]
    """Lengths in mm by side and segment, what was completed, and the proposal in words;
    ``below_limits`` where its gap is shorter than one must be, and an occlusion is known."""


def annotate(
    ncct: nib.Nifti1Image,
    cta: nib.Nifti1Image,
    alignment: CtaAlignment,
    mapping: Mapping,
    options: TracingOptions = TracingOptions(),
    *,
    occluded: bool = False,
    labels: nib.Nifti1Image | None = None,
) -> Annotation:
    """Label C7, M1 and M2 on a plain scan by what contrast medium shows of them.

    Args:
        ncct: The plain scan, HU, any orientation.
        cta: The angiography, HU, any orientation and field of view.
        alignment: Of :func:`~lvo_kedro.annotation.register_cta`.
        mapping: World of the plain scan to MNI, as the priors' registration finds it.
        options: What counts as filled, as a branch, as a gap.
        occluded: Whether an artery is known to be occluded, wherever: if no stretch without
            contrast is long enough to be a gap, the longest is then proposed.
        labels: What a model drew on the angiography (1 C7, 2 M1, 3 M2, 4 other, on its grid);
            taken in place of what is followed here, the gap and its completion stay.

    Returns:
        Labels of both sides, as wide as annotators draw them. On the side with the longer stretch
        without contrast they are completed along the lumen that both scans show, guided by the
        other side; what was completed is marked.

    Raises:
        ScanError: No contrast medium in the arteries.
    """
    found = enhancement(ncct, cta, alignment, mapping, options)
    skeleton = find_skeleton(found.added > options.filled * found.level, found.grid)
    traces = {side: trace_side(skeleton, mapping, side, options) for side in SIDES}
    branches = {side: trace.branches for side, trace in traces.items()}
    ways = {
        side: find_ways(found, find_guide(side, traces[other], mapping), traces[side], options)
        for side, other in (SIDES, SIDES[::-1])
    }
    gap = _heavier_gap(found, ways, options)
    below_limits = gap is None and occluded
    if below_limits:
        gap = _heavier_gap(found, ways, options, known=True)
    proposal = None
    if gap is not None:
        proposal = propose(found, ways[gap.side], gap)
        branches[gap.side] = _complete(found, ways[gap.side], traces[gap.side], options)
    if labels is not None:
        drawn = labelled_branches(labels, alignment, mapping)
        branches = {side: add_completed(drawn[side], branches[side]) for side in SIDES}
    annotation = _draw(ncct, branches, proposal, options)
    if proposal is not None:
        annotation.record["below_limits"] = below_limits
    return annotation


def _heavier_gap(
    found: Enhancement, ways: dict[Side, Ways], options: TracingOptions, *, known: bool = False
) -> Gap | None:
    """Return the heavier of both sides' gaps.

    Where contrast goes all the way, it may still be faint behind a short clot that hides between
    two branches: such a stretch counts only if there is no other.
    """
    for least in (options.refilled, options.filled):
        looked = [find_gap(found, ways[side], side, options, least, known=known) for side in SIDES]
        gaps = [gap for gap in looked if gap is not None]
        if gaps:
            return max(gaps, key=lambda gap: gap.weight(options, known=known))
    return None


def _complete(
    found: Enhancement, ways: Ways, trace: SideTrace, options: TracingOptions
) -> tuple[Branch, ...]:
    """Take the ways for a side's arteries, and what was followed beside them."""
    branches: list[Branch] = []
    for number, line in enumerate(ways.lateral):
        names = np.array(way_segments(ways, number))
        filled = is_filled(found, line, options)
        # all ways share the first one's C7 and M1
        for segment in SEGMENTS if number == 0 else SEGMENTS[2:]:
            here = names == segment
            if here.any():
                branches.append(Branch(segment, line[here], ~filled[here]))
    drawn = np.concatenate([branch.points for branch in branches])
    for branch in trace.branches:
        beside = uncovered(branch.points, drawn, _BESIDE_MM)
        if branch.segment == "M2" and beside > 0.5:
            branches.append(branch)
    return tuple(branches)


def _draw(
    ncct: nib.Nifti1Image,
    branches: dict[Side, tuple[Branch, ...]],
    proposal: Proposal | None,
    options: TracingOptions,
) -> Annotation:
    grid, every = grid_of(ncct), [branch for side in SIDES for branch in branches[side]]
    points = _joined([branch.points for branch in every])
    named = [np.full(len(branch.points), VESSEL_LABELS[branch.segment]) for branch in every]
    labels = np.concatenate([np.zeros(0), *named]).astype(np.uint8)
    unseen = np.concatenate([np.zeros(0, bool), *(branch.completed for branch in every)])
    clot = np.array([OCCLUSION_LABELS[name] for name in proposal.labels] if proposal else [])
    record: dict[str, Any] = {
        f"{side}_{segment}_mm": sum(len(b.points) for b in branches[side] if b.segment == segment)
        * STEP_MM
        for side in SIDES
        for segment in SEGMENTS
    }
    record |= {
        f"{side}_completed_mm": float(sum(b.completed.sum() for b in branches[side])) * STEP_MM
        for side in SIDES
    }
    record |= {"proposed": proposal is not None}
    if proposal:
        record |= {
            "side": proposal.side,
            "segment": proposal.segment or "other",
            "parts": list(proposal.parts),
            "clot_mm": len(proposal.points) * STEP_MM,
            "gap_mm": proposal.gap.length,
            "refilled": proposal.gap.refilled,
            "centre_mm": [round(float(v), 1) for v in proposal.centre],
        }
    return Annotation(
        vessel_labels=draw_lines(points, labels, grid, options.width_mm),
        completed=draw_lines(points, unseen.astype(np.uint8), grid, options.width_mm),
        occlusion_mask=draw_lines(
            proposal.points if proposal else np.empty((0, 3)),
            clot.astype(np.uint8),
            grid,
            options.width_mm,
        ),
        proposal=proposal,
        record=record,
    )


def _joined(lines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate([np.empty((0, 3)), *lines])

"""Skeletons, gaps and lines, on shapes whose answer is known."""

import numpy as np
import pytest

from lvo_kedro.annotation.completion import Ways
from lvo_kedro.annotation.contrast import Enhancement
from lvo_kedro.annotation.courses import arc_length, course_points, resample_line
from lvo_kedro.annotation.drawing import draw_lines
from lvo_kedro.annotation.occlusion import find_gap, propose, way_segments
from lvo_kedro.annotation.options import TracingOptions
from lvo_kedro.annotation.skeleton import find_skeleton, grow_tree, prune
from lvo_kedro.imaging.geometry import Grid

OPTIONS = TracingOptions()
GRID = Grid((120, 21, 21), np.diag([0.5, 0.5, 0.5, 1.0]))
LINE = np.stack([np.arange(5.0, 55.0, 0.5), np.full(100, 5.0), np.full(100, 5.0)], axis=1)
"""50 mm along x; point k lies at x = 5 + k / 2."""


def tube(gaps):
    """An artery along x with 300 HU of contrast, without any in the gaps (mm from its start)."""
    added = np.zeros(GRID.shape, np.float32)
    added[:, 7:14, 7:14] = 300.0
    x = np.arange(GRID.shape[0]) * 0.5 - 5.0
    for start, stop in gaps:
        added[(x >= start) & (x <= stop)] = 0.0
    return Enhancement(GRID, added, np.full(GRID.shape, 40.0, np.float32), 300.0)


def ways(terminus=20, bifurcation=60):
    return Ways((LINE,), (np.ones(len(LINE)),), terminus, bifurcation)


@pytest.mark.parametrize(
    ("gap", "segment"),
    [((2, 8), "C7"), ((14, 24), "M1"), ((33, 42), "M2"), ((5, 15), "C7+M1"), ((25, 36), "M1+M2")],
)
def test_a_gap_is_named_by_the_segments_it_lies_in(gap, segment):
    found = tube([gap])
    hole = find_gap(found, ways(), "left", OPTIONS)
    proposal = propose(found, ways(), hole)
    assert (proposal.side, proposal.segment, hole.refilled) == ("left", segment, True)
    assert hole.length == pytest.approx(gap[1] - gap[0], abs=1.5)
    assert proposal.centre[0] == pytest.approx(5 + sum(gap) / 2, abs=1.0)


def test_of_a_known_occlusion_the_longest_stretch_is_proposed_however_short():
    found = tube([(10, 12), (26, 27.5)])
    assert find_gap(found, ways(), "left", OPTIONS) is None
    hole = find_gap(found, ways(), "left", OPTIONS, known=True)
    assert propose(found, ways(), hole).centre[0] == pytest.approx(16, abs=1.0)
    astray = Ways((LINE,), (np.full(len(LINE), 0.1),), 20, 60)
    assert find_gap(tube([(15, 40)]), astray, "left", OPTIONS) is None
    assert find_gap(tube([(15, 40)]), astray, "left", OPTIONS, known=True).start < 45
    end = find_gap(tube([(10, 12), (39.5, 60)]), ways(), "left", OPTIONS, known=True)
    assert not end.refilled  # of 11 mm: too short to count, but longer than the other
    assert find_gap(tube([]), ways(), "left", OPTIONS, known=True) is None


def test_short_ends_in_the_neighbours_do_not_count():
    found = tube([(5, 33)])
    proposal = propose(found, ways(18, 58), find_gap(found, ways(18, 58), "left", OPTIONS))
    assert proposal.parts == ("M1",)


def test_a_clot_of_all_three_is_none_of_the_five_classes():
    found = tube([(1, 29)])
    proposal = propose(found, ways(20, 40), find_gap(found, ways(20, 40), "left", OPTIONS))
    assert proposal.parts == ("C7", "M1", "M2")
    assert proposal.segment is None


@pytest.mark.parametrize("gap", [(20, 21.5), (40, 60)])
def test_what_is_too_short_is_no_gap(gap):
    assert find_gap(tube([gap]), ways(), "left", OPTIONS) is None


def test_faint_contrast_is_a_gap_for_a_stricter_look_alone():
    found = tube([])
    found.added[60:] = 75.0  # a quarter, from 25 mm on to the end
    assert find_gap(found, ways(), "left", OPTIONS) is None
    hole = find_gap(found, ways(), "left", OPTIONS, OPTIONS.filled)
    assert (hole.refilled, hole.start) == (False, pytest.approx(50, abs=2))


def test_an_end_without_contrast_is_a_gap_once_it_is_long():
    found = tube([(20, 60)])
    hole = find_gap(found, ways(), "right", OPTIONS)
    assert not hole.refilled
    assert len(propose(found, ways(), hole).points) * 0.5 == 12.0  # nothing shows its end


def test_the_change_from_clot_to_blood_shows_the_far_end():
    found = tube([(20, 60)])
    found.lumen[int((5 + 20) / 0.5) : int((5 + 29) / 0.5)] = 65.0
    proposal = propose(found, ways(), find_gap(found, ways(), "right", OPTIONS))
    assert len(proposal.points) * 0.5 == pytest.approx(9.0, abs=1.0)


@pytest.mark.parametrize("branch", [0, 1])
def test_of_two_unfilled_branches_the_clot_lies_in_the_denser(branch):
    aside = LINE.copy()
    aside[60:, 1] = np.minimum(5 + np.arange(40) * 0.5, 9)
    lines = LINE[:-5], aside  # the second, longer one need not be it
    both = Ways(lines, tuple(np.ones(len(line)) for line in lines), 20, 60)
    found = tube([(22, 60)])
    x, y = np.arange(GRID.shape[0])[:, None] * 0.5 - 5, np.arange(GRID.shape[1]) * 0.5
    clot = (x >= 22) & (x < 30) | (x >= 30) & (x < 38) & ((y > 7) == (branch == 1))
    found.lumen[clot] = 65.0
    proposal = propose(found, both, find_gap(found, both, "left", OPTIONS))
    assert (proposal.gap.way, proposal.segment) == (branch, "M1+M2")
    assert len(proposal.points) * 0.5 == pytest.approx(17, abs=2.0)


def test_a_gap_that_looks_like_no_lumen_is_none():
    dark = Ways((LINE,), (np.zeros(len(LINE)),), 20, 60)
    assert find_gap(tube([(14, 24)]), dark, "left", OPTIONS) is None


def test_a_stretch_counts_by_how_much_of_it_looks_like_a_lumen():
    clear = np.where(np.arange(len(LINE)) < 60, 1.0, 0.4)  # a way astray behind 30 mm
    astray = Ways((LINE,), (clear,), 20, 60)
    assert find_gap(tube([(33, 39)]), astray, "left", OPTIONS) is None
    assert find_gap(tube([(33, 60)]), astray, "left", OPTIONS) is None
    assert find_gap(tube([(33, 39)]), ways(), "left", OPTIONS).lumen == pytest.approx(6, abs=1.5)
    hole = find_gap(tube([(15, 19), (33, 43)]), astray, "left", OPTIONS)
    assert hole.start == pytest.approx(30, abs=2)  # the shorter one, in a clear lumen


def test_points_of_a_way_are_named_in_order():
    names = way_segments(ways(), 0)
    assert [names.count(name) for name in ("C7", "M1", "M2")] == [21, 40, 39]


def test_a_spur_is_no_branch():
    mask = np.zeros((60, 60, 9), bool)
    mask[5:55, 28:33, 2:7] = True  # the trunk
    mask[28:33, 30:56, 2:7] = True  # a branch of 25 mm
    mask[42:45, 30:36, 3:6] = True  # a spur
    skeleton = find_skeleton(mask, Grid(mask.shape, np.eye(4)))
    root = int(np.argmin(skeleton.points[:, 0]))
    branches = prune(grow_tree(skeleton, root), least_mm=8.0)
    ends = sorted(tuple(np.round(skeleton.points[way[-1]][:2], -1)) for way in branches)
    assert ends == [(30.0, 50.0), (50.0, 30.0)]


def test_nothing_filled_has_no_skeleton():
    assert len(find_skeleton(np.zeros((5, 5, 5), bool), Grid((5, 5, 5), np.eye(4))).points) == 0


def test_lines_are_as_wide_as_asked_on_a_sheared_grid():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[2, 1] = 0.3
    grid = Grid((40, 30, 20), affine)
    points = np.stack([np.arange(5.0, 35.0, 0.5), np.full(60, 15.0), np.full(60, 20.0)], axis=1)
    labels = draw_lines(points, np.full(60, 3, np.uint8), grid, 5.0)
    index = np.argwhere(np.asarray(labels.dataobj) == 3)
    world = index @ affine[:3, :3].T
    assert np.linalg.norm(world[:, 1:] - [15, 20], axis=1).max() <= 2.5
    volume = len(index) * abs(np.linalg.det(affine[:3, :3]))
    assert volume == pytest.approx(np.pi * 2.5**2 * 30, rel=0.15)


def test_courses_are_mirror_images():
    left, right = (course_points("M1", side) for side in ("left", "right"))
    assert np.allclose(left * [-1, 1, 1], right)
    assert right[:, 0].min() > 0
    assert np.allclose(np.diff(arc_length(resample_line(right))), 0.5, atol=0.05)

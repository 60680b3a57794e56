"""Ways along arteries of which contrast shows a part, on a phantom whose course is known."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from lvo_kedro.annotation.completion import find_ways
from lvo_kedro.annotation.contrast import Enhancement
from lvo_kedro.annotation.courses import resample_line
from lvo_kedro.annotation.guides import Guide, carotid_end, carotid_start
from lvo_kedro.annotation.options import TracingOptions
from lvo_kedro.annotation.tracing import Branch, SideTrace
from lvo_kedro.imaging.geometry import Grid
from lvo_kedro.priors import engine

OPTIONS = TracingOptions()
GRID = Grid((90, 46, 50), np.diag([0.7, 0.7, 0.7, 1.0]))
DEPTH = 16.0
C7 = ((20, DEPTH, 8), (20, DEPTH, 22))
M1 = ((20, DEPTH, 22), (56, DEPTH, 22))
A1 = ((20, DEPTH, 22), (7, DEPTH, 22))


def line(controls):
    return resample_line(np.array(controls, float))


def phantom(empty, courses=(C7, M1, A1)):
    """Tubes of 3 mm in fluid, full of contrast but within (x from, to, z from, to)."""
    world = engine.grid_points(GRID).reshape(3, -1).T
    points = np.concatenate([line(course) for course in courses])
    tube = (cKDTree(points).query(world)[0] <= 1.5).reshape(GRID.shape)
    x, _, z = engine.grid_points(GRID).reshape(3, *GRID.shape)
    x0, x1, z0, z1 = empty
    clot = tube & (x >= x0) & (x <= x1) & (z >= z0) & (z <= z1)
    added = np.where(tube & ~clot, 300.0, 0.0).astype(np.float32)
    return Enhancement(GRID, added, np.where(tube, 60.0, 8.0).astype(np.float32), 300.0)


def guide(terminus, shift=0.0):
    """A guide that knows the carotid's end badly, and runs beside the arteries."""
    aside = [0.0, shift, 0.0]
    points = np.concatenate([line(course) for course in (C7, M1, A1)]) + aside
    ends = (np.array(M1[1], float),)
    return Guide(
        source="other side",
        start=np.array(C7[0], float),
        ends=ends,
        points=points,
        terminus=np.array(terminus, float),
        bifurcation=ends[0],
        medial=np.array(A1[1], float) + aside,
    )


def nothing_followed():
    return SideTrace("right", (), None, None, np.empty((0, 3)))


@pytest.mark.parametrize("clot", [(17, 23, 12, 20), (17, 30, 15, 25)])
@pytest.mark.parametrize("told", [(20, DEPTH, 17), (27, DEPTH, 22)])
def test_behind_a_clot_the_anterior_artery_shows_where_the_carotid_ends(clot, told):
    ways = find_ways(phantom(clot), guide(told), nothing_followed(), OPTIONS)
    end = ways.lateral[0][ways.terminus]
    assert np.linalg.norm(end - C7[1]) < 2.0


def test_without_an_anterior_artery_the_guide_says_where_the_carotid_ends():
    told = (27, DEPTH, 22)
    ways = find_ways(phantom((17, 23, 12, 20), (C7, M1)), guide(told), nothing_followed(), OPTIONS)
    assert np.linalg.norm(ways.lateral[0][ways.terminus] - told) < 1.0


def test_contrast_is_followed_beside_the_guide():
    """A vein-like tube, empty in this phantom, runs where the guide does."""
    beside = ((20, DEPTH + 6, 22), (56, DEPTH + 6, 22))
    found = phantom((0, 99, 0, 99), (beside,))
    artery = phantom((90, 99, 90, 99))
    lumen = np.maximum(found.lumen, artery.lumen)
    ways = find_ways(
        Enhancement(GRID, artery.added, lumen, 300.0),
        guide(M1[0], shift=6.0),
        nothing_followed(),
        OPTIONS,
    )
    course = np.concatenate([line(C7), line(M1)])
    assert np.quantile(cKDTree(course).query(ways.lateral[0])[0], 0.9) < 1.5


def followed(start, terminus):
    points = line((start, C7[1]))
    branch = Branch("C7", points, np.zeros(len(points), bool))
    return SideTrace("right", (branch,), np.array(terminus, float), None, points)


def test_what_begins_behind_a_clot_does_not_say_where_the_carotid_is():
    told = guide(C7[1])
    whole = followed(C7[0], (20, DEPTH, 21))
    behind = followed((20, DEPTH, 18), (20, DEPTH, 21))
    assert np.allclose(carotid_start(told, whole), C7[0])
    assert np.allclose(carotid_end(told, whole), (20, DEPTH, 21))
    assert np.allclose(carotid_start(told, behind), told.start)
    assert carotid_end(told, behind) is None


def test_an_end_far_from_its_counterpart_is_none():
    assert carotid_end(guide(C7[1]), followed(C7[0], (30, DEPTH, 22))) is None

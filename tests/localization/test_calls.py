from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import Midplane, midplane_at, midplane_of
from lvo_kedro.localization import (
    NO_OCCLUSION,
    CallOptions,
    name_occlusion,
    project_labels,
    project_vessels,
)
from lvo_kedro.vocabulary import OCCLUSION_LABELS

from .conftest import draw_head, grid_with

ALL = ["C7", "M1", "M2"]


def mask_with(areas: dict[tuple[str, str], int], flip: bool = False):
    """A mask of 1 mm pixels: so many of each segment and side, at x = +-30."""
    data = np.zeros((100, 60, 1), dtype=np.uint8)
    affine = np.eye(4)
    affine[0, 3] = -50
    for (side, segment), area in areas.items():
        x = 80 if side == "right" else 20
        row = 10 * ALL.index(segment)
        pixels = data[x : x + 5, row : row + 10].reshape(-1)
        pixels[:area] = OCCLUSION_LABELS[segment]
        data[x : x + 5, row : row + 10] = pixels.reshape(5, 10, 1)
    if flip:  # the same world, the array the other way round
        data = data[::-1].copy()
        affine[0] = [-1, 0, 0, 49]
    return make_image(data, affine)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("segments", "named"),
    [
        (["C7"], "C7"),
        (["M1"], "M1"),
        (["M2"], "M2"),
        (["C7", "M1"], "C7+M1"),
        (["M1", "M2"], "M1+M2"),
        (["C7", "M2"], None),
        (["C7", "M1", "M2"], None),
    ],
)
def test_every_combination_on_either_side(segments, named, side, flip) -> None:
    call = name_occlusion(mask_with({(side, s): 30 for s in segments}, flip))
    assert call.segment == named
    assert call.side == (side if named else None)
    assert ("impossible" in call.finding) == (named is None)
    assert call.best_side == side
    assert call.areas[f"{side} {segments[0]}"] == 30


def test_both_sides_are_reported_not_forced() -> None:
    call = name_occlusion(mask_with({("left", "M1"): 30, ("right", "M1"): 40}))
    assert call.segment is None
    assert call.finding == "impossible combination: left M1 and right M1"
    assert (call.best_segment, call.best_side) == ("M1", "right")


def test_nothing_marked_still_gives_a_best_guess_from_probabilities() -> None:
    mask = mask_with({})
    chance = np.zeros((*mask.shape, 4), dtype=np.float32)
    chance[80:85, 10:20, 0, 2] = 0.3
    call = name_occlusion(mask, probabilities=make_image(chance, mask.affine))
    assert (call.segment, call.side, call.finding) == (None, None, NO_OCCLUSION)
    assert (call.best_segment, call.best_side) == ("M1", "right")


def test_the_point_is_that_of_the_likeliest_occlusion() -> None:
    head = draw_head(grid_with("LPS"), ("M1",), "left")
    projection = project_vessels(head.ncct, head.vessels)
    mask = project_labels(head.clot, projection)
    chance = np.zeros((*mask.shape, 4), dtype=np.float32)
    chance[..., OCCLUSION_LABELS["M1"]] = 0.4 * (np.asarray(mask.dataobj) > 0)
    chance[..., OCCLUSION_LABELS["M1"]][::-1][np.asarray(mask.dataobj) > 0] += 0.1
    nothing = make_image(np.zeros(mask.shape, np.uint8), mask.affine)
    chances = make_image(chance, mask.affine)
    guess = name_occlusion(nothing, projection, probabilities=chances)
    assert guess.segment is None
    for call in (guess, name_occlusion(mask, projection)):
        assert np.linalg.norm(np.subtract(call.best_point, head.centre)[:2]) < 2
    assert name_occlusion(nothing, projection).best_point is None


def test_the_point_of_one_side_is_not_drawn_to_the_other() -> None:
    head = draw_head(grid_with(), ("M1",), "left")
    projection = project_vessels(head.ncct, head.vessels)
    mask = np.asarray(project_labels(head.clot, projection).dataobj).copy()
    _, y, _ = np.argwhere(mask > 0)[0]
    x = projection.points()[:, y, 0]
    mask[(x > 20) & (x < 23), y] = OCCLUSION_LABELS["M1"]
    both = name_occlusion(make_image(mask, projection.mip.affine), projection)
    assert both.best_side == "left"
    assert np.linalg.norm(np.subtract(both.best_point, head.centre)[:2]) < 2


def test_small_marks_do_not_count() -> None:
    mask = mask_with({("left", "M1"): 40, ("left", "M2"): 8, ("right", "C7"): 5})
    assert name_occlusion(mask, options=CallOptions(minimum_area_mm2=10)).segment == "M1"
    assert name_occlusion(mask, options=CallOptions(minimum_area_mm2=41)).finding == NO_OCCLUSION


def test_confidence_is_lower_when_the_other_side_competes() -> None:
    mask = mask_with({("left", "M1"): 40, ("right", "M1"): 8})
    sure = name_occlusion(mask_with({("left", "M1"): 40})).confidence
    assert name_occlusion(mask).confidence < sure == 1.0


def test_a_tilted_midplane_and_the_depth_decide() -> None:
    head = draw_head(grid_with(), ("C7",), "left")
    projection = project_vessels(head.ncct, head.vessels)
    mask = project_labels(head.clot, projection)
    assert name_occlusion(mask, projection).side == "left"
    # a head rolled so far that at the height of C7 the midplane lies at x = -40
    rolled = Midplane(np.zeros(3), np.array([1.0, 0.0, -2.5]) / np.hypot(1, 2.5))
    assert name_occlusion(mask, projection, rolled).side == "right"
    assert name_occlusion(mask, projection, midplane_at(-60)).side == "right"


def test_midplane_of_hemispheres() -> None:
    plane = midplane_of(draw_head(grid_with("LPS", turn=(5.0, 0.0, 4.0))).hemispheres)
    assert plane.side([-20, 0, 0]) == "left"
    assert plane.side([20, 0, 0]) == "right"


@pytest.mark.parametrize("labels", [(2, 1), (1, 1)])
def test_swapped_or_missing_hemispheres_are_refused(labels) -> None:
    image = draw_head(grid_with()).hemispheres
    data = np.asarray(image.dataobj)
    swapped = np.choose(data, [0, *labels]).astype(np.uint8)
    with pytest.raises(ScanError):
        midplane_of(make_image(swapped, image.affine))

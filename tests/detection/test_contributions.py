"""What a side model's call is made of, drawn where it comes from, in every orientation."""

from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.detection import (
    SideModel,
    average_contributions,
    draw_contributions,
    tabulate_contributions,
)
from lvo_kedro.imaging.geometry import grid_of, make_image, world_axis
from lvo_kedro.imaging.midplane import split_mask
from lvo_kedro.reporting import plot_contributions
from lvo_kedro.vocabulary import HEMISPHERES, OCCLUSION_LABELS, SEGMENTS
from tests.lengths import one_of

from ..features.conftest import measured
from ..localization.conftest import ORIENTATIONS, draw_head, grid_with
from .test_side_model import cohort


@pytest.fixture(scope="module")
def model() -> SideModel:
    return SideModel().fit(*cohort(0, 24))


def images(axes: str, segments: tuple[str, ...], side: str):
    head = draw_head(grid_with(axes, spacing=(2.0, 2.0, 2.0)), segments, side)
    brain = np.asarray(head.hemispheres.dataobj) > 0
    return head, make_image(brain.astype(np.uint8), head.ncct.affine)


@pytest.mark.parametrize("axes", ORIENTATIONS[::5])
@pytest.mark.parametrize("side", ["left", "right"])
def test_each_contribution_lies_on_the_patients_side_it_speaks_for(model, axes, side) -> None:
    features = measured(("M1",), side, axes=axes, infarct=side, seed=3)
    head, brain = images(axes, ("M1",), side)
    halves = split_mask(brain, features.tissue.midplane)
    parts = average_contributions([model, model], features)
    drawn = np.asarray(draw_contributions(parts, features, head.vessels, halves).dataobj)
    x = world_axis(grid_of(head.ncct), 0) + np.zeros(head.ncct.shape)
    here = x > 3 if side == "right" else x < -3
    there = x < -3 if side == "right" else x > 3
    assert drawn[here].sum() > 0 > drawn[there].sum()
    sources = tabulate_contributions(parts).set_index("source")
    labels = np.asarray(head.vessels.dataobj)
    for segment in SEGMENTS:
        for name, half in ((side, here), ("left" if side == "right" else "right", there)):
            values = drawn[(labels == OCCLUSION_LABELS[segment]) & half]
            assert values == pytest.approx(sources.loc[segment, name], abs=1e-5)
    assert sources.loc[["M1", "blocks"], side].min() > 0
    total = sources[side].sum() + model.constant
    assert total == pytest.approx(model.utilities([features])[0, int(side == "right")])


@pytest.mark.parametrize("axes", one_of(5, ORIENTATIONS))
def test_a_mask_is_parted_by_world_coordinates(axes) -> None:
    head, brain = images(axes, (), "left")
    halves = np.asarray(split_mask(brain, measured(axes=axes).tissue.midplane).dataobj)
    x = world_axis(grid_of(head.ncct), 0) + np.zeros(head.ncct.shape)
    inside = np.asarray(brain.dataobj) > 0
    assert (halves[inside & (x > 3)] == HEMISPHERES["right"]).all()
    assert (halves[inside & (x < -3)] == HEMISPHERES["left"]).all()
    assert not halves[~inside].any()


def test_the_picture_names_the_sources_and_both_sides(model) -> None:
    features = measured(("M1",), "left", infarct="left", seed=5)
    head, brain = images("RAS", ("M1",), "left")
    parts = average_contributions([model], features)
    halves = split_mask(brain, features.tissue.midplane)
    drawn = draw_contributions(parts, features, head.vessels, halves)
    sources = tabulate_contributions(parts)
    figure = plot_contributions("case-1", head.ncct, drawn, sources, head.vessels)
    bars = figure.axes[2]
    names = [label.get_text() for label in bars.get_yticklabels()]
    assert names == ["C7", "M1", "M2", "territory", "blocks", "sum"]
    left = next(c for c in bars.containers if c.get_label() == "patient's left")
    assert [bar.get_width() for bar in left][:5] == pytest.approx(sources["left"].tolist())
    assert left[5].get_width() == pytest.approx(sources["left"].sum())

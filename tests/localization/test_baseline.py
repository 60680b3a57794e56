from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import TableError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.localization import SegmentBaseline, describe_segments, figure_localization
from lvo_kedro.localization.projection import back_project, project_labels, project_vessels

from .conftest import draw_head, grid_with

CASES = [
    (segments, side)
    for side in ("left", "right")
    for segments in (("C7",), ("M1",), ("M2",), ("C7", "M1"), ("M1", "M2"))
]


def described(segments: tuple[str, ...], side: str, seed: int, axes: str = "RAS") -> pd.DataFrame:
    head = draw_head(grid_with(axes, spacing=(2.0, 2.0, 2.0)), segments, side)
    noise = np.random.default_rng(seed).normal(0, 4, head.ncct.shape)
    ncct = make_image((np.asarray(head.ncct.dataobj) + noise).astype(np.float32), head.ncct.affine)
    table = describe_segments(ncct, head.vessels, head.hemispheres)
    occluded = table["segment"].isin(segments) & (table["side"] == side)
    return table.assign(occluded=occluded.astype(int))


@pytest.fixture(scope="module")
def baseline() -> SegmentBaseline:
    tables = [described(*case, seed) for seed, case in enumerate(CASES * 2)]
    return SegmentBaseline().fit(pd.concat(tables))


@pytest.mark.parametrize(("segments", "side"), CASES)
def test_it_names_dense_segments(baseline: SegmentBaseline, segments, side) -> None:
    call = baseline.call(described(segments, side, 99, "LPS"))
    assert (call.best_segment, call.best_side) == ("+".join(segments), side)
    assert call.segment == call.best_segment


def test_nothing_dense_is_nothing_found(baseline: SegmentBaseline) -> None:
    assert baseline.call(described((), "left", 5)).segment is None


def test_it_is_plain_numbers(baseline: SegmentBaseline) -> None:
    again = SegmentBaseline.from_json(json.loads(json.dumps(baseline.to_json())))
    table = described(("M1",), "right", 7)
    assert again.call(table) == baseline.call(table)


def test_one_kind_of_case_is_not_enough() -> None:
    with pytest.raises(TableError, match="C7"):
        SegmentBaseline().fit(described(("M1",), "left", 0))


def test_figure_has_both_panels() -> None:
    head = draw_head(grid_with("PIL"), ("M1",), "left")
    projection = project_vessels(head.ncct, head.vessels)
    mask = project_labels(head.clot, projection)
    clot, point = back_project(mask, projection, head.vessels)
    figure = figure_localization(head.ncct, projection, mask, clot=clot, point=point, title="case")
    panels = figure.axes
    assert len(panels) == 2
    assert len(panels[0].images) == 2  # the red lies over the grey
    assert panels[1].collections  # the outline on the slice
    assert all(panel.xaxis_inverted() for panel in panels)  # the patient's right is on the left

from __future__ import annotations

import numpy as np
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.midplane import midplane_of
from lvo_kedro.localization import (
    ProjectionOptions,
    back_project,
    label_clot,
    mark_called,
    name_occlusion,
    project_labels,
    project_vessels,
)
from lvo_kedro.vocabulary import VESSEL_LABELS
from tests.lengths import one_of

from .conftest import BOXES, CLOT, ORIENTATIONS, PATENT, draw_head, grid_with


@pytest.mark.parametrize("axes", one_of(5, ORIENTATIONS))
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_orientation_and_side_gives_the_same_call(axes: str, side: str) -> None:
    head = draw_head(grid_with(axes, spacing=(2.0, 2.0, 2.5)), ("M1",), side)
    projection = project_vessels(head.ncct, head.vessels)
    mask = project_labels(head.clot, projection)
    call = name_occlusion(mask, projection, midplane_of(head.hemispheres))
    _, point = back_project(mask, projection, head.vessels)
    assert (call.segment, call.side) == ("M1", side)
    assert np.linalg.norm(point - head.centre) < 3.5


def test_projection_lies_along_the_patients_axes(pose) -> None:
    head = draw_head(pose, ("M1",), "right")
    projection = project_vessels(head.ncct, head.vessels, ProjectionOptions(spacing_mm=1.0))
    assert np.allclose(projection.mip.affine[:2, :2], np.eye(2))
    mip = np.asarray(projection.mip.dataobj)[..., 0]
    x, y = np.round(np.linalg.inv(projection.mip.affine) @ [26, 4, 0, 1]).astype(int)[:2]
    assert mip[x, y] > (PATENT + CLOT) / 2
    x, y = np.round(np.linalg.inv(projection.mip.affine) @ [-26, 4, 0, 1]).astype(int)[:2]
    assert abs(mip[x, y] - PATENT) < 3
    assert mip[0, 0] == 0


def test_depth_is_the_height_of_the_vessel(pose) -> None:
    head = draw_head(pose)
    projection = project_vessels(head.ncct, head.vessels)
    points = projection.points()
    inside = np.isfinite(points[..., 2])
    assert np.array_equal(inside, np.asarray(projection.mip.dataobj)[..., 0] > 0)
    x, y = np.round(np.linalg.inv(projection.mip.affine) @ [42, -6, 0, 1]).astype(int)[:2]
    centre, half = BOXES["M2"][0][2], BOXES["M2"][1][2]
    slack = float(np.abs(pose.affine[2, :3]).max())
    assert centre - half - slack <= points[x, y, 2] <= centre + half + slack


def test_back_projection_returns_to_the_clot_within_a_voxel(pose) -> None:
    head = draw_head(pose, ("M1",), "left")
    projection = project_vessels(head.ncct, head.vessels)
    mask = project_labels(head.clot, projection)
    clot, point = back_project(mask, projection, head.vessels, tolerance=8)
    found = apply_affine(clot.affine, np.argwhere(np.asarray(clot.dataobj) > 0)).mean(axis=0)
    assert np.linalg.norm(found - head.centre) < max(pose.spacing)
    # the point has the depth of the brightest voxel, anywhere across the vessel
    assert np.linalg.norm((point - head.centre)[:2]) < max(pose.spacing)
    assert clot.shape == head.ncct.shape
    assert np.allclose(clot.affine, head.ncct.affine)


def test_adjoining_segments_stay_apart() -> None:
    head = draw_head(grid_with(), ("C7", "M1"), "right")
    mask = project_labels(head.clot, project_vessels(head.ncct, head.vessels))
    assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1, 2}


def test_a_binary_clot_takes_the_cases_segments() -> None:
    head = draw_head(grid_with(), ("M1", "M2"), "left")
    binary = make_image((np.asarray(head.clot.dataobj) > 0).astype(np.uint8), head.clot.affine)
    labelled = label_clot(binary, head.vessels, ["M1", "M2"])
    assert np.array_equal(np.asarray(labelled.dataobj), np.asarray(head.clot.dataobj))
    only = label_clot(binary, head.vessels, ["M2"])
    assert set(np.unique(np.asarray(only.dataobj))) == {0, 3}
    projection = project_vessels(head.ncct, head.vessels)
    one = project_labels(binary, projection, head.vessels, ["M1", "M2"])
    assert np.array_equal(
        np.asarray(one.dataobj), np.asarray(project_labels(head.clot, projection).dataobj)
    )


def test_no_vessels_give_an_empty_projection_of_the_same_kind() -> None:
    head = draw_head(grid_with(), ())
    none = make_image(np.zeros(head.vessels.shape, np.uint8), head.vessels.affine)
    projection = project_vessels(head.ncct, none)
    assert not np.asarray(projection.mip.dataobj).any()
    mask = project_labels(head.clot, projection)
    assert back_project(mask, projection, none)[1] is None


def test_bone_above_the_ceiling_does_not_hide_the_vessel() -> None:
    head = draw_head(grid_with(), ("M1",), "right")
    data = np.asarray(head.ncct.dataobj).copy()
    index = np.argwhere(np.asarray(head.clot.dataobj) > 0)
    lowest = index[index[:, 2] == index[:, 2].min()]
    data[tuple(lowest.T)] = 400.0
    scan = make_image(data, head.ncct.affine)
    plain = project_vessels(scan, head.vessels)
    clear = project_vessels(scan, head.vessels, ProjectionOptions(max_hu=100.0))
    x, y = np.round(np.linalg.inv(plain.mip.affine) @ [26, 4, 0, 1]).astype(int)[:2]
    assert np.asarray(plain.mip.dataobj)[x, y, 0] > 300
    assert abs(np.asarray(clear.mip.dataobj)[x, y, 0] - CLOT) < 3


def test_labels_as_a_channel() -> None:
    head = draw_head(grid_with())
    options = ProjectionOptions(add_labels=True)
    image = project_vessels(head.ncct, head.vessels, options).image(options)
    assert image.shape[2:] == (1, 2)
    assert set(np.unique(np.asarray(image.dataobj)[..., 1])) == {0, 1, 2, 3}


def test_labels_on_another_grid_are_refused() -> None:
    head = draw_head(grid_with())
    affine = head.vessels.affine.copy()
    affine[0, 3] += 1
    moved = make_image(np.asarray(head.vessels.dataobj), affine)
    with pytest.raises(ScanError, match="grid"):
        project_vessels(head.ncct, moved)


@pytest.mark.parametrize("axes", ["RAS", "LPS"])
def test_the_called_segments_are_marked_on_the_called_side_only(axes):
    head = draw_head(grid_with(axes))
    labels = project_vessels(head.ncct, head.vessels).labels
    midplane = midplane_of(head.hemispheres)
    marked = mark_called(labels, midplane, "left", "C7+M1")
    pixels = np.argwhere(np.asarray(marked.dataobj) > 0)
    assert len(pixels) > 20
    assert (apply_affine(labels.affine, pixels)[:, 0] < 0).all()
    named = set(np.asarray(labels.dataobj)[tuple(pixels.T)].tolist())
    assert named <= {VESSEL_LABELS["C7"], VESSEL_LABELS["M1"]}
    assert VESSEL_LABELS["M1"] in named
    assert not np.asarray(mark_called(labels, midplane, "", "").dataobj).any()

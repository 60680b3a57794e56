"""Known densities and infarcts on a known side, in every orientation."""

from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.features import (
    BLOOD,
    CORE,
    SEARCHED,
    STATISTICS,
    TERRITORY,
    block_box,
    compare_tissue,
    describe_arteries,
    leave_out,
    pack_features,
    unpack_features,
)
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.vocabulary import SEGMENTS
from tests.lengths import one_of

from ..localization.conftest import CLOT, ORIENTATIONS, PATENT, draw_head, grid_with
from .conftest import maps_of, measured

OTHER = {"left": "right", "right": "left"}
ROW = {"left": 0, "right": 1}


@pytest.mark.parametrize("axes", one_of(5, ORIENTATIONS))
def test_a_clot_is_denser_than_the_patients_blood_on_the_patients_side(axes) -> None:
    arteries = measured(("M1",), "right", axes=axes).arteries.set_index(["side", "segment"])
    assert arteries[BLOOD].nunique() == 1
    assert arteries[BLOOD].iloc[0] == pytest.approx(PATENT, abs=3)
    assert arteries.loc[("right", "M1"), CORE] == pytest.approx(CLOT - PATENT, abs=5)
    others = arteries.drop(index=[("right", "M1")])[CORE]
    # M1 and M2 touch, so the neighbour's end is smoothed up a little
    assert others.drop(index=[("right", "M2")]).abs().max() < 6
    assert others.max() < 0.7 * arteries.loc[("right", "M1"), CORE]


@pytest.mark.parametrize("axes", ORIENTATIONS[::3])
@pytest.mark.parametrize("side", ["left", "right"])
def test_an_infarct_darkens_its_side_and_its_block(axes, side) -> None:
    features = measured(infarct=side, axes=axes)
    tissue, here, there = features.tissue, ROW[side], ROW[OTHER[side]]
    whole = tissue.statistics[:, STATISTICS.index("whole_hu")]
    assert whole[here] < 0 < whole[there]
    assert np.unravel_index(tissue.blocks[here].argmin(), tissue.blocks.shape[1:]) == (
        np.unravel_index(tissue.blocks[there].argmax(), tissue.blocks.shape[1:])
    )
    # the darkest block lies where the infarct was drawn, in the world of the midline grid
    block = np.unravel_index(tissue.blocks[here].argmin(), tissue.blocks.shape[1:])
    box = block_box(tissue, side, block)
    middle = [(part.start + part.stop - 1) / 2 for part in box]
    x, y, z = tissue.grid.affine[:3, :3] @ middle + tissue.grid.affine[:3, 3]
    sign = 1 if side == "right" else -1
    assert np.linalg.norm(np.subtract((x, y, z), (sign * 45, 10, 15))) < 12
    of_side = features.arteries.groupby("side")[TERRITORY].first()
    assert of_side[side] < 0 < of_side[OTHER[side]]


def test_sides_are_measured_alike() -> None:
    """A head and its mirror image swap the two rows."""
    one, other = (
        measured(("M2",), "left", infarct="left"),
        measured(("M2",), "right", infarct="right"),
    )
    for name in ("statistics", "blocks", "shares"):
        mine, mirrored = getattr(one.tissue, name), getattr(other.tissue, name)[::-1]
        assert np.abs(mine - mirrored).max() < (
            0.25 if name == "shares" else 1.0
        )  # a voxel lies on the midline
    cores = [f.arteries.set_index(["side", "segment"])[CORE] for f in (one, other)]
    for segment in SEGMENTS:
        assert cores[0]["left", segment] == pytest.approx(cores[1]["right", segment], abs=3)


def test_turned_heads_are_read_in_their_own_frame() -> None:
    straight, turned = (
        measured(infarct="left", turn=turn) for turn in ((0, 0, 0), (6.0, 3.0, 8.0))
    )
    difference = straight.tissue.blocks[0].min(), turned.tissue.blocks[0].min()
    assert difference[0] == pytest.approx(difference[1], abs=1.5)
    assert difference[0] < -3


def test_calcium_is_neither_blood_nor_clot() -> None:
    head = draw_head(grid_with(spacing=(2.0, 2.0, 2.0)), (), "left")
    hu = np.asarray(head.ncct.dataobj).copy()
    wall = np.argwhere(np.asarray(head.vessels.dataobj) == 1)
    hu[tuple(wall[len(wall) // 2])] = 700.0
    table = describe_arteries(make_image(hu, head.ncct.affine), head.vessels, head.hemispheres)
    assert table[CORE].abs().max() < 2
    assert table[BLOOD].iloc[0] == pytest.approx(PATENT, abs=1)


def test_what_was_not_found_is_not_a_number() -> None:
    head = draw_head(grid_with(spacing=(2.0, 2.0, 2.0)), ("M1",), "left")
    labels = np.asarray(head.vessels.dataobj).copy()
    labels[labels == 2] = 0
    table = describe_arteries(head.ncct, make_image(labels, head.ncct.affine), head.hemispheres)
    assert table.set_index("segment")[CORE].isna().groupby(level=0).all().to_dict() == {
        "C7": False,
        "M1": True,
        "M2": False,
    }
    nothing = describe_arteries(
        head.ncct, make_image(0 * labels, head.ncct.affine), head.hemispheres
    )
    assert nothing[[CORE, BLOOD]].isna().all(axis=None)
    assert not nothing[list(SEARCHED)].to_numpy().any()


def test_features_survive_storage_and_leaving_out() -> None:
    features = measured(("M1",), "left", infarct="left")
    again = unpack_features(pack_features(features)).tissue
    assert np.allclose(again.blocks, features.tissue.blocks, atol=1e-5)
    assert again.grid.shape == features.tissue.grid.shape
    for channel in ("vessels", "hyperdensity"):
        blind = leave_out(features, channel)
        assert blind.arteries[CORE].isna().all()
        assert np.array_equal(blind.tissue.blocks, features.tissue.blocks)
    flat = leave_out(features, "hypodensity")
    assert not flat.tissue.blocks.any()
    assert flat.arteries[CORE].equals(features.arteries[CORE])
    assert leave_out(features, "ncct").arteries.equals(features.arteries)


def test_no_brain_is_an_error() -> None:
    head = draw_head(grid_with(spacing=(2.0, 2.0, 2.0)), (), "left")
    nothing = make_image(np.zeros(head.ncct.shape, np.uint8), head.ncct.affine)
    with pytest.raises(ScanError, match="empty brain mask"):
        compare_tissue(head.ncct, nothing, maps_of(head))

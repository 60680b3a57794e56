"""The rule that names side and segment, on drawn arteries in several array orders."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from lvo_kedro.adoption.labelled_arteries import ARTERIES, LabelledArteries
from lvo_kedro.adoption.occluded_artery import ArteryRuleOptions, NamedOcclusion, name_occlusion
from lvo_kedro.imaging.geometry import make_image

ORIENTATIONS = ["RAS", "LPS", "LAS", "PIR", "SPL", "ASR"]
CENTRE = 20.0
"""World x of the midline, far from 0."""
LINES = {
    # artery: from, to; mm from the midline, on the right
    "ICA": ((8, 0, -10), (12, 0, 0)),
    "MCA": ((14, 0, 0), (50, 0, 0)),
    "ACA": ((12, 2, 2), (2, 24, 2)),
    "PCA": ((4, -30, 0), (30, -40, 0)),
}


def draw(orientation: str = "RAS", without: tuple[tuple[str, str], ...] = ()) -> LabelledArteries:
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = [CENTRE - 60, -60, -30]
    labels = np.zeros((121, 121, 31), np.uint8)
    for (name, side), label in ARTERIES.items():
        if side is None or (name, side) in without:
            continue
        start, end = (np.array(point, float) for point in LINES[name])
        points = start + np.linspace(0, 1, 200)[:, None] * (end - start)
        points[:, 0] = CENTRE + points[:, 0] * (1 if side == "right" else -1)
        index = np.rint((points - affine[:3, 3]) / [1, 1, 2]).astype(int)
        labels[tuple(index.T)] = label
    image = make_image(labels, affine)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(orientation)))
    return LabelledArteries(image.as_reoriented(turn))


def name(
    point: tuple[float, float, float], arteries: LabelledArteries, **options: float
) -> NamedOcclusion:
    assert arteries.midplane is not None
    where = np.add(point, [CENTRE, 0, 0])
    return name_occlusion(where, arteries, arteries.midplane, ArteryRuleOptions(**options))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(("side", "sign"), [("right", 1), ("left", -1)])
def test_sides_and_segments_are_the_patients_in_every_orientation(
    orientation: str, side: str, sign: int
) -> None:
    arteries = draw(orientation)
    assert not arteries.sides_exchanged
    assert name((sign * 9, 0, -9), arteries)[:3] == (side, "C7", "ICA")
    assert name((sign * 22, 3, 0), arteries)[:3] == (side, "M1", "MCA, proximal")
    assert name((sign * 45, 3, 0), arteries)[:3] == (side, "unknown", "MCA, distal")
    assert name((sign * 20, -38, 0), arteries)[:3] == (side, "other", "PCA")
    assert name((sign * 40, 30, 0), arteries)[:3] == (side, "unknown", "far from arteries")


def test_the_way_runs_along_the_artery_and_then_straight_to_the_marker() -> None:
    way = draw().way_from_carotid(np.array([CENTRE + 24, 4, 0]), "right", 5.0)
    assert way == pytest.approx(10 + 4, abs=1.0)  # from x 14 to 24, then 4 mm aside
    named = name((24, 4, 0), draw())
    assert named.segment == "unknown"
    assert name((24, 4, 0), draw(), m1_mm=16).segment == "M1"


def test_between_two_arteries_the_segment_stays_unknown() -> None:
    named = name((13, 0, 0), draw())
    assert (named.segment, named.rule) == ("unknown", "between arteries")


def test_without_its_mca_a_marker_at_the_carotid_is_not_called_c7() -> None:
    named = name((9, 0, -9), draw(without=(("MCA", "right"),)))
    assert (named.side, named.segment, named.rule) == ("right", "unknown", "ICA without MCA")
    assert named.missing == ("label of the right MCA",)
    assert name((-9, 0, -9), draw(without=(("MCA", "right"),))).segment == "C7"


def test_the_start_of_the_anterior_artery_may_be_the_carotids_end() -> None:
    assert name((7, 13, 2), draw(), carotid_end_mm=20).rule == "ACA at ICA"
    assert name((7, 13, 2), draw(), carotid_end_mm=5)[1:3] == ("other", "ACA")


def test_an_mca_without_carotid_is_neither_m1_nor_m2() -> None:
    named = name((22, 3, 0), draw(without=(("ICA", "right"),)))
    assert (named.segment, named.rule) == ("unknown", "MCA without ICA")


def test_an_artery_of_the_other_side_names_nothing() -> None:
    without = tuple((artery, "right") for artery in ("ICA", "MCA", "ACA"))
    named = name((6, 12, 2), draw(without=without), nearest_mm=15)
    assert (named.side, named.segment, named.rule) == ("right", "unknown", "artery of other side")
    assert named.review


def test_near_the_midline_the_artery_tells_the_side() -> None:
    assert name((3, 22, 2), draw())[:2] == ("right", "other")
    far = name((1, 58, 28), draw())
    assert far.side == "unknown" and far.review == ("the marker lies near the midline",)


def test_exchanged_labels_are_found_by_world_x() -> None:
    image = make_image(np.zeros((40, 5, 5), np.uint8), np.eye(4))
    labels = np.asarray(image.dataobj).copy()
    labels[5], labels[35] = 4, 6  # right at smaller x
    exchanged = LabelledArteries(nib.Nifti1Image(labels, np.eye(4)))
    assert exchanged.sides_exchanged
    assert exchanged.midplane is not None
    named = name_occlusion(np.array([35.0, 2, 2]), exchanged, exchanged.midplane)
    assert (named.side, named.segment, named.rule) == ("right", "unknown", "labels exchanged")
    assert named.review


def test_no_labels_leave_the_side_to_the_midline() -> None:
    empty = LabelledArteries(make_image(np.zeros((4, 4, 4), np.uint8), np.eye(4)))
    plane = draw().midplane
    assert plane is not None and plane.point[0] == pytest.approx(CENTRE, abs=0.5)
    for arteries in (empty, None):
        named = name_occlusion(np.array([CENTRE - 20, 0, 0]), arteries, plane)
        assert named[:3] == ("left", "unknown", "side by midline")

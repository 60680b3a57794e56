"""A head that lies otherwise than its axes say, on simulated heads in all 24 axis rotations."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import (
    BrainOptions,
    QualityLimits,
    ScanLimits,
    describe_scan,
    extract_brain,
    read_ncct,
    refuse_scan,
)
from lvo_kedro.imaging.geometry import make_image, to_ras
from lvo_kedro.imaging.pose import find_pose
from lvo_kedro.pipelines.preprocessing.nodes import preprocess_scan
from lvo_kedro.simulation import SimulationOptions, simulate_case
from tests.lengths import one_of

if TYPE_CHECKING:
    from pathlib import Path

    import nibabel as nib

Pair = tuple["nib.Nifti1Image", "nib.Nifti1Image"]

HARD: dict[str, dict[str, Any]] = {
    "turned": {"rotation_deg": 25.0, "pitch_deg": 25.0},
    "bleeding, bone missing": {
        "haemorrhage_ml": 100.0,
        "midline_shift_mm": 12.0,
        "craniectomy": True,
    },
    "base cut": {"cut_base_mm": 50.0},
    "vertex and base cut": {"cut_base_mm": 40.0, "cut_vertex_mm": 30.0},
}


def simulated(**fields: Any) -> Pair:
    options = SimulationOptions(spacing_mm=2.0, slice_thickness_mm=(3.0,), **fields)
    ncct = to_ras(simulate_case(5, options).ncct)
    return ncct, extract_brain(ncct)


@pytest.fixture(scope="module")
def straight() -> Pair:
    return simulated()


def rotations() -> list[np.ndarray]:
    signed = [
        np.eye(3)[list(order)] * signs
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    return [matrix for matrix in signed if np.linalg.det(matrix) > 0 and np.trace(matrix) < 3]


def laid(pair: Pair, rotation: np.ndarray) -> Pair:
    move = np.eye(4)
    move[:3, :3] = rotation
    ncct, mask = (to_ras(make_image(np.asarray(i.dataobj), move @ i.affine)) for i in pair)
    return ncct, mask


def direction(vector: np.ndarray) -> str:
    words = ("left", "right"), ("posterior", "anterior"), ("inferior", "superior")
    axis = int(np.abs(vector).argmax())
    return words[axis][int(vector[axis] > 0)]


def test_there_are_23_wrong_ways_to_lie() -> None:
    assert len(rotations()) == 23


@pytest.mark.parametrize("number", one_of(3, range(0, 23, 3)))
def test_a_head_laid_wrongly_is_seen(straight: Pair, number: int) -> None:
    rotation = rotations()[number]
    pose = find_pose(*laid(straight, rotation))
    assert pose.turned_deg is not None
    assert pose.turned_deg > 60
    assert pose.front_towards == direction(rotation[:, 1])
    assert pose.vertex_towards == direction(rotation[:, 2])


@pytest.mark.parametrize("name", one_of(4, HARD))
def test_hard_heads_raise_no_alarm(name: str) -> None:
    pose = find_pose(*simulated(**HARD[name]))
    assert pose.turned_deg is None or pose.turned_deg < 40
    assert (pose.front_towards, pose.vertex_towards) == ("anterior", "superior")


def test_a_wrong_side_up_is_refused_or_a_finding(straight: Pair) -> None:
    about_z = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # the front comes to lie at -x
    described = describe_scan(*laid(straight, about_z))
    assert any("its front points to left" in words for words in described["findings"])
    with pytest.raises(ScanError, match="its front points to left, its vertex to superior"):
        refuse_scan(described, QualityLimits())
    refuse_scan(described, QualityLimits(refused_turned_deg=180.0))


def test_nothing_is_said_of_a_head_that_lies_well(straight: Pair) -> None:
    described = describe_scan(*straight, QualityLimits(max_in_plane_mm=2.0))
    assert described["findings"] == []
    assert described["turned_deg"] < 30
    refuse_scan(described, QualityLimits())


@pytest.mark.parametrize(
    ("spacing", "words"),
    [((1.35, 1.35, 0.5), "brain width: 18"), ((0.7, 1.0, 1.0), "shape: width 0.5")],
)
def test_an_implausible_extent_is_a_finding(
    straight: Pair, spacing: tuple[float, ...], words: str
) -> None:
    stretched = [
        make_image(np.asarray(i.dataobj), i.affine @ np.diag([*spacing, 1.0])) for i in straight
    ]
    findings = describe_scan(*stretched)["findings"]
    assert any("implausible brain" in f and words in f for f in findings), findings


def test_what_the_scan_cuts_is_no_implausible_extent() -> None:
    described = describe_scan(*simulated(**HARD["vertex and base cut"]))
    assert described["brain_cut"] == (False, False, True)
    assert not any("implausible" in words for words in described["findings"])


@pytest.mark.shared
def test_a_real_head_on_its_side_is_refused(shared: Path) -> None:
    path = shared / "data" / "faults" / "15_head_turned_by_90_degrees" / "scan.nii.gz"
    with pytest.raises(ScanError, match="its front points to left, its vertex to superior"):
        preprocess_scan(path, None, ScanLimits(), BrainOptions(), QualityLimits())


@pytest.mark.long
@pytest.mark.shared
def test_a_real_head_in_all_rotations(shared: Path) -> None:
    ncct = read_ncct(shared / "data" / "ncct_ge_hispeed_1x1x3.nii.gz")
    pair = ncct, extract_brain(ncct)
    assert 10 < (find_pose(*pair).turned_deg or 0) < 30
    for rotation in rotations()[::4]:
        pose = find_pose(*laid(pair, rotation))
        found = pose.front_towards, pose.vertex_towards
        assert found == (direction(rotation[:, 1]), direction(rotation[:, 2]))

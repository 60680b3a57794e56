"""What looks like fresh blood or metal in a brain, and what does not."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging import (
    QualityLimits,
    find_hyperdensity,
    find_remarkable,
    forbid_call,
    measure_scan,
)
from lvo_kedro.imaging.geometry import grid_of, make_image, to_ras, world_axis
from lvo_kedro.reporting import plot_hyperdensity
from lvo_kedro.simulation import SimulationOptions, simulate_case

RIGHT = np.array([1.0, 0.0, 0.0])
SHAPE, SPACING = (80, 96, 70), 2.0
LEFT_DEEP, OTHER = (-24.0, 5.0, 10.0), (24.0, 5.0, 10.0)


def phantom(
    *blobs: tuple[tuple[float, ...], tuple[float, ...], float], noise: float = 4.0
) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """An ellipsoid of brain (34 HU) in bone, with ellipsoids: centre, radii (world mm), HU."""
    affine = np.diag([SPACING] * 3 + [1.0])
    affine[:3, 3] = -(np.array(SHAPE) - 1) / 2 * SPACING
    grid = grid_of(make_image(np.zeros(SHAPE, np.int16), affine))
    axes = [world_axis(grid, a) for a in range(3)]

    def inside(centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
        return sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radii, strict=True)) < 1

    brain = inside((0, 0, 0), (62, 78, 58))
    data = np.where(inside((0, 0, 0), (69, 85, 65)), 900.0, -1000.0)
    data[brain] = 34
    for centre, radii, hu in blobs:
        data[inside(centre, radii)] = hu
    data = ndimage.gaussian_filter(data, 0.4)
    data += noise * np.random.default_rng(0).standard_normal(SHAPE)
    mask = brain & ~ndimage.binary_dilation(data > 300, iterations=1)
    return make_image(data.astype(np.float32), affine), make_image(mask.astype(np.uint8), affine)


def found(*blobs: Any, **fields: Any) -> tuple[float, str]:
    result = find_hyperdensity(*phantom(*blobs, **fields), RIGHT)
    return sum(result.volumes_ml), result.side


@pytest.mark.parametrize("noise", [2.0, 10.0])
@pytest.mark.parametrize("radius", [10.0, 20.0])
def test_volume_and_place_of_a_bleeding(radius: float, noise: float) -> None:
    result = find_hyperdensity(*phantom((LEFT_DEEP, (radius,) * 3, 68.0), noise=noise), RIGHT)
    true = 4 / 3 * np.pi * radius**3 / 1000
    assert len(result.volumes_ml) == 1
    assert 0.75 * true < result.volumes_ml[0] < 1.1 * true
    assert result.centre_mm == pytest.approx(LEFT_DEEP, abs=1.0)
    assert result.side == "left"


@pytest.mark.parametrize(
    ("blobs", "side"),
    [
        ([(OTHER, (12, 12, 12), 70.0)], "right"),
        ([((0, 10, 0), (9, 14, 9), 70.0)], "midline"),
        ([((58, 0, 20), (12, 45, 30), 65.0)], "right"),  # under the skull, 16 mm thick
        ([(LEFT_DEEP, (9, 9, 9), 70.0), (OTHER, (14, 14, 14), 70.0)], "right"),  # the largest
    ],
)
def test_bleedings_elsewhere(blobs: list, side: str) -> None:
    volume, where = found(*blobs)
    assert volume > QualityLimits().min_haemorrhage_ml
    assert where == side


@pytest.mark.parametrize(
    "blob",
    [
        ((-35, 5, -20), (14, 2.2, 2.2), 80.0),  # a clot in the middle cerebral artery
        ((0, 0, 20), (1.5, 60, 30), 75.0),  # falx
        ((0, -74, 0), (4, 4.5, 30), 60.0),  # sinus at the surface
        ((LEFT_DEEP), (5, 8, 5), 250.0),  # calcium, with its rim
        ((LEFT_DEEP), (15, 15, 15), 44.0),  # grey matter and more
    ],
)
def test_what_is_as_dense_without_a_bleeding(blob: Any) -> None:
    assert found(blob)[0] == 0


def test_where_the_brain_ends_is_a_surface_and_where_the_scan_ends_is_none() -> None:
    scan, mask = phantom((LEFT_DEEP, (14, 14, 14), 68.0))
    cut = (slice(None), slice(None), slice(None, 41))  # through the bleeding
    parts = [make_image(np.asarray(i.dataobj)[cut], i.affine) for i in (scan, mask)]
    whole, half = (sum(find_hyperdensity(*p, RIGHT).volumes_ml) for p in ((scan, mask), parts))
    assert 0.35 * whole < half < 0.75 * whole


@pytest.fixture(scope="module")
def clot() -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """A head with the densest and longest clot, dense blood and calcified carotids."""
    case = simulate_case(
        4,
        SimulationOptions(
            lvo=True, segment="C7+M1", clot_hu=(75, 75), clot_length_mm=(20, 20),
            blood_hu=(50, 50), dense_arteries=1.0, calcification=1.0, slice_thickness_mm=(2.0,),
        ),
    )  # fmt: skip
    return case.ncct, case.brain_mask


def test_a_hyperdense_artery_is_what_is_looked_for_and_no_reason_against(clot: tuple) -> None:
    numbers = measure_scan(*clot)
    assert numbers["hyperdense_ml"] == numbers["metal_ml"] == 0
    assert forbid_call(numbers, QualityLimits()) == []


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_the_words_name_the_patients_side_however_the_scan_is_stored(codes: str) -> None:
    pair = phantom((LEFT_DEEP, (12, 12, 12), 68.0))
    turn = nib.orientations.axcodes2ornt(codes)
    stored = [i.as_reoriented(nib.orientations.ornt_transform(
        nib.orientations.io_orientation(i.affine), turn)) for i in pair]  # fmt: skip
    assert "".join(nib.aff2axcodes(stored[0].affine)) == codes
    numbers = measure_scan(*stored)
    (words,) = forbid_call(numbers, QualityLimits())
    assert words.startswith("haemorrhage-like hyperdensity: ")
    assert "on the left at (-24, 5, 10) mm" in words
    assert words in find_remarkable(numbers, QualityLimits())


@pytest.fixture(scope="module")
def bleeding() -> dict[str, Any]:
    return measure_scan(*phantom((LEFT_DEEP, (8, 8, 8), 68.0)))


def test_limits_and_the_gate_are_words_alone(bleeding: dict[str, Any]) -> None:
    assert forbid_call(bleeding, QualityLimits(min_haemorrhage_ml=5.0)) == []
    off = QualityLimits(no_call=("contrast", "metal"))
    assert forbid_call(bleeding, off) == []
    assert any("hyperdensity" in words for words in find_remarkable(bleeding, off))


def test_contrast_that_is_named_or_suspected_leaves_no_call(bleeding: dict[str, Any]) -> None:
    plain = bleeding | {"hyperdense_ml": 0.0}
    assert forbid_call(plain, QualityLimits()) == []
    (named,) = forbid_call(plain | {"contrast_named": True}, QualityLimits())
    assert "a contrast agent is named" in named
    (suspected,) = forbid_call(plain | {"bright_vessels_mm": 15.0}, QualityLimits())
    assert "contrast medium suspected" in suspected


@pytest.mark.parametrize(
    ("centre", "radius", "words"),
    [(LEFT_DEEP, 6.0, ["metal: "]), (LEFT_DEEP, 2.5, []), ((0, 0, -69), 4.0, [])],
)
def test_metal_in_the_brain_leaves_no_call_and_a_tooth_does(
    centre: Any, radius: float, words: list[str]
) -> None:
    scan, mask = phantom()
    place = np.moveaxis(np.indices(SHAPE), 0, -1)
    away = np.linalg.norm(apply_affine(scan.affine, place) - np.array(centre), axis=-1)
    data = np.where(away < radius, 3071.0, np.asarray(scan.dataobj)).astype(np.float32)
    inside = np.where(away < radius, 0, np.asarray(mask.dataobj)).astype(np.uint8)
    numbers = measure_scan(make_image(data, scan.affine), make_image(inside, mask.affine))
    told = forbid_call(numbers, QualityLimits())
    assert [text[: len(start)] for text, start in zip(told, words, strict=True)] == words


def test_the_picture_is_the_slice_of_the_largest_region() -> None:
    pair = phantom((LEFT_DEEP, (9, 9, 9), 70.0), ((24.0, 5.0, -20.0), (14, 14, 14), 70.0))
    result = find_hyperdensity(*pair, RIGHT)
    figure = plot_hyperdensity(to_ras(pair[0]), result)
    paths = [
        path.vertices
        for axes in figure.axes
        for drawn in axes.collections
        for path in drawn.get_paths()
        if len(path.vertices)
    ]
    assert np.concatenate(paths).mean(axis=0) == pytest.approx((24.0, 5.0), abs=1.5)
    with pytest.raises(ValueError, match="no hyperdense region"):
        plot_hyperdensity(pair[0], find_hyperdensity(*phantom(), RIGHT))

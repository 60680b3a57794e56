from __future__ import annotations

from dataclasses import fields

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging.geometry import is_sheared, to_ras
from lvo_kedro.simulation import PRESETS, SimulatedCase, SimulationOptions, simulate_case
from lvo_kedro.vocabulary import HEMISPHERES, SEGMENT_CLASSES, VESSEL_LABELS
from tests.lengths import one_of
from tests.simulation.conftest import COARSE


def data(image: nib.Nifti1Image) -> np.ndarray:
    return np.asarray(image.dataobj)


def images(case: SimulatedCase) -> dict[str, nib.Nifti1Image]:
    values = {f.name: getattr(case, f.name) for f in fields(case)}
    return {name: v for name, v in values.items() if isinstance(v, nib.Nifti1Image)}


def world(image: nib.Nifti1Image, mask: np.ndarray) -> np.ndarray:
    return apply_affine(image.affine, np.argwhere(mask))


def along(case: SimulatedCase, name: str, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Densities read along an artery, and where it is occluded."""
    artery = next(a for a in case.arteries if a.name == name and a.side == side)
    index = apply_affine(np.linalg.inv(case.ncct.affine), artery.points).T
    values = ndimage.map_coordinates(data(case.ncct).astype(float), index, order=1)
    return values, artery.occluded


@pytest.mark.parametrize("difficulty", one_of(3, PRESETS))
def test_same_seed_same_bytes_and_other_seed_other_bytes(difficulty: str) -> None:
    options = SimulationOptions(difficulty=difficulty, **COARSE)
    first, again, other = (simulate_case(seed, options) for seed in (3, 3, 4))
    for name, image in images(first).items():
        assert data(image).tobytes() == data(images(again)[name]).tobytes(), name
        assert np.array_equal(image.affine, images(again)[name].affine)
    assert (first.age, first.nihss, first.side) == (again.age, again.nihss, again.side)
    assert data(first.ncct).tobytes() != data(other.ncct).tobytes()


def test_all_images_share_one_grid_and_have_compact_types(occluded: SimulatedCase) -> None:
    for image in images(occluded).values():
        assert image.shape == occluded.ncct.shape
        assert np.allclose(image.affine, occluded.ncct.affine)
    assert occluded.ncct.get_data_dtype() == np.int16
    assert occluded.vessel_labels.get_data_dtype() == np.uint8


def test_tissues_have_the_densities_of_a_head_ct(occluded: SimulatedCase) -> None:
    hu, brain = data(occluded.ncct), data(occluded.brain_mask) > 0
    assert 25 < np.median(hu[brain]) < 40
    assert hu.min() < -950
    assert 700 < np.percentile(hu, 99.5) < 1500
    assert 900 < brain.sum() * 1.5**3 / 1000 < 1750
    assert set(np.unique(data(occluded.vessel_labels))) == {0, *VESSEL_LABELS.values()}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("segment", SEGMENT_CLASSES)
def test_clot_lies_in_its_segment_on_its_side(side: str, segment: str) -> None:
    options = SimulationOptions(lvo=True, side=side, segment=segment, **COARSE)
    case = simulate_case(7, options)
    clot, vessels = data(case.occlusion_mask), data(case.vessel_labels)
    assert {n for n, v in VESSEL_LABELS.items() if (clot == v).any()} == set(segment.split("+"))
    assert np.array_equal(clot[clot > 0], vessels[clot > 0])
    assert (case.side, case.segment, case.lvo) == (side, segment, True)
    mni = case.head.to_mni(world(case.occlusion_mask, clot > 0))
    assert np.all(mni[:, 0] < 0 if side == "left" else mni[:, 0] > 0)
    sides = data(case.hemispheres)[clot > 0]
    assert set(np.unique(sides)) <= {0, HEMISPHERES[side]}


def test_clot_replaces_the_lumen_over_its_length(occluded: SimulatedCase) -> None:
    sick, clot = along(occluded, "M1", "left")
    healthy, _ = along(occluded, "M1", "right")
    assert 10 <= clot.sum() * 0.5 <= 20.5
    assert np.median(sick[clot]) > 50
    assert np.median(sick[clot]) - np.median(healthy) > 15
    assert abs(np.median(sick[~clot]) - np.median(healthy)) < 12


@pytest.mark.long
def test_bone_never_swallows_the_arteries() -> None:
    for seed in range(8):
        options = SimulationOptions(
            lvo=False, calcification=0.0, dense_arteries=0.0, slice_thickness_mm=(5.0,)
        )
        case = simulate_case(seed, options)
        for side in ("left", "right"):
            for name in ("C7", "M1", "M2 superior", "M2 inferior"):
                values, _ = along(case, name, side)
                assert np.percentile(values, 90) < 62, (seed, name, side)
                assert np.median(values) > 12, (seed, name, side)


@pytest.mark.parametrize("difficulty", one_of(3, PRESETS))
def test_an_occlusion_changes_nothing_but_its_artery_and_its_territory(difficulty: str) -> None:
    """Geometry, anatomy, distractors, veins, artefacts and noise know no occlusion."""
    common = {"side": "left", "segment": "M1", "age": 60.0, "difficulty": difficulty, **COARSE}
    with_, without = (
        simulate_case(11, SimulationOptions(lvo=lvo, **common)) for lvo in (True, False)
    )
    assert np.array_equal(with_.ncct.affine, without.ncct.affine)
    assert np.array_equal(data(with_.vessel_labels), data(without.vessel_labels))
    assert np.array_equal(data(with_.brain_mask), data(without.brain_mask))
    assert not data(without.occlusion_mask).any()
    assert without.side is None and without.segment is None and without.hypodensity_hu == 0
    changed = np.abs(data(with_.ncct).astype(int) - data(without.ncct)) > 1
    assert 0 < changed.mean() < 0.1
    assert (with_.head.to_mni(world(with_.ncct, changed))[:, 0] < 8).all()


def test_territory_behind_the_clot_is_less_dense() -> None:
    options = SimulationOptions(
        lvo=True, side="right", segment="C7+M1", hypodensity_hu=(6, 6), mimic=0, **COARSE
    )
    case = simulate_case(2, options)
    hu, sides = data(case.ncct), data(case.hemispheres)
    tissue = (data(case.territory_probability) > 0.8) & (hu > 15) & (hu < 60)
    loss = hu[tissue & (sides == 1)].mean() - hu[tissue & (sides == 2)].mean()
    assert 2.5 < loss < 6.5
    assert case.hypodensity_hu == 6
    infarct = data(case.infarct_mask) > 0
    assert 10 < infarct.sum() * 36 / 1000 < 400
    assert set(np.unique(sides[infarct])) == {HEMISPHERES["right"]}


@pytest.mark.parametrize("orientation", one_of(2, ["LPS", "LAS", "RPI", "ASR", "SPL", "PIR"]))
def test_array_order_moves_no_voxel(orientation: str) -> None:
    straight = simulate_case(4, SimulationOptions(orientations=("RAS",), **COARSE))
    turned = simulate_case(4, SimulationOptions(orientations=(orientation,), **COARSE))
    assert "".join(nib.aff2axcodes(turned.ncct.affine)) == orientation
    assert np.array_equal(data(to_ras(turned.ncct)), data(straight.ncct))
    assert np.allclose(to_ras(turned.ncct).affine, straight.ncct.affine)


def test_head_map_is_invertible_and_keeps_sides(occluded: SimulatedCase) -> None:
    points = np.random.default_rng(0).uniform([-60, -90, -40], [60, 60, 70], (200, 3))
    assert np.abs(occluded.head.to_mni(occluded.head.to_world(points)) - points).max() < 0.05
    sides, brain = data(occluded.hemispheres), data(occluded.brain_mask) > 0
    left, right = (world(occluded.ncct, sides == n)[:, 0].mean() for n in (1, 2))
    assert left < right - 40
    assert np.array_equal(sides > 0, brain)
    assert 0.9 < (sides == 1).sum() / (sides == 2).sum() < 1.1


@pytest.mark.parametrize("difficulty", one_of(3, PRESETS))
def test_second_scan_of_a_patient_has_the_same_head_elsewhere(difficulty: str) -> None:
    options = SimulationOptions(difficulty=difficulty, lvo=True, patient_seed=50, **COARSE)
    first, second = (simulate_case(seed, options) for seed in (1, 2))
    assert (first.side, first.segment, first.age) == (second.side, second.segment, second.age)
    assert np.array_equal(first.head.displacement, second.head.displacement)
    assert not np.array_equal(first.head.pose, second.head.pose)


def volume(case: SimulatedCase) -> float:
    size = abs(np.linalg.det(case.ncct.affine[:3, :3]))
    return float(data(case.brain_mask).sum() * size / 1000)


def test_tilted_gantry_gives_a_sheared_image_of_the_same_head() -> None:
    straight, tilted = (
        simulate_case(6, SimulationOptions(gantry_tilt_deg=tilt, **COARSE)) for tilt in (0, 18)
    )
    assert is_sheared(tilted.ncct.affine) and not is_sheared(straight.ncct.affine)
    assert volume(tilted) == pytest.approx(volume(straight), rel=0.03)


def test_partial_coverage_takes_slices_from_top_or_base() -> None:
    whole, top, base = (
        simulate_case(6, SimulationOptions(orientations=("RAS",), **change, **COARSE))
        for change in ({}, {"cut_vertex_mm": 40.0}, {"cut_base_mm": 40.0})
    )
    assert top.ncct.shape[2] == base.ncct.shape[2] == whole.ncct.shape[2] - 10
    assert top.ncct.affine[2, 3] == whole.ncct.affine[2, 3]
    assert base.ncct.affine[2, 3] == whole.ncct.affine[2, 3] + 40


def test_midline_shift_haemorrhage_and_craniectomy_are_on_the_lesions_side() -> None:
    common = {"lvo": False, "side": "left", "orientations": ("RAS",), **COARSE}
    plain, changed = (
        simulate_case(9, SimulationOptions(**change, **common))
        for change in (
            {},
            {"midline_shift_mm": 10.0, "haemorrhage_ml": 40.0, "craniectomy": True},
        )
    )
    sides = data(changed.hemispheres)
    assert (sides == 1).sum() > (sides == 2).sum() * 1.02  # pushed to the right
    blood = (data(changed.ncct) > 52) & (data(changed.ncct) < 80) & (sides == 1)
    filled = ndimage.binary_opening(blood)
    assert 20 < filled.sum() * 36 / 1000 < 45
    bone = [[(data(c.ncct)[h] > 300).sum() for h in _halves(c)] for c in (plain, changed)]
    assert bone[1][0] < 0.9 * bone[0][0]
    assert bone[1][1] == pytest.approx(bone[0][1], rel=0.05)


def _halves(case: SimulatedCase) -> tuple[np.ndarray, np.ndarray]:
    x = case.head.to_mni(world(case.ncct, np.ones(case.ncct.shape, bool)))[:, 0]
    return (x < -5).reshape(case.ncct.shape), (x > 5).reshape(case.ncct.shape)

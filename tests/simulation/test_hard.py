"""What the preset ``hard`` adds, and that it adds nothing to the other two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.simulation import SimulatedCase, SimulationOptions, lesions, simulate_case
from lvo_kedro.simulation.asymmetry import draw_asymmetry
from lvo_kedro.simulation.beam_hardening import draw_beam_hardening
from lvo_kedro.simulation.zones import Zone, draw_texture
from tests.simulation.conftest import COARSE

HARD = SimulationOptions(difficulty="hard")
QUIET: dict[str, Any] = {"noise_hu": (0.01, 0.01), "orientations": ("RAS",), **COARSE}


def hard(seed: int, **changes: Any) -> SimulatedCase:
    return simulate_case(seed, SimulationOptions(difficulty="hard", **{**QUIET, **changes}))


def hu_of(case: SimulatedCase) -> np.ndarray:
    return np.asarray(case.ncct.dataobj, dtype=float)


def read_at(case: SimulatedCase, values: np.ndarray, world: np.ndarray) -> np.ndarray:
    index = apply_affine(np.linalg.inv(case.ncct.affine), world).T
    return ndimage.map_coordinates(values, index, order=1)


def lattice(step: float) -> np.ndarray:
    axes = [np.arange(low, high, step) for low, high in ((-75, 76), (-105, 76), (-65, 85))]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    ("difficulty", "shape", "brain", "infarct", "row"),
    [
        ("didactic", (53, 65, 40), 33518, 2104, [27, 18, 38, 36, 38, 31, 34, 26, 27, 29, 19, 20]),
        ("realistic", (54, 65, 42), 33289, 1349, [32, 26, 31, 29, 31, 34, 36, 14, 26, 25, 31, 22]),
    ],
)
def test_the_other_presets_are_what_they_were(
    difficulty: str, shape: tuple[int, ...], brain: int, infarct: int, row: list[int]
) -> None:
    """Read before ``hard`` was there; rounding may differ by one between processors."""
    options = SimulationOptions(
        difficulty=difficulty, lvo=True, side="left", segment="M1", **COARSE
    )
    case = simulate_case(3, options)
    assert case.ncct.shape == shape
    assert np.asarray(case.brain_mask.dataobj).sum() == pytest.approx(brain, abs=3)
    assert np.asarray(case.infarct_mask.dataobj).sum() == pytest.approx(infarct, abs=3)
    assert np.abs(hu_of(case)[10:46:3, 30, 20] - row).max() <= 1
    assert case.veins == ()


def draw_infarct(seed: int, options: SimulationOptions, segment: Any = "M1") -> list[Zone]:
    streams = [np.random.default_rng([seed, n]) for n in (0, 1)]
    return lesions.draw_ischaemia(
        *streams, options, side="left", segment=segment, branch="M2 superior"
    )


def test_a_third_of_the_occlusions_shows_no_infarct() -> None:
    hidden = [not draw_infarct(seed, HARD) for seed in range(300)]
    assert np.mean(hidden) == pytest.approx(1 / 3, abs=0.07)


def test_an_invisible_infarct_leaves_the_clot_alone() -> None:
    common: dict[str, Any] = {"side": "left", "segment": "M1", "invisible_infarct": 1.0}
    occluded, without = (hard(11, lvo=lvo, **common) for lvo in (True, False))
    assert occluded.hypodensity_hu == 0
    assert not np.asarray(occluded.infarct_mask.dataobj).any()
    assert np.asarray(occluded.occlusion_mask.dataobj).any()
    changed = np.argwhere(np.abs(hu_of(occluded) - hu_of(without)) > 1)
    assert len(changed)
    vessels = np.asarray(occluded.vessel_labels.dataobj) > 0
    away = ndimage.distance_transform_edt(~vessels, occluded.ncct.header.get_zooms())
    assert away[tuple(changed.T)].max() < 9


def test_infarcts_lie_at_many_places_of_the_territory() -> None:
    visible = HARD.model_copy(update={"invisible_infarct": 0.0})
    fixed = visible.model_copy(update={"infarct_scatter": 0.0})
    spread, usual = (
        np.std([draw_infarct(s, o, "M2")[0].centre for s in range(80)], axis=0)
        for o in (visible, fixed)
    )
    assert (spread > 1.2 * usual).all()
    centres = np.array([z.centre for s in range(80) for z in draw_infarct(s, visible)], np.float32)
    assert (lesions.mca_territory(centres, "left") > 0.1).mean() > 0.95


def roughness(weight: np.ndarray) -> float:
    """Faces of the voxels above one half, relative to a ball's surface of the same volume."""
    inside = weight > 0.5
    faces = sum(np.diff(inside, axis=axis).sum() for axis in range(3))
    return float(faces / (1.5 * np.cbrt(36 * np.pi * inside.sum() ** 2)))


def test_infarcts_are_irregular_and_patchy() -> None:
    mni = lattice(2.0)
    plain = Zone((-45.0, -10.0, 20.0), (20.0, 24.0, 20.0), "loss", 5.0)
    rough = [
        replace(plain, texture=draw_texture(np.random.default_rng(seed), HARD)) for seed in range(5)
    ]
    assert roughness(plain.weight(mni)) < 1.1
    measured = [roughness(zone.weight(mni)) for zone in rough]
    assert min(measured) > 1.15 and np.mean(measured) > 1.3
    volumes = [(zone.weight(mni) > 0.5).sum() for zone in rough]
    assert 0.5 < np.mean(volumes) / (plain.weight(mni) > 0.5).sum() < 1.1
    assert all((zone.weight(mni)[mni[..., 0] > 0] == 0).all() for zone in rough)


def test_old_and_small_infarcts_lie_anywhere_in_the_brain() -> None:
    options = HARD.model_copy(update={"old_infarct": 1.0, "mimic": 1.0})
    zones = [
        zone
        for seed in range(60)
        for zone in lesions.draw_distractors(*np.random.default_rng(seed).spawn(2), options)
    ]
    centres = np.array([zone.centre for zone in zones], np.float32)
    inside = lesions.mca_territory(centres) > 0.5
    assert 0.15 < inside.mean() < 0.85
    assert 0.3 < (centres[:, 0] < 0).mean() < 0.7
    assert ((centres[:, 2] < -25) & (centres[:, 1] < -45)).any()  # cerebellum
    assert {zone.kind for zone in zones} == {"loss", "fill"}
    assert all(zone.texture is not None for zone in zones)


def test_veins_hold_the_arteries_blood_and_are_no_vessels_of_the_labels() -> None:
    changes: dict[str, Any] = {"lvo": True, "segment": "M1", "blood_hu": (48.0, 48.0)}
    changes |= {"dense_arteries": 0.0, "spacing_mm": 1.5, "slice_thickness_mm": (1.5,)}
    with_, without = (hard(4, veins=veins, **changes) for veins in (1.0, 0.0))
    assert np.array_equal(with_.vessel_labels.dataobj, without.vessel_labels.dataobj)
    assert np.array_equal(with_.occlusion_mask.dataobj, without.occlusion_mask.dataobj)
    assert without.veins == ()
    named = {vein.name: vein for vein in with_.veins}
    assert {vein.hu for vein in with_.veins} == {48.0}
    lumen = read_at(with_, hu_of(with_), named["superior sagittal sinus"].points)
    assert 42 < np.median(lumen) < 54
    points = np.concatenate([vein.points for vein in with_.veins])
    gained = read_at(with_, hu_of(with_) - hu_of(without), points)
    assert np.median(gained) > 8
    labelled = read_at(with_, np.asarray(with_.vessel_labels.dataobj) > 0, points)
    assert labelled.mean() < 0.1


def test_veins_know_no_occlusion_and_differ_between_sides() -> None:
    occluded, open_ = (hard(8, lvo=lvo) for lvo in (True, False))
    for one, other in zip(occluded.veins, open_.veins, strict=True):
        assert (one.name, one.side, one.hu) == (other.name, other.side, other.hu)
        assert np.array_equal(one.points, other.points)
    pair = {v.side: v for v in occluded.veins if v.name == "transverse sinus"}
    means = sorted(v.radius.mean() for v in pair.values())
    assert means[0] < 0.9 * means[1]


@pytest.mark.long
def test_the_brain_between_the_petrous_bones_is_darkened() -> None:
    changes: dict[str, Any] = {"streak_hu": (0.0, 0.0), "cupping_hu": (0.0, 0.0)}
    for seed in range(3):
        dark, clean = (
            hard(seed, interpetrous_hu=(depth, depth), **changes) for depth in (8.0, 0.0)
        )
        change = hu_of(dark) - hu_of(clean)
        at = dark.head.to_world([[x, y, z] for x in (-8, 0, 8) for y in (-29, -25, -21)
                                 for z in (-42, -39, -36)])  # fmt: skip
        assert -13 < read_at(dark, change, at).min() < -5
        vertex = dark.head.to_world([[20.0, -20.0, 50.0], [-30.0, 10.0, 30.0]])
        assert np.abs(read_at(dark, change, vertex)).max() < 1


def test_cupping_darkens_the_middle() -> None:
    changes: dict[str, Any] = {"interpetrous_hu": (0.0, 0.0), "streak_hu": (0.0, 0.0)}
    cupped, clean = (hard(2, cupping_hu=(c, c), **changes) for c in (6.0, 0.0))
    at = cupped.head.to_world([[0.0, -17.0, 40.0], [55.0, -17.0, 40.0], [-55.0, -17.0, 40.0]])
    middle, right, left = read_at(cupped, hu_of(cupped) - hu_of(clean), at)
    assert middle < -1.5 and min(left, right) > middle + 2


def test_beam_hardening_is_the_scans_not_the_patients() -> None:
    def drawn(seed: int) -> Any:
        return draw_beam_hardening(np.random.default_rng(seed), HARD)

    assert drawn(1) == drawn(1) != drawn(2)
    assert draw_beam_hardening(np.random.default_rng(1), SimulationOptions()) is None


def test_petalia_moves_the_poles_as_named() -> None:
    strong = HARD.model_copy(update={"petalia_mm": (6.0, 6.0)})
    asymmetry = draw_asymmetry(np.random.default_rng(0), strong)
    assert asymmetry is not None
    poles = np.array([[30.0, 58, 8], [-30, 58, 8], [28, -92, 4], [-28, -92, 4]])
    moved = -asymmetry.displacement(poles[:, None, None])[1, :, 0, 0]
    assert moved[0] > moved[1] + 4  # the right frontal pole lies further in front
    assert moved[3] < moved[2] - 4  # the left occipital pole lies further behind
    assert draw_asymmetry(np.random.default_rng(0), SimulationOptions()) is None


def test_ventricles_sulci_and_skull_differ_between_the_sides() -> None:
    drawn = draw_asymmetry(np.random.default_rng(0), HARD)
    assert drawn is not None
    uneven = replace(drawn, ventricles=0.2, sulci=0.2, skull_mm=2.0, sulci_strength=0.0,
                     skull_strength_mm=0.0, sylvian=(0.0, 0.0))  # fmt: skip
    beside = np.array([[14.0, -8, 14], [-14, -8, 14]])
    right, left = uneven.displacement(beside[:, None, None])[0, :, 0, 0]
    assert right < -1 and left < -1  # read nearer to the middle on the right, farther on the left
    sulci = uneven.extra_atrophy(np.array([[50, -20, 40], [-50, -20, 40]], np.float32))
    assert sulci[0] > 0.15 and sulci[1] < -0.15
    outer = np.array([[84, -17, 20], [-84, -17, 20], [40, -17, 20]], np.float32)
    shift = np.linalg.norm(outer, axis=1) - np.linalg.norm(uneven.bone_positions(outer), axis=1)
    assert shift[0] > 1 and shift[1] < -1 and shift[2] == 0


@pytest.mark.long
def test_the_hard_heads_map_is_invertible() -> None:
    points = np.random.default_rng(0).uniform([-60, -90, -40], [60, 60, 70], (200, 3))
    for seed in range(6):
        head = hard(seed).head
        assert np.abs(head.to_mni(head.to_world(points)) - points).max() < 0.05

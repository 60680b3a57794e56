from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine

from lvo_kedro.errors import TableError
from lvo_kedro.features import PLACE, SEARCHED, TERRITORY, describe_arteries
from lvo_kedro.features.tissue import territory_differences
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.localization import (
    BaselineOptions,
    SegmentBaseline,
)
from lvo_kedro.localization.baseline import WEIGHED
from lvo_kedro.vocabulary import HEMISPHERES, VESSEL_LABELS
from tests.lengths import one_of

from .conftest import CLOT, ORIENTATIONS, PATENT, Head, draw_head, grid_with

CASES = [
    (segments, side)
    for side in ("left", "right")
    for segments in (("C7",), ("M1",), ("M2",), ("C7", "M1"), ("M1", "M2"))
]
LOST_HU = 6.0


def described(
    segments: tuple[str, ...],
    side: str,
    seed: int,
    axes: str = "RAS",
    *,
    infarct: str | None = None,
    unseen: tuple[str, int] | None = None,
) -> pd.DataFrame:
    """A head with noise; ``infarct``: the side of it, ``unseen``: a vessel that was not found."""
    head = draw_head(grid_with(axes, spacing=(2.0, 2.0, 2.0)), segments, side)
    noise = np.random.default_rng(seed).normal(0, 4, head.ncct.shape)
    ncct = make_image((np.asarray(head.ncct.dataobj) + noise).astype(np.float32), head.ncct.affine)
    vessels = np.asarray(head.vessels.dataobj).copy()
    if unseen is not None:
        lost, label = unseen
        vessels[(vessels == label) & on_side(head, lost)] = 0
    return arteries_of(ncct, make_image(vessels, head.ncct.affine), priors_of(head, infarct, seed))


def arteries_of(ncct: nib.Nifti1Image, vessels: nib.Nifti1Image, priors: dict) -> pd.DataFrame:
    table = describe_arteries(ncct, vessels, priors["hemispheres"])
    return table.assign(**{TERRITORY: table["side"].map(territory_differences(priors))})


def on_side(head: Head, side: str) -> np.ndarray:
    return np.asarray(head.hemispheres.dataobj) == HEMISPHERES[side]


def priors_of(head: Head, infarct: str | None, seed: int) -> dict:
    difference = np.random.default_rng(seed + 1).normal(0, 1, head.ncct.shape)
    if infarct is not None:
        difference += np.where(on_side(head, infarct), -LOST_HU, LOST_HU)
    maps = {"territory_probability": np.ones(head.ncct.shape), "signed_difference": difference}
    images = {k: make_image(v.astype(np.float32), head.ncct.affine) for k, v in maps.items()}
    return images | {"hemispheres": head.hemispheres}


@pytest.fixture(scope="module")
def baseline() -> SegmentBaseline:
    occluded = [
        described(*case, seed, infarct=case[1] if seed % 2 else None)
        for seed, case in enumerate(CASES * 2)
    ]
    patent = [described((), "left", 50 + seed) for seed in range(len(CASES))]
    truths = [(side, "+".join(segments)) for segments, side in CASES] * 2
    return SegmentBaseline().fit(occluded + patent, truths + [None] * len(patent))


@pytest.mark.parametrize(("segments", "side"), CASES)
def test_it_names_dense_segments(baseline: SegmentBaseline, segments, side) -> None:
    call = baseline.call(described(segments, side, 99, "LPS"))
    assert (call.best_segment, call.best_side) == ("+".join(segments), side)
    assert call.segment == call.best_segment


@pytest.mark.parametrize(("segments", "side"), CASES)
def test_it_points_to_the_clot(baseline: SegmentBaseline, segments, side) -> None:
    call = baseline.call(described(segments, side, 99, "PIL"))
    clot = draw_head(grid_with("PIL", spacing=(2.0, 2.0, 2.0)), segments, side)
    away = np.linalg.norm(
        apply_affine(clot.clot.affine, np.argwhere(clot.clot.dataobj)) - call.best_point, axis=1
    )
    # inside the clot or at its wall; of two segments, between them
    assert away.min() < (4 if len(segments) == 1 else 10)


@pytest.mark.parametrize("axes", one_of(5, ORIENTATIONS))
def test_the_side_is_the_patients_in_every_orientation(baseline: SegmentBaseline, axes) -> None:
    call = baseline.call(described(("M1",), "right", 3, axes))
    assert (call.best_segment, call.best_side) == ("M1", "right")


def test_sides_mirror_each_other() -> None:
    table = described(("M1",), "left", 5, infarct="left").set_index(["side", "segment"])
    for column in WEIGHED:
        assert np.allclose(table.loc["left", column], -table.loc["right", column])
    assert table.loc[("left", "M1"), "peak_difference"] == pytest.approx(CLOT - PATENT, abs=8)
    assert table.loc[("left", "M2"), TERRITORY] == pytest.approx(-LOST_HU, abs=0.2)


def test_nothing_dense_is_nothing_found(baseline: SegmentBaseline) -> None:
    assert baseline.call(described((), "left", 5)).segment is None


@pytest.mark.parametrize("lost", ["left", "right"])
def test_a_vessel_found_on_one_side_only_is_still_compared(baseline: SegmentBaseline, lost) -> None:
    table = described(("M1",), "left", 7, unseen=(lost, VESSEL_LABELS["M1"]))
    assert (table["volume_ml"] == 0).sum() == 1
    call = baseline.call(table)
    assert (call.segment, call.side) == ("M1", "left")


def test_an_infarct_tells_the_side_where_no_artery_does(baseline: SegmentBaseline) -> None:
    for side in ("left", "right"):
        assert baseline.call(described((), "left", 11, infarct=side)).best_side == side


def test_calcium_is_no_clot() -> None:
    head = draw_head(grid_with(spacing=(2.0, 2.0, 2.0)), (), "left")
    hu = np.asarray(head.ncct.dataobj).copy()
    m1 = np.argwhere(
        (np.asarray(head.vessels.dataobj) == VESSEL_LABELS["M1"]) & on_side(head, "left")
    )
    hu[tuple(m1[len(m1) // 2])] = 900.0
    ncct = make_image(hu, head.ncct.affine)
    table = arteries_of(ncct, head.vessels, priors_of(head, None, 0))
    assert table["peak_difference"].abs().max() < 3


def test_no_vessel_at_all_gives_no_difference_and_no_point(baseline: SegmentBaseline) -> None:
    head = draw_head(grid_with(spacing=(2.0, 2.0, 2.0)), ("M1",), "left")
    nothing = make_image(np.zeros(head.ncct.shape, np.uint8), head.ncct.affine)
    table = arteries_of(head.ncct, nothing, priors_of(head, None, 0))
    assert not table[list(SEARCHED)].to_numpy().any()
    assert table[list(PLACE)].isna().all(axis=None)
    assert baseline.call(table).best_point is None


def test_it_is_plain_numbers(baseline: SegmentBaseline) -> None:
    again = SegmentBaseline.from_json(json.loads(json.dumps(baseline.to_json())))
    table = described(("M1",), "right", 7)
    assert again.call(table) == baseline.call(table)


def test_baselines_of_the_time_when_reading_was_among_their_options(baseline) -> None:
    stored = baseline.to_json()
    former = stored["options"] | {"around": 1.6, "dense_hu": 52.0}
    assert SegmentBaseline.from_json(stored | {"options": former}).to_json() == stored


def test_options_that_moved_say_where_they_are() -> None:
    with pytest.raises(ValueError, match=r"dense_hu is now features\.dense_hu"):
        BaselineOptions(dense_hu=50.0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_side_told_by_another_method_is_kept(baseline: SegmentBaseline, side) -> None:
    call = baseline.call(described(("M1",), "left", 7), side=side)
    assert call.best_side == side
    assert call.best_segment == "M1" or side == "right"


@pytest.mark.parametrize("truth", [None, ("left", "M1")])
def test_one_kind_of_case_is_not_enough(truth) -> None:
    with pytest.raises(TableError, match="of 2 cases"):
        SegmentBaseline().fit([described(("M1",), "left", 0)] * 2, [truth] * 2)


def test_without_controls_it_always_names_what_is_likeliest() -> None:
    occluded = [described(*case, seed) for seed, case in enumerate(CASES * 2)]
    truths = [(side, "+".join(segments)) for segments, side in CASES] * 2
    baseline = SegmentBaseline().fit(occluded, truths, controls=False)
    again = SegmentBaseline.from_json(json.loads(json.dumps(baseline.to_json())))
    found = [again.call(described(*case, 100 + n)) for n, case in enumerate(CASES)]
    assert [(c.side, c.segment) for c in found] == [(s, "+".join(parts)) for parts, s in CASES]
    assert again.call(described((), "left", 60)).segment is not None
    with pytest.raises(TableError, match="expected one in every case"):
        SegmentBaseline().fit(occluded, [None, *truths[1:]], controls=False)


def test_few_cases_stay_near_what_is_expected_and_many_do_not() -> None:
    names = [*WEIGHED, "C7", "M1", "M2", "C7+M1", "M1+M2"]
    cases = [described(*case, seed) for seed, case in enumerate(CASES)]
    cases.append(described((), "left", 99))
    truths = [(side, "+".join(segments)) for segments, side in CASES] + [None]
    free = SegmentBaseline().fit(cases, truths).to_json()
    expected = {name: number / 10 for number, name in enumerate(names)}
    options = {"expected": expected, "penalty": 1e6}
    held = SegmentBaseline(BaselineOptions(**options)).fit(cases, truths).to_json()
    assert held["weights"] | held["constants"] == pytest.approx(expected, abs=1e-2)
    options |= {"penalty": 1e-6}
    loose = SegmentBaseline(BaselineOptions(**options)).fit(cases, truths)
    assert loose.to_json()["weights"] != pytest.approx(held["weights"], abs=1e-2)
    assert SegmentBaseline.from_json(held).to_json() == held
    none = BaselineOptions(expected=dict.fromkeys(names, 0.0))
    same = SegmentBaseline(none).fit(cases, truths).to_json()
    assert same["weights"] == pytest.approx(free["weights"])


def test_what_is_expected_names_every_weight() -> None:
    with pytest.raises(ValueError, match=r"given C7; expected peak_difference, .* M1\+M2"):
        BaselineOptions(expected={"C7": 1.0})

"""The hemispheric difference in drawn infarcts: numbers that are known, and simulated heads."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from lvo_kedro.errors import ScanError, TableError
from lvo_kedro.evaluation import InfarctOptions, measure_infarct, summarize_infarcts
from lvo_kedro.infarct_evaluation import (
    InfarctEvaluationOptions,
    evaluate_infarcts,
    read_infarct_table,
)
from lvo_kedro.priors import PriorOptions, load_atlas
from lvo_kedro.simulation import SimulationOptions, simulate_case

PLAIN = InfarctOptions(smooth_mm=0)
ONE_ML = (10.0, 10.0, 10.0)


def maps(side: str = "left", difference: float = -4.0) -> list[np.ndarray]:
    """A brain of two halves with a core of 50 voxels of 1 ml in one of them."""
    shape = (20, 10, 10)
    hemispheres = np.ones(shape, np.uint8)
    hemispheres[10:] = 2
    core = np.zeros(shape, np.uint8)
    start = 2 if side == "left" else 13
    core[start : start + 5, 2:7, 2:4] = 1
    signed = core * difference
    signed = signed - signed[::-1]
    return [signed.astype(np.float32), hemispheres, np.ones(shape, np.float32), core]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_core_that_lost_density_is_negative_on_its_side(side: str) -> None:
    found = measure_infarct(*maps(side), ONE_ML, options=PLAIN)
    assert (found["side"], found["side_found"]) == (side, side)
    assert found["core_ml"] == found["territory_ml"] == pytest.approx(50)
    assert (found["core_hu"], found["outside_hu"]) == (-4, 0)
    assert found["core_minus_outside_hu"] == -4
    assert (found["sign_right"], found["side_right"]) == (1, 1)
    # of 1950 voxels outside, the 50 of the mirror image are as different
    assert found["auc"] == pytest.approx((1900 + 25) / 1950)


def test_a_denser_core_has_the_wrong_sign_and_the_wrong_side() -> None:
    found = measure_infarct(*maps("left", 4.0), ONE_ML, options=PLAIN)
    assert (found["core_hu"], found["sign_right"], found["side_right"]) == (4, 0, 0)
    assert found["side_found"] == "right"


def test_a_core_on_both_sides_has_no_side_to_be_right_about() -> None:
    signed, hemispheres, territory, core = maps()
    both = core | core[::-1]
    found = measure_infarct(signed, hemispheres, territory, both, ONE_ML, options=PLAIN)
    assert found["side"] == "both" and math.isnan(float(found["side_right"]))


def test_a_core_outside_the_territory_is_counted_and_not_measured() -> None:
    signed, hemispheres, territory, core = maps()
    found = measure_infarct(
        signed, hemispheres, territory * (1 - core), core, ONE_ML, options=PLAIN
    )
    assert (found["core_ml"], found["territory_ml"]) == (pytest.approx(50), 0)
    assert math.isnan(float(found["core_hu"])) and math.isnan(float(found["auc"]))


def test_smoothing_is_in_mm_along_each_axis() -> None:
    signed, hemispheres, territory, core = maps()
    wide = InfarctOptions(smooth_mm=20)
    fine = measure_infarct(signed, hemispheres, territory, core, (40.0, 40.0, 40.0), options=wide)
    coarse = measure_infarct(signed, hemispheres, territory, core, ONE_ML, options=wide)
    assert -4 < float(fine["core_hu"]) < float(coarse["core_hu"]) < 0


def test_maps_that_do_not_fit_and_cores_outside_the_brain_are_refused() -> None:
    signed, hemispheres, territory, core = maps()
    with pytest.raises(ScanError, match="different shapes"):
        measure_infarct(signed[1:], hemispheres, territory, core, ONE_ML)
    with pytest.raises(ScanError, match="no core in the brain"):
        measure_infarct(signed, hemispheres * 0, territory, core, ONE_ML)


def test_means_have_intervals_over_cases_and_shares_their_n() -> None:
    rows = [
        measure_infarct(*maps("left", hu), ONE_ML, options=PLAIN) for hu in (-6.0, -4.0, -2.0, 2.0)
    ]
    cases = pd.DataFrame(rows).assign(patient_id=list("abcd"))
    table = summarize_infarcts(cases, PLAIN).set_index("metric")
    mean = table.loc["mean_core_hu"]
    assert mean["value"] == pytest.approx(-2.5) and mean["low"] < -2.5 < mean["high"]
    assert (table["n"] == 4).all()
    assert table.loc["side_right", "value"] == 0.75
    none = summarize_infarcts(cases.assign(core_hu=np.nan), PLAIN).set_index("metric")
    assert none.loc["mean_core_hu", "n"] == 0 and math.isnan(none.loc["mean_core_hu", "value"])


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated heads with an infarct, in two orders of axes."""
    raw = tmp_path_factory.mktemp("infarcts") / "01_raw"
    raw.mkdir()
    rows = []
    for seed, (side, orientation) in enumerate((("left", "RAS"), ("right", "LPI")), start=1):
        case = simulate_case(
            seed,
            SimulationOptions(
                lvo=True, side=side, segment="M1", orientations=(orientation,),
                spacing_mm=2.0, slice_thickness_mm=(4.0,), hypodensity_hu=(9.0, 10.0),
                old_infarct=0.0, mimic=0.0,
            ),
        )  # fmt: skip
        for name, image in (("ncct", case.ncct), ("infarct_mask", case.infarct_mask)):
            nib.save(image, raw / f"{side}_{name}.nii.gz")
        files = {name: f"{side}_{name}.nii.gz" for name in ("ncct", "infarct_mask")}
        rows.append({"case_id": side, **files})
    rows.append({**rows[0], "case_id": "exchanged", "infarct_mask": "left_ncct.nii.gz"})
    pd.DataFrame(rows).to_csv(raw / "infarcts.csv", index=False)
    return raw


@pytest.mark.long
def test_simulated_infarcts_are_found_on_their_side(raw: Path, tmp_path: Path) -> None:
    few = (10, 0, 0)
    options = InfarctEvaluationOptions(
        priors=PriorOptions(spacing_mm=6.0, iterations=few, mirror_iterations=few)
    )
    atlas = load_atlas()
    found = evaluate_infarcts(raw, tmp_path, atlas, options)
    assert list(found.cases["side"]) == list(found.cases["side_found"]) == ["left", "right"]
    assert (found.cases["core_hu"] < -2).all() and (found.cases["auc"] > 0.6).all()
    assert list(found.failed) == ["exchanged"] and "infarct_mask" in found.failed["exchanged"]
    record = tmp_path / "records" / "left.json"
    before = record.stat().st_mtime_ns
    again = evaluate_infarcts(raw, tmp_path, atlas, options)
    assert record.stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(again.cases, found.cases)
    written = pd.read_csv(tmp_path / "summary.csv").set_index("metric")
    assert written.loc["side_right", "n"] == 2


def test_a_table_that_leaves_the_folder_or_names_nothing_is_refused(
    raw: Path, tmp_path: Path
) -> None:
    with pytest.raises(TableError, match="kedro adopt cpaisd"):
        read_infarct_table(tmp_path)
    good = pd.read_csv(raw / "infarcts.csv").head(1).assign(ncct="scan.nii", infarct_mask="m.nii")
    for name in ("scan.nii", "m.nii"):
        (tmp_path / name).write_bytes(b"")
    for changed, said in (
        (good.drop(columns="infarct_mask"), "without infarct_mask"),
        (good.head(0), "without any case"),
        (good.assign(case_id="../x"), "row 2.*no id"),
        (good.assign(ncct="../other.nii"), "ncct is no file below"),
        (good.assign(infarct_mask="none.nii"), "infarct_mask is no file below"),
        (pd.concat([good, good]), "row 2.*twice|row 3.*twice"),
    ):
        changed.to_csv(tmp_path / "infarcts.csv", index=False)
        with pytest.raises(TableError, match=said):
            read_infarct_table(tmp_path)

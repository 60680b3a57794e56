"""The record fits its schema, maps lie on the scan, and the page says first what matters."""

from __future__ import annotations

import base64
import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from nibabel.affines import apply_affine

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import Grid
from lvo_kedro.reporting import render_scan
from lvo_kedro.scoring import check_record
from lvo_kedro.scoring.figures import worth_of
from lvo_kedro.scoring.record import Computed, make_record
from lvo_kedro.scoring.scorer import _on_device
from lvo_kedro.scoring.served import ROOT, ServedScorer, allowed_path, write_sent
from lvo_kedro.scoring.writing import called_occlusion, on_grid, write_result
from lvo_kedro.vocabulary import RESEARCH_ONLY

CASE = "scan-0123456789"
SCAN = Path("/archive/Smith^John/scan.nii.gz")
METRICS = pd.DataFrame(
    [
        *[("cases", 48.0), ("cases_with_lvo", 25.0), ("tp_youden", 20.0)],
        *[("sensitivity_youden", 0.8), ("sensitivity_youden_low", 0.6)],
        *[("sensitivity_youden_high", 0.9), ("specificity_youden", np.nan)],
    ],
    columns=["metric", "value"],
)


@pytest.fixture
def computed():
    point = {"case_id": [CASE], "point_x": [-30.125], "point_y": [4.0], "point_z": [12.5]}
    calibration = {"all": {"operating_points": {"youden": 0.5}}}
    memory = {"new.localization_calls": pd.DataFrame(point), "calibration": calibration}
    row = {"case_id": CASE, "probability": 0.9, "at_youden": "occlusion", "side": "left"}
    row |= {
        "segment": "M1",
        "confidence": 0.7,
        "findings": "thick slices; <b>left C7</b> not found",
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in memory.items()})
    return Computed(CASE, SCAN, row, catalog)


@pytest.fixture
def record(computed, models):
    models.figures["operating_points"].update(worth_of({"development": METRICS}, 0.95))
    made = make_record(computed, models, {"score_scans": 0.123})
    made["seconds"]["total"] = 1.0
    return made


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR"])
def test_results_hold_what_is_marked_of_the_called_occlusion_alone(computed, record, axes):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 3] = -31.0

    def turned(data):
        image = nib.Nifti1Image(data, affine)
        change = nib.orientations.ornt_transform(
            nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
        )
        return image.as_reoriented(change)

    marked, halves = np.zeros((32, 8, 8), np.uint8), np.ones((32, 8, 8), np.uint8)
    halves[16:] = 2
    marked[4:8, 2:4, 2:4], marked[4:8, 5:7, 2:4] = 2, 3  # left M1 and M2
    marked[24:30, 2:4, 2:4] = 2  # right M1
    images = {"occlusions": {"occlusion_mask": turned(marked)},
              "priors": {"hemispheres": turned(halves)}}  # fmt: skip
    seen = SimpleNamespace(images=lambda step: images.get(step, {}))
    expected = np.zeros_like(marked)
    expected[4:8, 2:4, 2:4] = 2
    found = called_occlusion(seen, record)
    assert np.array_equal(found.dataobj, turned(expected).dataobj)
    (point,) = record["operating_points"]
    for changed in (
        {"operating_points": [point | {"call": "no occlusion"}]},
        {"status": "no_call"},
        {"segment": "C7"},
        {"segment": None},
        {"side": None},
    ):
        assert called_occlusion(seen, record | changed) is None
    assert called_occlusion(seen, record | {"operating_points": []}) is not None  # known occlusion


def test_bytes_and_paths_of_any_kind_end_in_a_named_error(tmp_path):
    with pytest.raises(ScanError, match="not base64"):
        write_sent("ä", tmp_path)
    for path in ("x" * 5000, "a\0b"):
        with pytest.raises(ScanError, match="a path at which no scan may be read"):
            allowed_path(path)


def test_a_row_that_makes_the_scorer_fail_loses_no_other_and_quotes_nothing(tmp_path, caplog):
    class Scorer:
        def score(self, scan):
            if scan.name.startswith("Smith"):
                raise RuntimeError(f"cannot read {scan}")
            (tmp_path / "made").mkdir(exist_ok=True)
            return SimpleNamespace(folder=tmp_path / "made", record={"status": "scored"})

    for name in ("Smith.nii", "other.nii"):
        (tmp_path / name).write_text("")
    served = ServedScorer(Scorer(), None)
    bad, good = served.predict([str(tmp_path / "Smith.nii"), str(tmp_path / "other.nii")])
    assert (bad["status"], good["status"]) == ("failed", "scored")
    assert "RuntimeError" in bad["failed"]
    assert "RuntimeError" in caplog.text
    assert "Smith" not in caplog.text + str(bad)


def test_a_record_has_all_that_the_schema_asks_for_and_no_name(record):
    check_record(record)
    text = json.dumps(record)
    assert "Smith" not in text and "archive" not in text
    assert record["research_only"] == RESEARCH_ONLY
    assert record["point_mm"] == [-30.12, 4.0, 12.5]
    (point,) = record["operating_points"]
    assert (point["call"], point["threshold"]) == ("occlusion", 0.5)
    (worth,) = point["worth"]
    assert worth["sensitivity"] == {"value": 0.8, "low": 0.6, "high": 0.9, "n": 25}
    assert worth["specificity"] == {"value": None, "low": None, "high": None, "n": 23}


@pytest.mark.parametrize(
    "change",
    [
        {"probability": 1.5},
        {"side": "L"},
        {"version": 2},
        {"files": ["/etc/passwd"]},
        {"files": ["../x"]},
        {"patient": "Smith"},
        {"case_id": "Smith"},
    ],
)
def test_the_schema_refuses_what_does_not_belong(record, change):
    with pytest.raises(jsonschema.ValidationError):
        check_record(record | change)


def test_a_scan_without_a_call_has_a_reason_and_no_number_that_looks_like_one(computed, models):
    row = {"case_id": CASE, "no_call": "noise", "probability": "", "unreliable_probability": 0.8}
    found = make_record(computed._replace(outcome=row), models, {})
    assert (found["status"], found["probability"]) == ("no_call", None)
    assert (found["side"], found["point_mm"]) == (None, None)
    assert found["operating_points"][0]["call"] is None
    failed = make_record(computed._replace(outcome={"failed": "found x"}), models, {})
    assert (failed["status"], failed["failed"]) == ("failed", "found x")


def test_the_page_says_what_forbids_trust_before_any_number(record):
    page = render_scan(record, [])
    body = page[page.index("<main>") :]
    assert body.index("trained on simulated scans") < body.index("thick slices")
    assert body.index("thick slices") < body.index("Probability of an occluded")
    assert "<b>left C7</b>" not in page and "&lt;b&gt;left C7" in page
    assert RESEARCH_ONLY in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "0.60 to 0.90 (95 %), n = 25" in page
    odd = copy.deepcopy(record) | {"status": "no_call", "no_call": "too noisy", "probability": None}
    body = render_scan(odd, [])
    assert body.index("No call is made") < body.index("trained on simulated")
    assert "Probability of an occluded" not in body


GRIDS = {
    "as scanned (LPS)": np.array([[-2.0, 0, 0, 30], [0, -2, 0, 40], [0, 0, 3, -20], [0, 0, 0, 1]]),
    "coronal": np.array([[0, 2.0, 0, -25], [0, 0, -3, 30], [2, 0, 0, -20], [0, 0, 0, 1]]),
    "tilted": np.array([[2.0, 0, 0, -30], [0, 2, 0.8, -30], [0, 0, 2.5, -20], [0, 0, 0, 1]]),
}


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_a_map_comes_back_onto_the_grid_of_the_scan_on_the_patients_own_side(affine):
    straight = np.array([[1.0, 0, 0, -40], [0, 1, 0, -40], [0, 0, 1, -30], [0, 0, 0, 1]])
    labels = np.zeros((80, 80, 70), np.uint8)
    labels[12:22, 45:55, 30:40] = 3  # at x = -28 to -18: the patient's left
    moved = on_grid(nib.Nifti1Image(labels, straight), Grid((32, 32, 24), affine), 0)
    assert moved.shape == (32, 32, 24)
    assert np.allclose(moved.affine, affine)
    found = apply_affine(affine, np.argwhere(np.asarray(moved.dataobj) == 3))
    assert moved.get_data_dtype() == np.uint8
    assert np.abs(found.mean(axis=0) - [-23.5, 9.5, 4.5]).max() <= 1.5  # half of the coarsest voxel
    assert len(found) * abs(np.linalg.det(affine[:3, :3])) == pytest.approx(1000, rel=0.35)


def test_a_folder_is_there_whole_and_a_second_result_takes_its_place(computed, record, tmp_path):
    (tmp_path / CASE).mkdir()
    (tmp_path / CASE / "old").write_text("")
    written, folder = write_result(computed, record, tmp_path, 0.0)
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "result.json"]
    assert json.loads((folder / "result.json").read_text()) == written
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(jsonschema.ValidationError):
        write_result(computed, copy.deepcopy(record) | {"side": "L"}, tmp_path, 0.0)
    assert json.loads((folder / "result.json").read_text()) == written
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("method", "networks"), [("network", True), ("sides", False)])
def test_the_map_is_one_of_the_score_that_counts(method, networks):
    given = {"detection": {"method": method}, "explanation": {"layer": "layer2"}}
    given |= {"vessel_network": {"device": "cpu"}, "atlas_folder": None}
    found = _on_device(given, "cuda:1")
    assert found["explanation"] == {"layer": "layer2", "enabled": True, "networks": networks}
    assert found["vessel_network"] == {"device": "cuda:1"}


def test_what_is_sent_is_taken_as_bytes_alone(tmp_path, monkeypatch):
    path = write_sent(base64.b64encode(b"\x1f\x8bscan").decode(), tmp_path)
    assert (path.name, path.read_bytes()) == ("scan.nii.gz", b"\x1f\x8bscan")
    assert write_sent(base64.b64encode(b"scan").decode(), tmp_path).name == "scan.nii"
    with pytest.raises(ScanError, match="not base64"):
        write_sent("?", tmp_path)
    monkeypatch.setattr("lvo_kedro.scoring.served.LARGEST", 8)
    with pytest.raises(ScanError, match="more than 8 bytes"):
        write_sent("A" * 16, tmp_path)


def test_a_served_scorer_reads_below_the_folder_that_it_is_given(tmp_path, monkeypatch):
    (tmp_path / "scans").mkdir()
    for name in ("scans/a.nii", "b.nii"):
        (tmp_path / name).write_text("")
    assert allowed_path(str(tmp_path / "b.nii"))
    monkeypatch.setenv(ROOT, str(tmp_path / "scans"))
    assert allowed_path(str(tmp_path / "scans" / "a.nii"))
    for outside in ("b.nii", "scans/../b.nii", "scans/none.nii"):
        with pytest.raises(ScanError) as caught:
            allowed_path(str(tmp_path / outside))
        assert str(tmp_path) not in str(caught.value)

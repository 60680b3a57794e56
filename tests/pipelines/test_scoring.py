"""Scans scored by trained models: from the project, from a bundle, and behind MLflow."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import requests
from click.testing import CliRunner
from nibabel.affines import apply_affine
from nibabel.orientations import io_orientation, ornt_transform

from lvo_kedro.cli import cli
from lvo_kedro.nnunet import loading
from lvo_kedro.pipelines.detection_training import scoring_nodes
from lvo_kedro.scoring import Scorer, check_record, open_bundle
from lvo_kedro.serving import log_signature
from tests.mlflow_server import ModelServer

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bundle(tiny, tmp_path_factory):
    """The models of the project as a bundle."""
    folder = tmp_path_factory.mktemp("bundle") / "models"
    result = CliRunner().invoke(cli, ["bundle", "--env", "tiny", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def scans(tiny, tmp_path_factory):
    """A scan of the cohort, and the same patient again in another order of axes."""
    folder = tmp_path_factory.mktemp("scans")
    source = nib.load(tiny.load("cohort")["ncct"].iloc[1])
    nib.save(source, folder / "plain.nii.gz")
    turned = source.as_reoriented(
        ornt_transform(io_orientation(source.affine), np.array([[2, 1], [0, -1], [1, -1]]))
    )
    nib.save(turned, folder / "turned.nii.gz")
    return [folder / "plain.nii.gz", folder / "turned.nii.gz"]


@pytest.fixture(scope="module")
def results(bundle, scans, tmp_path_factory):
    """Both scans, scored by one scorer; and how often models were loaded for each."""
    scorer = Scorer(open_bundle(bundle), tmp_path_factory.mktemp("out"))
    found, loaded = [], []
    for scan in scans:
        before = _misses()
        found.append(scorer.score(scan))
        loaded.append(_misses() - before)
    return found, loaded


def _misses() -> int:
    return loading._load.cache_info().misses + scoring_nodes._detector.cache_info().misses


def test_a_bundle_gives_what_the_projects_own_models_give(tiny, scans, results, tmp_path):
    command = ["score", "--env", "tiny", "--out", str(tmp_path / "out"), str(scans[0])]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    (own,) = (tmp_path / "out").glob("*/result.json")
    own, bundled = json.loads(own.read_text()), results[0][0].record
    for name in ("case_id", "status", "probability", "unreliable_probability", "side", "segment",
                 "point_mm", "findings", "operating_points"):  # fmt: skip
        assert own[name] == bundled[name], name
    assert own["models"]["sha256"] == bundled["models"]["sha256"]
    assert (own["models"]["source"], bundled["models"]["source"]) == ("environment", "bundle")
    tiny.run("inference", new_scans=[str(scans[0])])
    outcome = tiny.load_new("outcome").iloc[0]
    number = "unreliable_probability" if own["status"] == "no_call" else "probability"
    assert own[number] == pytest.approx(outcome[number])


def test_models_are_loaded_for_the_first_scan_alone(results):
    found, loaded = results
    assert loaded[0] > 0
    assert loaded[1] == 0
    assert all(result.record["seconds"]["total"] > 0 for result in found)
    steps = found[0].record["seconds"]["steps"]
    assert {"preprocess_scans", "predict_vessels", "locate_occlusions", "maps"} <= set(steps)
    assert sum(steps.values()) == pytest.approx(found[0].record["seconds"]["total"], abs=0.5)


def test_every_result_is_whole_and_names_nothing(tiny, results, scans):
    for result in results[0]:
        record = json.loads((result.folder / "result.json").read_text())
        check_record(record)
        for file in record["files"]:
            assert (result.folder / file).is_file()
        # whose score counts is explained, and no other network
        assert "maps/score_contributions.nii.gz" in record["files"]
        assert "maps/score_grad_cam.nii.gz" not in record["files"]
        text = (result.folder / "result.json").read_text() + (
            result.folder / "report.html"
        ).read_text(encoding="utf-8")
        assert not any(name in text for name in ("plain.nii", "turned.nii", str(tiny.folder)))
        worth = record["operating_points"][0]["worth"]
        assert {entry["cohort"] for entry in worth} == {"development", "external"}
        assert record["models"]["cohort"]["simulated"] is True
    assert not [path for path in results[0][0].folder.parent.iterdir() if path.name[0] == "."]


def test_maps_lie_on_the_scans_own_grid_and_show_the_same_place_in_the_patient(results, scans):
    centres = []
    for result, scan in zip(results[0], scans, strict=True):
        given = nib.load(scan)
        for path in (result.folder / "maps").iterdir():
            image = nib.load(path)
            assert image.shape == given.shape
            assert np.allclose(image.affine, given.affine, atol=1e-4)
        vessels = nib.load(result.folder / "maps" / "vessels.nii.gz")
        assert vessels.get_data_dtype() == np.uint8
        places = np.argwhere(np.asarray(vessels.dataobj) > 0)
        assert len(places)
        centres.append(apply_affine(vessels.affine, places).mean(axis=0))
    assert np.allclose(*centres, atol=2.0)


@pytest.fixture
def server(bundle, tmp_path):
    """``mlflow models serve`` of the bundle, in a folder that is not a project."""
    model = Path(shutil.copytree(bundle, tmp_path / "model" / "bundle")).parent
    copied = SimpleNamespace(
        log_artifact=lambda _, path, place: shutil.copy(path, tmp_path / place)
    )
    log_signature(copied, "0" * 32, bundle)
    source = str(Path(__file__).resolve().parents[2] / "src")
    server = ModelServer(tmp_path / "serving", model, PYTHONPATH=source, LVO_SCANS=str(tmp_path))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_mlflow_serves_the_bundle_over_http_without_the_project(server, scans, results, tmp_path):
    sent = base64.b64encode(scans[0].read_bytes()).decode()
    rows = {"columns": ["nifti"], "data": [[sent], ["?"]]}
    answer = requests.post(
        f"{server.address}/invocations", json={"dataframe_split": rows}, timeout=120
    )
    assert answer.status_code == 200, answer.text
    scored, odd = answer.json()["predictions"]
    check_record(scored)
    own = results[0][0].record
    for name in ("status", "probability", "unreliable_probability", "side", "segment", "point_mm"):
        assert scored[name] == own[name], name
    assert scored["models"]["sha256"] == own["models"]["sha256"]
    assert odd["status"] == "failed"
    assert "not base64" in odd["failed"]
    # a path outside of the folder that it may read is refused, and so is what is no table of scans
    path = {"dataframe_records": [{"path": str(scans[0])}]}
    answer = requests.post(f"{server.address}/invocations", json=path, timeout=60)
    assert "no scan may be read" in answer.json()["predictions"][0]["failed"]
    answer = requests.post(f"{server.address}/invocations", json={"scan": sent}, timeout=60)
    assert answer.status_code == 400
    assert [path.name for path in (tmp_path / "serving").iterdir()] == ["server.log"]


@pytest.mark.shared
def test_a_dicom_series_gets_dicom_objects_that_refer_to_it(bundle, shared, tmp_path):
    import pydicom

    folder = shared / "data" / "ncct_ge_hispeed_dicom"
    result = Scorer(open_bundle(bundle), tmp_path).score(folder)
    assert result.record["scan"]["kind"] == "dicom"
    made = [pydicom.dcmread(path) for path in (result.folder / "dicom").glob("*.dcm")]
    assert {"SEG", "SR"} <= {item.Modality for item in made}
    (study,) = {item.StudyInstanceUID for item in made}
    slices = (path for path in sorted(folder.rglob("*")) if path.suffix == ".dcm")
    assert study == pydicom.dcmread(next(slices), stop_before_pixels=True).StudyInstanceUID
    text = (result.folder / "result.json").read_text()
    assert study not in text

"""A bundle is whole, or an error says which part is not; it holds no code and leads nowhere."""

from __future__ import annotations

import json
import shutil

import pytest

from lvo_kedro.errors import ModelError
from lvo_kedro.scoring import open_bundle, write_bundle

WEIGHTS = "models/vessels/fold_0/plans/weights.safetensors"


@pytest.fixture
def bundle(models, tmp_path):
    write_bundle(models, tmp_path / "bundle")
    return tmp_path / "bundle"


def change(bundle, edit):
    manifest = json.loads((bundle / "bundle.json").read_text())
    edit(manifest)
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def test_it_stands_alone_and_is_the_same_wherever_it_lies(models, bundle, tmp_path):
    shutil.rmtree(tmp_path / "data")
    moved = shutil.copytree(bundle, tmp_path / "elsewhere")
    found = open_bundle(moved)
    assert found.sha256 == models.sha256
    assert found.parts == models.parts
    assert found.figures == models.figures
    assert found.source == "bundle"
    assert found.trained["vessel_models"]["path"] == str(moved / "models" / "vessels")
    assert found.parameters["atlas_folder"] == str(moved / "atlas")
    assert str(tmp_path) not in (bundle / "bundle.json").read_text()


def test_other_parameters_are_other_models(models, bundle):
    change(bundle, lambda m: m["parameters"].update(vessel_network={"device": "cuda"}))
    assert open_bundle(bundle).sha256 != models.sha256


def test_a_part_that_was_changed_is_named_with_what_was_found_and_expected(models, bundle):
    (bundle / WEIGHTS).write_bytes(b"WEIGHTS of one fold")  # of the same size
    with pytest.raises(ModelError) as caught:
        open_bundle(bundle)
    assert WEIGHTS in caught.value.found
    assert models.parts[WEIGHTS] in caught.value.expected
    assert caught.value.remedy
    (bundle / WEIGHTS).write_bytes(b"weights")
    with pytest.raises(ModelError, match="of 7 bytes"):
        open_bundle(bundle)
    (bundle / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=f"no part '{WEIGHTS}'"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["parts"].update({"../data/calibration.json": {"bytes": 1, "sha256": ""}}),
        lambda m: m["parts"].update({"/etc/hostname": {"bytes": 1, "sha256": ""}}),
        lambda m: m["trained"]["calibration"].update(filepath="../data/calibration.json"),
        lambda m: m["scan"]["new.scans"].update(path="../scans"),
        lambda m: m["scan"]["new.scans"].update(path="/scans"),
        lambda m: m["scan"]["new.scans"].update(path=".."),
        lambda m: m["scan"]["new.scans"].update(path="/"),
        lambda m: m["scan"]["new.scans"].update(scheduler="tcp://127.0.0.1:1"),
        lambda m: m["trained"]["calibration"].update(type="pickle.PickleDataset"),
        lambda m: m["scan"]["new.scans"]["files"].update({"a.json": {"type": "os.system"}}),
        lambda m: m["scan"]["new.scans"]["files"].update({"a.json": "pickle.PickleDataset"}),
        lambda m: m["parts"].pop(WEIGHTS),
        lambda m: m.pop("scan"),
    ],
)
def test_one_that_leads_elsewhere_or_names_other_code_is_refused(bundle, edit):
    change(bundle, edit)
    with pytest.raises(ModelError, match=r"in the bundle|no part"):
        open_bundle(bundle)


def test_a_link_out_of_it_is_refused(bundle, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes((bundle / WEIGHTS).read_bytes())
    (bundle / WEIGHTS).unlink()
    (bundle / WEIGHTS).symlink_to(secret)
    with pytest.raises(ModelError, match="leads out of the bundle"):
        open_bundle(bundle)


def test_what_is_no_bundle_or_one_of_another_version_is_said(bundle, tmp_path):
    with pytest.raises(ModelError, match="no readable"):
        open_bundle(tmp_path)
    change(bundle, lambda m: m.update(version=2))
    with pytest.raises(ModelError, match="version 2; expected version 1"):
        open_bundle(bundle)


def test_nothing_is_written_over(models, bundle):
    with pytest.raises(ModelError, match="not empty"):
        write_bundle(models, bundle)
    assert open_bundle(bundle).parts == models.parts

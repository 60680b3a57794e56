"""A model folder as plain nnU-Net leaves it, without this project's manifest."""

import json
import shutil

import numpy as np
import pytest

from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet import NnUNetOptions, load_foreign, load_predictor
from tests.nnunet.conftest import TINY, phantom

CPU = NnUNetOptions(device="cpu", mirror_prediction="none")


@pytest.fixture
def folder(tmp_path, models):
    """A trained fold without manifest, as plain nnU-Net leaves it."""
    for name in ("plans.json", "dataset.json", "fold_0"):
        copy = shutil.copytree if name == "fold_0" else shutil.copy
        copy(models[0] / name, tmp_path / name)
    return tmp_path


@pytest.mark.long
def test_it_labels_an_image_as_the_models_own_loader_does(folder, models):
    image, _ = phantom(0)
    found = np.asarray(load_foreign(folder, CPU).predict(image).dataobj)
    assert found.shape == image.shape
    own = load_predictor(models[:1], TINY).predict(image)
    assert found.any()
    assert np.mean(found == np.asarray(own.dataobj)) > 0.99  # that one may compute in bfloat16


def test_what_is_no_model_of_nnunet_is_said(folder, tmp_path):
    (folder / "plans.json").unlink()
    with pytest.raises(ModelError, match=r"without plans\.json"):
        load_foreign(folder, CPU)


def test_a_folder_without_a_trained_fold_is_said(folder):
    shutil.rmtree(folder / "fold_0")
    with pytest.raises(ModelError, match="without a trained fold"):
        load_foreign(folder, CPU)


def test_classes_from_elsewhere_are_refused(folder):
    plans = json.loads((folder / "plans.json").read_text())
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    architecture["network_class_name"] = "os.system"
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError):
        load_foreign(folder, CPU)

"""Images on disk: exactly what was given, or whole steps of it where the catalog asks for that."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from kedro.io import DatasetError

from lvo_kedro.datasets import NiftiDataset
from lvo_kedro.imaging.geometry import make_image

AFFINE = np.array([[-0.5, 0, 0, 10], [0, 0.5, 0.125, -7], [0, -0.125, 2.0, 3], [0, 0, 0, 1.0]])
MAP = np.random.default_rng(0).normal(scale=20, size=(6, 5, 4)).astype(np.float32)


def written(path, values, **options) -> NiftiDataset:
    dataset = NiftiDataset(filepath=str(path), **options)
    dataset.save(make_image(values, AFFINE))
    return dataset


def test_an_image_comes_back_as_it_was(tmp_path):
    image = written(tmp_path / "a.nii.gz", MAP).load()
    np.testing.assert_array_equal(image.dataobj, MAP)
    np.testing.assert_array_equal(image.affine, AFFINE)


@pytest.mark.parametrize(("stored", "step"), [("int16", 0.01), ("int32", 1e-4)])
def test_a_map_in_steps_is_half_a_step_away_at_most_and_keeps_its_place(tmp_path, stored, step):
    image = written(tmp_path / "a.nii.gz", MAP, stored=stored, step=step).load()
    assert image.get_data_dtype() == np.float32
    assert np.abs(np.asarray(image.dataobj) - MAP).max() <= 0.501 * step
    np.testing.assert_array_equal(image.affine, AFFINE)
    # what is read from there is written as the same file: nothing drifts
    again = written(tmp_path / "b.nii.gz", np.asarray(image.dataobj), stored=stored, step=step)
    np.testing.assert_array_equal(again.load().dataobj, image.dataobj)


def test_other_readers_see_the_maps_own_unit(tmp_path):
    written(tmp_path / "a.nii.gz", MAP, stored="int16", step=0.01)
    by_nibabel = nib.load(tmp_path / "a.nii.gz").get_fdata()
    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii.gz"))).T
    assert np.abs(by_nibabel - MAP).max() <= 0.00501
    assert np.abs(by_itk - MAP).max() <= 0.00501


def test_probabilities_in_bytes_keep_0_1_and_which_half_they_are_in(tmp_path):
    values = np.linspace(0, 1, 120, dtype=np.float32).reshape(6, 5, 4)
    dataset = written(tmp_path / "a.nii.gz", values, stored="uint8", step=1 / 255)
    found = np.asarray(dataset.load().dataobj)
    assert (found.min(), found.max()) == (0, pytest.approx(1, abs=1e-6))
    np.testing.assert_array_equal(found > 0.5, values > 0.5)


@pytest.mark.parametrize("value", [400.0, np.nan])
def test_what_the_integers_cannot_hold_is_an_error(tmp_path, value):
    values = MAP.copy()
    values[0, 0, 0] = value
    with pytest.raises(DatasetError, match="raise 'step' in the catalog"):
        written(tmp_path / "a.nii.gz", values, stored="int16", step=0.01)
    assert not (tmp_path / "a.nii.gz").exists()

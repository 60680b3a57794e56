from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff

from lvo_kedro.errors import ModelError
from lvo_kedro.imaging.geometry import Grid, isotropic_grid, make_image
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.nnunet import NnUNetOptions, load_predictor, prepare_dataset, train_fold
from lvo_kedro.nnunet.export import remove_islands
from lvo_kedro.nnunet.frame import Frame
from lvo_kedro.nnunet.plans import adapt_plans
from lvo_kedro.options import StartOptions
from lvo_kedro.weights import find_start, read_weights

from .conftest import SPLITS, TINY, phantom

if TYPE_CHECKING:
    from pathlib import Path

    from lvo_kedro.nnunet import Predictor


def volume_and_centre(labels: nib.Nifti1Image, value: int) -> tuple[float, np.ndarray]:
    index = np.argwhere(np.asarray(labels.dataobj) == value)
    voxel = abs(np.linalg.det(labels.affine[:3, :3]))
    return len(index) * voxel, apply_affine(labels.affine, index).mean(axis=0)


def turned(image: nib.Nifti1Image, axes: str) -> nib.Nifti1Image:
    """The same scan with its array axes in another order and direction."""
    to = nib.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(axes)))
    data = apply_orientation(np.asarray(image.dataobj), to)
    return make_image(data, image.affine @ inv_ornt_aff(to, image.shape))


def rotated(image: nib.Nifti1Image) -> nib.Nifti1Image:
    angle = np.deg2rad(12)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return make_image(np.asarray(image.dataobj), turn @ image.affine)


GEOMETRIES = {
    "RAS": lambda image: image,
    "LAS": partial(turned, axes="LAS"),
    "LPS": partial(turned, axes="LPS"),
    "PIL": partial(turned, axes="PIL"),
    "oblique": rotated,
    "oblique SLP": lambda image: turned(rotated(image), "SLP"),
    "cropped": lambda image: image.slicer[2:, 3:-1, 1:],
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_labels_lie_where_the_vessels_lie(predictor: Predictor, geometry: str) -> None:
    image, truth = phantom(7)
    place = GEOMETRIES[geometry]
    reference = predictor.predict(image)
    scan = place(image)
    found = predictor.predict(scan)
    assert found.shape == scan.shape
    assert np.array_equal(found.affine, scan.affine)
    assert found.get_data_dtype() == np.uint8
    for value in (1, 2):
        volume, centre = volume_and_centre(found, value)
        true_volume, true_centre = volume_and_centre(place(truth), value)
        assert np.linalg.norm(centre - true_centre) < 5
        assert volume == pytest.approx(true_volume, rel=0.8)
    if geometry != "cropped":
        assert np.array_equal(
            np.asarray(found.dataobj), np.asarray(place(reference).dataobj)
        )  # voxel for voxel


TARGETS = {
    "anisotropic": Grid((50, 60, 14), np.diag([1.1, 1.05, 3.4, 1.0])),
    "oblique": Grid((40, 44, 30), np.diag([1.5, 1.5, 1.7, 1.0])),
    "LPS": Grid((45, 50, 35), np.diag([-1.2, -1.3, 1.4, 1.0])),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_way_back_from_cubic_voxels_keeps_volume_and_place(name: str) -> None:
    shape, affine = TARGETS[name]
    affine = affine.copy()
    if name == "oblique":
        affine = rotated(make_image(np.zeros(shape), affine)).affine
    affine[:3, 3] -= apply_affine(affine, (np.array(shape) - 1) / 2)
    rng = np.random.default_rng(0)
    scan = make_image(rng.normal(0, 1, shape).astype(np.float32), affine)
    centre = apply_affine(affine, np.array(shape) * [0.6, 0.4, 0.5])
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    ball = np.linalg.norm(apply_affine(affine, index) - centre, axis=-1) < 8
    mask = make_image(ball.astype(np.uint8), affine)
    frame = Frame(scan, mask, TINY.model_copy(update={"spacing_mm": 1.5, "crop_margin_mm": 6.0}))
    there = np.asarray(frame.show_labels(mask).dataobj).astype(float)
    back = frame.labels_from(np.stack([1 - there, there]))
    assert back.shape == shape
    assert np.allclose(back.affine, affine)
    volume, found = volume_and_centre(back, 1)
    assert np.linalg.norm(found - volume_and_centre(mask, 1)[1]) < 0.7
    assert volume == pytest.approx(volume_and_centre(mask, 1)[0], rel=0.12)
    chances = frame.restore_probabilities(np.stack([1 - there, there]))
    assert chances.shape == (*shape, 2)
    assert np.allclose(np.asarray(chances.dataobj).sum(axis=-1), 1, atol=1e-5)


def test_the_frame_is_cut_to_the_mask_and_survives_an_empty_one() -> None:
    image, labels = phantom(1)
    options = TINY.model_copy(update={"crop_margin_mm": 4.0})
    assert Frame(image, labels, options).image.shape < image.shape
    empty = make_image(np.zeros(image.shape, np.uint8), image.affine)
    assert Frame(image, empty, options).image.shape == image.shape


def test_probabilities_agree_with_labels(predictor: Predictor) -> None:
    image, _ = phantom(3)
    chances = np.asarray(predictor.predict_probabilities(turned(image, "LPS")).dataobj)
    labels = np.asarray(predictor.predict(turned(image, "LPS")).dataobj)
    assert np.mean(chances.argmax(axis=-1) == labels) > 0.999  # but for ties
    assert np.allclose(chances.sum(axis=-1), 1, atol=1e-3)


def test_streamed_cases_are_the_single_ones(predictor: Predictor) -> None:
    scans = {f"case{n}": phantom(n)[:1] for n in range(3)}
    streamed = dict(predictor.predict_cases({n: partial(tuple, s) for n, s in scans.items()}))
    assert list(streamed) == list(scans)
    for name, (image,) in scans.items():
        alone = predictor.predict(image)
        assert np.array_equal(np.asarray(alone.dataobj), np.asarray(streamed[name].dataobj))


def test_an_ensemble_knows_all_it_was_trained_on(models: list[Path]) -> None:
    one, both = load_predictor(models[:1], TINY), load_predictor(models, TINY)
    assert one.training_cases == {"a", "b"}
    assert both.training_cases == {"a", "b", "c"}
    assert load_predictor(models, TINY) is both  # resident
    image, _ = phantom(5)
    assert both.predict(image).shape == image.shape


def test_no_case_is_predicted_by_a_fold_that_saw_it(models: list[Path]) -> None:
    for folder, split in zip(models, SPLITS, strict=True):
        assert not load_predictor([folder], TINY).training_cases & set(split["val"])


@pytest.mark.parametrize("name", ["spacing_mm", "spacing"])
def test_a_model_keeps_its_frame_also_under_a_former_name(
    models: list[Path], tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(models[0], tmp_path / "model")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["options"]["spacing_mm"]
    manifest["options"][name] = 3.0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    start = find_start(StartOptions(weights=str(folder)))
    assert start is not None
    assert read_weights(start).spacing_mm == 3.0
    image, _ = phantom(6)
    coarse, fine = (
        np.asarray(load_predictor([model], options).predict_probabilities(image).dataobj)
        for model, options in ((folder, TINY), (models[0], TINY))
    )
    assert not np.allclose(coarse, fine, atol=0.1)


def test_models_of_different_labels_make_no_ensemble(
    models: list[Path], cases, tmp_path: Path
) -> None:
    prepare_dataset(tmp_path / "data", cases, {"one": 1, "two": 2}, SPLITS, TINY)
    other = TINY.model_copy(update={"epochs": 1, "iterations_per_epoch": 1})
    train_fold(tmp_path / "data", 0, tmp_path / "other", other)
    with pytest.raises(ModelError, match="different"):
        load_predictor([models[0], tmp_path / "other"])


def test_slices_in_two_dimensions_and_two_channels(tmp_path: Path) -> None:
    def flat(seed: int):
        image, labels = phantom(seed)
        mip = np.asarray(image.dataobj).max(axis=2, keepdims=True)
        data = np.stack([mip, np.zeros_like(mip)], axis=-1)
        truth = np.asarray(labels.dataobj).max(axis=2, keepdims=True)
        return make_image(data, image.affine), make_image(truth, image.affine)

    def empty(seed: int):
        image, labels = flat(seed)
        nothing = np.zeros(image.shape, np.float32), np.zeros(labels.shape, np.uint8)
        return tuple(make_image(values, image.affine) for values in nothing)

    options = TINY.model_copy(
        update={
            "configuration": "2d",
            "channel_names": ("CT", "noNorm"),
            "patch_size": (32, 32),
            "epochs": 1,
        }
    )
    cases = {"a": partial(flat, 0), "b": partial(flat, 1), "c": partial(empty, 2)}
    prepare_dataset(tmp_path / "data", cases, {"one": 1, "two": 2}, SPLITS[:1], options)
    train_fold(tmp_path / "data", 0, tmp_path / "model", options)
    predictor = load_predictor([tmp_path / "model"], options)
    image, labels = flat(4)
    assert predictor.predict(image).shape == labels.shape
    assert not np.asarray(predictor.predict(empty(4)[0]).dataobj).shape[2:] != (1,)
    with pytest.raises(ModelError, match="channels"):
        predictor.predict(image.slicer[..., 0])


def test_islands_are_removed_by_volume() -> None:
    data = np.zeros((20, 20, 20), dtype=np.uint8)
    data[2:12, 5:9, 5:9] = 1  # 160 voxels with its neighbour
    data[12:14, 5:9, 5:9] = 2
    data[18, 18, 18] = 2
    labels = make_image(data, np.diag([2.0, 2.0, 2.5, 1.0]))  # voxels of 0.01 ml
    kept = np.asarray(remove_islands(labels, 0.1).dataobj)
    assert kept[18, 18, 18] == 0
    assert np.array_equal(kept[:15], data[:15])
    assert remove_islands(labels, 0) is labels
    assert not np.asarray(remove_islands(labels, 5.0).dataobj).any()


def test_plans_take_the_options(dataset: Path) -> None:
    plans = json.loads(
        (dataset / "preprocessed" / "Dataset001_lvo" / "nnUNetPlans.json").read_text()
    )
    chosen = plans["configurations"]["3d_fullres"]
    assert chosen["patch_size"] == [16, 16, 16]
    assert chosen["architecture"]["arch_kwargs"]["features_per_stage"] == [8, 16]
    window = plans["foreground_intensity_properties_per_channel"]["0"]
    assert (window["percentile_00_5"], window["percentile_99_5"]) == (0, 100)
    with pytest.raises(ModelError, match="multiple of 8"):
        adapt_plans(
            plans,
            NnUNetOptions(patch_size=(16, 20, 16), features_per_stage=(8, 16, 32, 64)),
        )


def test_plans_of_images_so_small_that_nothing_is_decoded_take_the_options(dataset: Path) -> None:
    plans = json.loads(
        (dataset / "preprocessed" / "Dataset001_lvo" / "nnUNetPlans.json").read_text()
    )
    network = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    network |= {"n_stages": 1, "n_conv_per_stage": [2], "n_conv_per_stage_decoder": []}
    plain = NnUNetOptions(patch_size=(16, 16, 16), features_per_stage=(8, 16))
    adapted = adapt_plans(plans, plain)["configurations"]["3d_fullres"]["architecture"]
    assert adapted["arch_kwargs"]["n_conv_per_stage"] == [2, 2]
    assert adapted["arch_kwargs"]["n_conv_per_stage_decoder"] == [2]


def test_isotropic_frame_uses_world_coordinates() -> None:
    image, _ = phantom(2)
    frame = Frame(turned(image, "LPS"), None, TINY.model_copy(update={"spacing_mm": 3.0}))
    assert np.allclose(np.diag(frame.image.affine)[:3], 3)
    grid = isotropic_grid(image, 3.0)
    assert frame.image.shape == grid.shape
    near = np.asarray(resample(image, grid).dataobj)
    assert np.corrcoef(near.ravel(), np.asarray(frame.image.dataobj).ravel())[0, 1] > 0.9

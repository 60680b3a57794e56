"""The embedded atlas, a user's folder, and what is refused."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from lvo_kedro.errors import AtlasError
from lvo_kedro.imaging.geometry import grid_of, make_image, world_axis
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.priors import compute_priors, load_atlas, model_territory
from lvo_kedro.priors.registration import prepare_atlas
from tests.priors.phantoms import COARSE, make_phantom, side_error, territory_dice


def arrays(atlas):
    return (
        np.asarray(atlas.template_hu.dataobj),
        np.asarray(atlas.territory_probability.dataobj),
        np.asarray(atlas.hemispheres.dataobj),
    )


def check_sides(atlas):
    """Label 1 lies on the patient's left: negative world x."""
    x = np.broadcast_to(world_axis(grid_of(atlas.hemispheres), 0), atlas.hemispheres.shape)
    labels = np.asarray(atlas.hemispheres.dataobj)
    assert x[labels == 1].mean() < -20 and x[labels == 2].mean() > 20
    assert abs(atlas.midline_x) <= 1


def test_embedded_atlas():
    atlas = load_atlas()
    tissue, territory, labels = arrays(atlas)
    check_sides(atlas)
    assert atlas is load_atlas()  # kept, not computed again
    assert 0 <= territory.min() and 0.8 < territory.max() <= 1
    assert tissue.min() == 0 and tissue.max() <= 38.01
    assert not territory[labels == 0].any()
    np.testing.assert_allclose(territory, territory[::-1], atol=1e-5)


def test_territory_model_knows_its_anatomy():
    insula, cingulate, occipital_pole, cerebellum = (
        float(model_territory(*point))
        for point in ((-38, -5, 8), (-5, 10, 35), (-15, -98, 0), (-20, -60, -40))
    )
    assert insula > 0.7
    assert max(cingulate, occipital_pole, cerebellum) < 0.1
    assert model_territory(-40, 0, 10) == model_territory(40, 0, 10)


def write_folder(folder, change=lambda name, data, affine: (data, affine)):
    """A user's folder made of the embedded atlas, each file changed by ``change``."""
    atlas = load_atlas()
    for name in ("template", "territory_probability", "hemispheres"):
        image = getattr(atlas, name)
        changed = change(name, np.asarray(image.dataobj).copy(), image.affine.copy())
        if changed is not None:
            nib.save(make_image(*changed), folder / f"{name}.nii.gz")
    return folder


def test_folder_with_swapped_labels_mixed_orders_and_grids(tmp_path):
    def change(name, data, affine):
        if name == "hemispheres":  # the patient's right is 1, as in the published file
            data = np.where(data > 0, 3 - data, 0).astype(np.uint8)
        if name != "territory_probability":  # LAS beside RAS
            data, affine = (
                data[::-1],
                affine
                @ np.array(
                    [[-1, 0, 0, data.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
                ),
            )
        else:  # and another grid
            data, affine = data[4:-4, 2:], affine + np.eye(4)[:, [3]] * 0
            affine[:3, 3] += affine[:3, :3] @ np.array([4, 2, 0])
        return np.ascontiguousarray(data), affine

    atlas, embedded = load_atlas(write_folder(tmp_path, change)), load_atlas()
    check_sides(atlas)
    np.testing.assert_array_equal(arrays(atlas)[2], arrays(embedded)[2])
    np.testing.assert_allclose(arrays(atlas)[1], arrays(embedded)[1], atol=1e-4)
    both = arrays(atlas)[0] > 0
    assert np.corrcoef(arrays(atlas)[0][both], arrays(embedded)[0][both])[0, 1] > 0.8


def broken(target, action):
    """Change one file; returning None leaves it out."""

    def change(name, data, affine):
        return action(data, affine) if name == target else (data, affine)

    return change


def _moved(data, affine):
    affine[0, 3] += 300
    return data, affine


def _with_nan(data, affine):
    data[50, 50, 50] = np.nan
    return data, affine


BROKEN = {
    "missing": ("hemispheres", lambda d, a: None, "no hemispheres"),
    "per cent": ("territory_probability", lambda d, a: (d * 100, a), "values from"),
    "negative": ("territory_probability", lambda d, a: (d - 0.2, a), "values from"),
    "one-sided": (
        "territory_probability",
        lambda d, a: (d * (np.arange(len(d)) < len(d) // 2)[:, None, None].astype("f4"), a),
        "left and",
    ),
    "elsewhere": ("territory_probability", _moved, "lie in the template's brain"),
    "four labels": (
        "hemispheres",
        lambda d, a: (d + 2 * (d > 0) * (np.arange(d.shape[1]) < 60)[:, None].astype("u1"), a),
        "hemisphere labels",
    ),
    "front and back": (
        "hemispheres",
        lambda d, a: ((d > 0) * (1 + (np.arange(d.shape[1]) < 60)[:, None].astype("u1")), a),
        "overlap along x",
    ),
    "one hemisphere": ("hemispheres", lambda d, a: (d * (d == 1), a), "hemisphere labels"),
    "skull on": ("template", lambda d, a: (d + 1, a), "a template with"),
    "4D": ("template", lambda d, a: (np.stack([d, d], -1), a), "with shape"),
    "nan": ("template", _with_nan, "NaN"),
    "tiny voxels": ("template", lambda d, a: (d, a / 10), "a template with"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_folders_are_refused_in_words(tmp_path, fault):
    target, action, words = BROKEN[fault]
    with pytest.raises(AtlasError, match=words):
        load_atlas(write_folder(tmp_path, broken(target, action)))


def test_unreadable_file(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "template.nii.gz").write_bytes(b"no image")
    with pytest.raises(AtlasError, match="cannot be read"):
        load_atlas(tmp_path)


@pytest.mark.shared
def test_published_atlas(shared):
    stored = nib.load(shared / "atlases" / "half_brain_mask.nii.gz")
    labels = np.asarray(stored.dataobj)
    x = np.broadcast_to(world_axis(grid_of(stored), 0), labels.shape)
    assert x[labels == 1].mean() > 20  # what the publication calls left is the right
    atlas = load_atlas(shared / "atlases")
    check_sides(atlas)
    moved = resample(stored, grid_of(atlas.hemispheres), order=0)
    ours = np.asarray(atlas.hemispheres.dataobj)
    np.testing.assert_array_equal(ours[ours > 0] == 1, np.asarray(moved.dataobj)[ours > 0] == 2)


@pytest.mark.long
@pytest.mark.shared
@pytest.mark.parametrize(
    ("template", "wrong", "dice"),
    [
        ("MNI152_brain.nii.gz", 0.02, 0.8),
        ("ct_brain_mni_1mm.nii.gz", 0.03, 0.75),  # another brain than the one the head is made of
    ],
)
def test_published_atlas_finds_the_sides_of_a_posed_head(shared, tmp_path, template, wrong, dice):
    for name in ("ProbArterialAtlas_BMM_1_double_prep.nii.gz", "half_brain_mask.nii.gz"):
        (tmp_path / name).symlink_to(shared / "atlases" / name)
    (tmp_path / "template.nii.gz").symlink_to(shared / "atlases" / template)
    phantom = make_phantom(turn=(12, -8, 15), shift=(20, -15, 10))
    priors = compute_priors(phantom.ncct, phantom.mask, load_atlas(tmp_path), COARSE)
    assert side_error(priors, phantom) < wrong
    assert territory_dice(priors, phantom) > dice


@pytest.mark.shared
def test_territory_model_resembles_the_published_map(shared):
    embedded, published = load_atlas(), load_atlas(shared / "atlases")
    brain = np.asarray(embedded.template.dataobj) > 0
    moved = resample(published.territory_probability, grid_of(embedded.template))
    r = np.corrcoef(np.asarray(moved.dataobj)[brain], arrays(embedded)[1][brain])[0, 1]
    assert r >= 0.85


def test_sides_of_a_bent_border_come_from_the_labels(tmp_path):
    def change(name, data, affine):
        if name == "hemispheres":  # the border leaves the plane by up to 8 mm
            x = np.arange(data.shape[0])[:, None, None] * affine[0, 0] + affine[0, 3]
            bend = 8 * np.sin(np.arange(data.shape[1]) / 10)[:, None]
            data = ((data > 0) * np.where(x < bend, 2, 1)).astype(np.uint8)
        return data, affine

    atlas = load_atlas(write_folder(tmp_path, change))
    working = prepare_atlas(atlas, 4.0)
    labels = np.asarray(resample(atlas.hemispheres, working.grid, order=0).dataobj)
    inside = labels > 0
    assert ((working.side < 0) == (labels == 1))[inside].mean() > 0.97

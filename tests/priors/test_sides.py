"""Left is left, however a scan is stored, posed, cut or sheared."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation

from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.priors import compute_priors, load_atlas
from lvo_kedro.priors.compute import _as_stored, _canonical
from tests.priors.phantoms import (
    COARSE,
    centred_grid,
    make_phantom,
    side_error,
    territory_dice,
)

ORDERS = [
    tuple(np.array(pairs)[list(order), sign])
    for order in itertools.permutations(range(3))
    for pairs in [(("L", "R"), ("P", "A"), ("I", "S"))]
    for sign in itertools.product((0, 1), repeat=3)
]


def stored_as(image, codes):
    """The same voxels in another axis order."""
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(codes))
    return image.as_reoriented(turn)


@pytest.fixture(scope="module")
def posed():
    """A head that is turned, off-centre and bent."""
    return make_phantom(turn=(12, -8, 15), shift=(20, -15, 10), loss=8.0)


@pytest.fixture(scope="module")
def posed_priors(posed):
    return compute_priors(posed.ncct, posed.mask, load_atlas(), COARSE)


def test_posed_head_is_matched(posed, posed_priors):
    assert side_error(posed_priors, posed) < 0.015
    assert territory_dice(posed_priors, posed) > 0.9
    for name in ("territory_probability", "hemispheres", "difference", "signed_difference"):
        image = getattr(posed_priors, name)
        assert image.shape == posed.ncct.shape
        np.testing.assert_allclose(image.affine, posed.ncct.affine)
        assert not np.asarray(image.dataobj)[posed.sides == 0].any()
    assert set(np.unique(np.asarray(posed_priors.hemispheres.dataobj))) == {0, 1, 2}


def test_lost_density_shows_on_its_side(posed, posed_priors):
    signed = np.asarray(posed_priors.signed_difference.dataobj)
    healthy = (posed.territory > 0.5) & (posed.sides == 2)
    assert signed[posed.lesion].mean() < -4
    assert signed[healthy].mean() > 4
    np.testing.assert_array_equal(np.asarray(posed_priors.difference.dataobj), np.abs(signed))


@pytest.mark.parametrize("codes", ORDERS, ids="".join)
def test_every_axis_order_is_the_same_scan(codes):
    rng = np.random.default_rng(3)
    grid = centred_grid((3.0, 4.0, 5.0), (24.0, 28.0, 30.0))
    scan = make_image(rng.normal(size=grid.shape).astype(np.float32), grid.affine)
    mask = make_image((rng.random(grid.shape) > 0.5).astype(np.uint8), grid.affine)
    stored = stored_as(scan, codes)
    assert nib.aff2axcodes(stored.affine) == codes
    canonical, canonical_mask = _canonical(stored, stored_as(mask, codes))
    np.testing.assert_array_equal(np.asarray(canonical.dataobj), np.asarray(scan.dataobj))
    np.testing.assert_array_equal(np.asarray(canonical_mask.dataobj), np.asarray(mask.dataobj))
    np.testing.assert_allclose(canonical.affine, scan.affine, atol=1e-4)
    back = _as_stored(np.asarray(scan.dataobj), stored)
    np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(stored.dataobj))


@pytest.mark.parametrize("codes", [("L", "P", "S"), ("P", "I", "R")], ids="".join)
def test_axis_order_does_not_change_the_maps(posed, posed_priors, codes):
    turned = compute_priors(
        stored_as(posed.ncct, codes), stored_as(posed.mask, codes), load_atlas(), COARSE
    )
    for name in ("hemispheres", "territory_probability", "signed_difference"):
        expected = np.asarray(stored_as(getattr(posed_priors, name), codes).dataobj)
        np.testing.assert_allclose(np.asarray(getattr(turned, name).dataobj), expected, atol=1e-3)


def _tilted(degrees):
    shear = np.eye(3)
    shear[1, 2] = np.tan(np.deg2rad(degrees))
    return shear


GRIDS = {
    "oblique": centred_grid(
        directions=Rotation.from_euler("xyz", (20, 10, -15), degrees=True).as_matrix()
    ),
    "sheared": centred_grid((3.0, 3.0, 4.0), directions=_tilted(18.5)),
    "mirrored": centred_grid((2.5, 2.5, 5.0), directions=np.diag([-1.0, 1.0, 1.0])),
    "thick": centred_grid((2.0, 2.0, 7.0)),
    "sagittal": centred_grid(
        (3.0, 3.0, 3.0),
        (213.0, 186.0, 186.0),
        directions=np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", GRIDS)
def test_any_grid_keeps_its_sides(name):
    phantom = make_phantom(GRIDS[name], turn=(5, 5, -8), loss=8.0)
    priors = compute_priors(phantom.ncct, phantom.mask, load_atlas(), COARSE)
    assert side_error(priors, phantom) < 0.02
    assert territory_dice(priors, phantom) > 0.88
    assert np.asarray(priors.signed_difference.dataobj)[phantom.lesion].mean() < -3


@pytest.mark.long
@pytest.mark.parametrize("cut", ["vertex", "base"])
def test_part_of_a_head(cut):
    whole = make_phantom(turn=(5, 0, 5))
    layers = slice(0, 42) if cut == "vertex" else slice(22, None)
    part = [
        make_image(np.asarray(image.dataobj)[:, :, layers], _lifted(image, layers))
        for image in (whole.ncct, whole.mask)
    ]
    priors = compute_priors(*part, load_atlas(), COARSE)
    found = np.asarray(priors.hemispheres.dataobj)
    truth = whole.sides[:, :, layers]
    assert (found != truth)[truth > 0].mean() < 0.03
    assert float(priors.quality["coverage"]) < 0.95


def _lifted(image, layers):
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (layers.start or 0)
    return affine


def test_same_input_gives_the_same_maps(posed, posed_priors):
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    again = compute_priors(posed.ncct, posed.mask, load_atlas(), COARSE)
    np.testing.assert_array_equal(
        np.asarray(again.signed_difference.dataobj),
        np.asarray(posed_priors.signed_difference.dataobj),
    )
    np.testing.assert_array_equal(
        np.asarray(again.territory_probability.dataobj),
        np.asarray(posed_priors.territory_probability.dataobj),
    )
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # the caller's draws stay


@pytest.mark.long
def test_mask_on_another_grid_is_brought_over(posed, posed_priors):
    wider = nib.Nifti1Image(
        np.pad(np.asarray(posed.mask.dataobj), 2), _shifted(posed.mask.affine, -2)
    )
    priors = compute_priors(posed.ncct, wider, load_atlas(), COARSE)
    np.testing.assert_array_equal(
        np.asarray(priors.hemispheres.dataobj), np.asarray(posed_priors.hemispheres.dataobj)
    )
    assert grid_of(priors.hemispheres).shape == posed.ncct.shape


def _shifted(affine, voxels):
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ np.full(3, float(voxels))
    return moved

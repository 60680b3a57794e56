"""Brains with a known truth: the template itself, posed, bent and sampled on any grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from lvo_kedro.imaging.geometry import Grid, grid_of, make_image
from lvo_kedro.priors import PriorOptions, load_atlas
from lvo_kedro.priors.engine import grid_points, sample, transform

COARSE = PriorOptions(spacing_mm=6.0, iterations=(30, 10), mirror_iterations=(30, 10))
"""Half a second per case, and good enough to tell left from right."""


@dataclass(frozen=True)
class Phantom:
    ncct: object
    mask: object
    sides: np.ndarray
    territory: np.ndarray
    lesion: np.ndarray


def centred_grid(spacing=(3.0, 3.0, 3.0), extent=(186.0, 213.0, 186.0), directions=None) -> Grid:
    """A grid around the world's origin; ``directions`` turns or shears its axes (columns)."""
    shape = tuple(int(e / s) for e, s in zip(extent, spacing, strict=True))
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if directions is None else directions) @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def make_phantom(
    grid=None, *, turn=(0, 0, 0), shift=(0, 0, 0), bend=3.0, loss=0.0, seed=0
) -> Phantom:
    """Pose the template's brain: degrees about x, y, z, mm, mm of smooth bending, HU lost left."""
    grid = grid or centred_grid()
    atlas = load_atlas()
    source = grid_of(atlas.template_hu)
    rotation = np.eye(4)
    rotation[:3, :3] = 1.07 * Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    rotation[:3, 3] = np.array([0.0, -18.0, 12.0]) - rotation[:3, :3] @ np.asarray(shift, float)
    mni = transform(rotation, grid_points(grid))
    mni += bend * np.sin(mni[[1, 2, 0]] / 22.0 + np.array([0.0, 1.0, 2.0]).reshape(3, 1, 1, 1))
    brain = sample((np.asarray(atlas.template.dataobj) > 0).astype(np.float32), source, mni) > 0.5
    territory = sample(np.asarray(atlas.territory_probability.dataobj), source, mni) * brain
    sides = np.where(mni[0] < 0, 1, 2) * brain
    lesion = (territory > 0.5) & (sides == 1)
    values = sample(np.asarray(atlas.template_hu.dataobj), source, mni) - loss * lesion
    noise = np.random.default_rng(seed).normal(0, 2.0, grid.shape)
    hounsfield = np.where(brain, values + noise, -1000.0).astype(np.float32)
    mask = make_image(brain.astype(np.uint8), grid.affine)
    return Phantom(make_image(hounsfield, grid.affine), mask, sides, territory, lesion)


def side_error(priors, phantom) -> float:
    """Part of the brain's voxels on the wrong side."""
    brain = phantom.sides > 0
    found = np.asarray(priors.hemispheres.dataobj)
    return float((found[brain] != phantom.sides[brain]).mean())


def territory_dice(priors, phantom) -> float:
    found = np.asarray(priors.territory_probability.dataobj) > 0.5
    truth = phantom.territory > 0.5
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))

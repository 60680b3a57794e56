"""A small scan with vessels and priors, and a small set of stored samples."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch

from lvo_kedro.detection import encode_channels, save_sample
from lvo_kedro.imaging.geometry import Grid, make_image


def make_case(shape=(40, 48, 36), spacing=(3.0, 3.0, 3.5), angle=0.0, shift=0.0):
    """A ball of brain (35 HU) whose right side holds a dense vessel; the midline at world x=shift.

    ``angle`` (degrees) turns the head about z against the scan's axes.
    """
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -np.array(spacing) * (np.array(shape) - 1) / 2
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3] - [shift, 0, 0]
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    x, y, z = (world @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])).transpose(3, 0, 1, 2)
    brain = (x / 45) ** 2 + (y / 55) ** 2 + (z / 45) ** 2 < 1
    vessel = (np.abs(y) < 4) & (np.abs(z) < 4) & (np.abs(x) > 8) & (np.abs(x) < 30)
    ncct = np.where(brain, 35.0, -900.0)
    ncct[vessel] = 40.0
    ncct[vessel & (x > 0)] = 60.0
    hemispheres = np.where(brain, np.where(x < 0, 1, 2), 0).astype(np.uint8)
    signed = np.where(brain, np.where(x > 0, 6.0, -6.0), 0)
    image = lambda data: make_image(np.asarray(data, dtype=np.float32), affine)  # noqa: E731
    priors = SimpleNamespace(
        territory_probability=image(np.where(brain, 0.4, 0)),
        hemispheres=make_image(hemispheres, affine),
        difference=image(np.abs(signed)),
        signed_difference=image(signed),
        quality={},
    )
    return image(ncct), make_image(vessel.astype(np.uint8) * 2, affine), priors


def reorient(image: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    """The same image with its array axes in another order and direction."""
    start = nib.orientations.io_orientation(image.affine)
    end = nib.orientations.axcodes2ornt(tuple(codes))
    return image.as_reoriented(nib.orientations.ornt_transform(start, end))


@pytest.fixture(scope="session")
def case():
    return make_case()


@pytest.fixture(scope="session")
def stored(tmp_path_factory) -> tuple[dict[str, Path], dict[str, int]]:
    """Twelve cases; those with label 1 hold a dense block in the vessel channel."""
    folder = tmp_path_factory.mktemp("samples")
    generator = torch.Generator().manual_seed(3)
    samples, labels = {}, {}
    for number in range(12):
        channels = torch.rand(2, 32, 32, 32, generator=generator) * 0.3
        labels[f"case-{number:02d}"] = number % 2
        if number % 2:
            a, b, c = torch.randint(2, 18, (3,), generator=generator).tolist()
            channels[1, a : a + 10, b : b + 10, c : c + 10] += 0.6
        path = folder / f"case-{number:02d}.safetensors"
        grid = Grid((32, 32, 32), np.diag([3.0, 3.0, 3.0, 1.0]))
        save_sample(path, encode_channels(channels, ("ncct", "vessels"), grid))
        samples[f"case-{number:02d}"] = path
    return samples, labels

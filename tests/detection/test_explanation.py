"""Grad-CAM against its definition, and its place in the scan's world."""

from __future__ import annotations

import gc

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from lvo_kedro.detection import Detector, McResNet, encode_channels, explain, mass_by_side
from lvo_kedro.detection.explanation import class_activation
from lvo_kedro.imaging.geometry import Grid, make_image

from .conftest import reorient


def detector_with(network: nn.Module) -> Detector:
    return Detector(network.eval(), ("ncct", "vessels"), (32, 32, 32), 3.0, {})


class ReadsVessels(nn.Module):
    """The logit is the mean of the vessel channel: its map must be that channel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.AvgPool3d(4)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.scale * self.layer1(x)[:, 1:].mean(dim=(2, 3, 4))


@pytest.fixture
def sample():
    """A dense block on the patient's right (x > 0)."""
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -46.5
    channels = torch.full((2, 32, 32, 32), 0.15)
    channels[1] = 0
    channels[1, 20:28, 12:20, 12:20] = 0.9
    return encode_channels(channels, ("ncct", "vessels"), Grid((32, 32, 32), affine))


@pytest.mark.parametrize("layer", ["layer1", "layer2", "layer4"])
def test_a_map_is_the_activation_weighted_by_its_mean_gradient(layer):
    torch.manual_seed(0)
    network = McResNet(2, 8).eval()
    x = torch.rand(2, 2, 32, 32, 32)
    names = ["layer1", "layer2", "layer3", "layer4"]
    stages = [getattr(network, name) for name in names]
    split = names.index(layer) + 1
    activation = nn.Sequential(*stages[:split])(network._stem(x)).detach().requires_grad_()
    late = nn.Sequential(*stages[split:])(activation)
    network.fc(network.avgpool(late).flatten(1)).sum().backward()
    weight = activation.grad.mean(dim=(2, 3, 4), keepdim=True)
    expected = torch.relu((weight * activation.detach()).sum(1))
    found = class_activation(detector_with(network), x, layer)
    assert found.shape == (2, 32, 32, 32)
    assert found.max() > 0
    fine = nn.functional.interpolate(expected[:, None], size=(32, 32, 32), mode="trilinear")
    torch.testing.assert_close(found, fine[:, 0], atol=1e-6, rtol=1e-4)
    assert not getattr(network, layer)._forward_hooks


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL"])
def test_mass_is_counted_on_the_patients_sides(sample, codes):
    scan = make_image(np.zeros((32, 32, 32), np.int16), sample["affine"].numpy())
    heat = explain(detector_with(ReadsVessels()), sample, scan)
    x = nib.affines.apply_affine(scan.affine, np.argwhere(np.ones(scan.shape)))[:, 0]
    halves = make_image(np.where(x < 0, 1, 2).reshape(scan.shape).astype(np.uint8), scan.affine)
    mass = mass_by_side(reorient(heat, codes), reorient(halves, codes))
    assert mass["right"] > 10 * mass["left"]
    assert sum(mass.values()) == pytest.approx(heat.get_fdata().sum(), rel=1e-5)


@pytest.mark.parametrize("direction", [-1, 1])
def test_the_map_lies_on_the_scans_grid_and_on_the_right_side(sample, direction):
    affine = np.diag([2.5 * direction, 3.2, 4.0, 1.0])
    affine[:3, 3] = [-48.75 * direction, -46.4, -38.0]
    scan = make_image(np.zeros((40, 30, 20), np.int16), affine)
    heat = explain(detector_with(ReadsVessels()), sample, scan)
    data = heat.get_fdata()
    assert heat.shape == scan.shape
    np.testing.assert_allclose(heat.affine, scan.affine)
    assert data.min() >= 0
    assert 0.9 < data.max() <= 1 + 1e-6
    world = nib.affines.apply_affine(affine, np.argwhere(data > 0.5))
    np.testing.assert_allclose(world.mean(axis=0), [24, 0, 0], atol=4)


def test_the_air_around_the_head_explains_nothing(sample):
    channels = torch.zeros(2, 32, 32, 32)
    channels[:, 8:24, 8:24, 8:24] = 0.5
    inside = encode_channels(
        channels, ("ncct", "vessels"), Grid((32,) * 3, sample["affine"].numpy())
    )
    network = ReadsVessels()
    network.layer1 = nn.AvgPool3d(16)  # one voxel of its map reaches over the border
    scan = make_image(np.zeros((32, 32, 32), np.int16), sample["affine"].numpy())
    heat = explain(detector_with(network), inside, scan).get_fdata()
    assert heat[8:24, 8:24, 8:24].min() > 0.1
    assert heat.sum() == pytest.approx(heat[8:24, 8:24, 8:24].sum())


def test_several_detectors_are_averaged(sample):
    scan = make_image(np.zeros((32, 32, 32), np.int16), sample["affine"].numpy())
    detector = detector_with(ReadsVessels())
    one, two = (explain(d, sample, scan).get_fdata() for d in (detector, [detector, detector]))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_network_that_nothing_raises_gives_an_empty_map(sample):
    network = ReadsVessels()
    network.scale.data *= -1
    scan = make_image(np.zeros((32, 32, 32), np.int16), sample["affine"].numpy())
    assert not explain(detector_with(network), sample, scan).get_fdata().any()


def test_nothing_of_a_map_stays_in_memory():
    detector = detector_with(McResNet(2, 4))

    def networks() -> int:
        gc.collect()
        return sum(type(thing) is McResNet for thing in gc.get_objects())

    before = networks()
    for _ in range(3):
        class_activation(detector, torch.rand(1, 2, 32, 32, 32), "layer1")
    assert networks() == before

"""Grad-CAM against known gradients, and its place in the scan's world."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from lvo_kedro.detection import (
    TrainingOptions,
    encode_channels,
    explain,
    load_detector,
    open_sample,
    train_fold,
)
from lvo_kedro.detection.explanation import class_activation
from lvo_kedro.imaging.geometry import Grid, make_image


@pytest.fixture(scope="module")
def detector(stored, tmp_path_factory):
    samples, labels = stored
    folder = tmp_path_factory.mktemp("explained")
    options = TrainingOptions(base_width=8, epochs=25, batch_size=4, learning_rate=3e-3,
                              ema_decay=0.9, validate_every=25, seed=1, device="cpu")  # fmt: skip
    train_fold(folder, samples, labels, list(samples), [], options)
    return load_detector(folder, "cpu")


def test_weights_are_the_mean_gradients(detector):
    """Against the definition, with the rest of the network differentiated by autograd."""
    x = torch.rand(1, 2, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    network = detector.network
    activation = network.layer1(network._stem(x)).detach().requires_grad_()
    late = network.layer4(network.layer3(network.layer2(activation)))
    network.fc(network.avgpool(late).flatten(1)).sum().backward()
    weight = activation.grad.mean(dim=(2, 3, 4), keepdim=True)
    expected = torch.relu((weight * activation.detach()).sum(1))
    found = class_activation(detector, x, "layer1")
    assert found.shape == (1, 32, 32, 32)
    coarse = torch.nn.functional.interpolate(expected[:, None], size=(32, 32, 32), mode="trilinear")
    torch.testing.assert_close(found, coarse[:, 0], atol=1e-6, rtol=1e-4)
    assert not network.layer1._forward_hooks


def test_the_map_lies_on_the_scan_and_on_the_side_of_the_dense_block(detector):
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -46.5
    right = torch.full((2, 32, 32, 32), 0.15)
    right[1, 20:30, 10:20, 10:20] = 0.9  # x > 0: the patient's right
    sample = encode_channels(right, ("ncct", "vessels"), Grid((32, 32, 32), affine))
    scan = make_image(np.zeros((40, 30, 20), np.int16), np.diag([-2.5, 3.2, 4.0, 1]))
    scan.affine[:3, 3] = [48.75, -46.4, -38]
    scan = make_image(np.zeros((40, 30, 20), np.int16), scan.affine)
    heat = explain(detector, sample, scan)
    data = heat.get_fdata()
    assert heat.shape == scan.shape
    np.testing.assert_allclose(heat.affine, scan.affine)
    assert data.min() >= 0 and data.max() <= 1 + 1e-6
    x = nib.affines.apply_affine(scan.affine, np.argwhere(data >= 0))[:, 0].reshape(data.shape)
    assert data[x > 0].sum() > 2 * data[x < 0].sum()


def test_several_detectors_and_mirrored_cases(detector, stored):
    sample = open_sample(stored[0]["case-01"])
    scan = make_image(np.zeros((32, 32, 32), np.int16), sample["affine"].numpy())
    one, two = (explain(d, sample, scan).get_fdata() for d in (detector, [detector, detector]))
    np.testing.assert_allclose(one, two, atol=1e-5)

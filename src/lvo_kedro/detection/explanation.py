"""Where in the scan a score comes from: 3D Grad-CAM on the scan's own grid.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks", ICCV 2017. A map shows what
the network looked at; it is no segmentation of a clot.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lvo_kedro.detection.augmentation import flip_sides
from lvo_kedro.detection.channels import neutral
from lvo_kedro.detection.detector import Detector
from lvo_kedro.detection.halves import SidesNetwork, join_halves, outward_halves
from lvo_kedro.detection.storage import decode_channels, sample_grid
from lvo_kedro.errors import ModelError
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.options import Options
from lvo_kedro.vocabulary import HEMISPHERES, Side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import nibabel as nib


Layer = Literal["layer1", "layer2", "layer3", "layer4"]


QUANTUM = 1 / 255
"""Steps in which samples are stored: a smaller distance from a channel's neutral value is none."""


class ExplanationOptions(Options):
    """Whether and how scores are explained."""

    enabled: bool = False
    """Make a map and a picture of every case. They show patients: off unless you mean it."""
    networks: bool = True
    """Explain networks as well where side models give the score that counts."""
    layer: Layer = "layer1"
    """Whose activations are weighed; the later, the coarser (the last: 2 or 3 voxels per axis)."""


def explain(
    detectors: Detector | Sequence[Detector],
    sample: Mapping[str, Tensor],
    ncct: nib.Nifti1Image,
    layer: Layer = "layer1",
) -> nib.Nifti1Image:
    """Show which places raise a case's score.

    Args:
        detectors: One or several; their maps are averaged.
        sample: The case's stored channels.
        ncct: Gives the grid of the result.
        layer: Whose activations to weigh; the later, the coarser.

    Returns:
        float32 in [0, 1] on the grid of ``ncct``; 0 where nothing raises the score, and where no
        channel says anything. Averaged over the case and its mirror image, as the scores are. Of a
        network of halves, each half's map of its own utility, by the side's share of the score.
    """
    several = [detectors] if isinstance(detectors, Detector) else list(detectors)
    if not several:
        raise ModelError("no detectors", "at least one", "train a fold first")
    total = torch.zeros(tuple(int(n) for n in sample["shape"]))
    seen = torch.zeros_like(total, dtype=torch.bool)
    for detector in several:
        batch = decode_channels(sample, detector.channels)[None].to(detector.device)
        heat = class_activation(detector, batch, layer)
        if detector.target == "case":  # a network of halves sees the same in the mirrored case
            mirrored = class_activation(detector, flip_sides(batch), layer)
            heat = (heat + flip_sides(mirrored[:, None])[:, 0]) / 2
        total += heat[0]
        said = (batch[0].cpu() - neutral(detector.channels)).abs() > QUANTUM
        seen |= said.any(dim=0)
    total *= seen  # a coarse layer spreads over the air around the head
    highest = float(total.max())
    scaled = total / highest if highest > 0 else total
    coarse = make_image(scaled.numpy(), sample_grid(sample).affine)
    return resample(coarse, grid_of(ncct), order=1)


def class_activation(detector: Detector, batch: Tensor, layer: Layer) -> Tensor:
    """Return the Grad-CAM of a batch: shape (case, x, y, z), not negative, on the CPU.

    A network of halves has a map for each half, of that half's own utility. The case's logit is the
    logarithm of the sum of both sides' exp(utility): a utility moves it by the side's softmax share
    among the two, and so much its map counts.
    """
    network = detector.network
    if not isinstance(network, SidesNetwork):
        return _grad_cam(network, batch, layer)
    with torch.no_grad():
        share = torch.softmax(network(batch).float(), dim=1).T.flatten().cpu()
    heat = _grad_cam(network.mcresnet, outward_halves(batch), layer)
    return join_halves(heat * share[:, None, None, None])


def _grad_cam(module: nn.Module, batch: Tensor, layer: Layer) -> Tensor:
    """Return MONAI's Grad-CAM of a network's one output."""
    # imported late: it takes half as long as all the rest together
    from monai.visualize import GradCAM  # noqa: PLC0415

    # its hooks stay on what it is given, and the detector serves case after case
    network = copy.deepcopy(module).requires_grad_(False)
    grad_cam = GradCAM(network, layer, postprocessing=lambda heat: heat)
    with torch.enable_grad():
        heat = grad_cam(batch.detach().clone().requires_grad_(), class_idx=0)
    # its hooks and what they keep hold one another, unseen by Python: 10 MB a map for ever
    hooked = grad_cam.nn_module
    hooked.activations, hooked.gradients, hooked.score = {}, {}, None
    return torch.as_tensor(heat)[:, 0].detach().float().cpu()


def mass_by_side(heat: nib.Nifti1Image, hemispheres: nib.Nifti1Image) -> dict[Side, float]:
    """Return the sum of a map in each hemisphere of the brain.

    Args:
        heat: Not negative, as of :func:`explain`.
        hemispheres: Labels of ``HEMISPHERES`` on the same grid.
    """
    values = heat.get_fdata(dtype=np.float32)
    labels = np.asarray(hemispheres.dataobj)
    return {side: float(values[labels == label].sum()) for side, label in HEMISPHERES.items()}

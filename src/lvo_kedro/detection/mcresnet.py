"""McResNet: a 3D residual network with attention that gives one logit per scan.

An 18-layer 3D ResNet whose blocks end in CBAM (Woo et al., "CBAM: Convolutional Block Attention
Module", ECCV 2018; here the channel attention reads the global average alone). Axes of every
tensor: (batch, channel, x, y, z). Names of parameters and buffers are those of published
checkpoints, so they are part of the interface. This module needs torch alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "module."
"""What ``DataParallel`` puts in front of every name."""

NESTED_UNDER = ("state_dict", "model_state_dict")
"""Where training scripts commonly keep the weights inside a checkpoint."""


class ChannelAttention(nn.Module):
    """Weight every channel by what its global average says about it."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return weights of shape (batch, channel, 1, 1, 1) in (0, 1)."""
        average = x.mean(dim=(2, 3, 4))
        weight = torch.sigmoid(self.fc2(torch.relu(self.fc1(average))))
        return weight[:, :, None, None, None]


class SpatialAttention(nn.Module):
    """Weight every position by the mean and the maximum of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return weights of shape (batch, 1, x, y, z) in (0, 1)."""
        summary = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(summary))


class CBAM(nn.Module):
    """Channel attention, then spatial attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_attention = ChannelAttention(channels)
        self.spatial_attention = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` weighted twice, in its own shape."""
        x = x * self.channel_attention(x)
        return x * self.spatial_attention(x)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut; attention on their sum; ReLU last."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels)
        self.cbam = CBAM(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, channels, 1, stride=stride, bias=False),
                nn.BatchNorm3d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, x, y, z) to (batch, channels, x / stride, ...)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x)) + shortcut
        return self.relu(self.cbam(x))


class McResNet(nn.Module):
    """The detection network; at its defaults 33,351,281 parameters in 148 state-dict entries.

    Args:
        in_channels: Channels of a sample (see :mod:`lvo_kedro.detection.channels`).
        base_width: Channels of the stem and the first layer; the others have 2, 4, 8 times more.
        zero_init_residual: Start the last norm of every block at a weight of 0, so that each block
            begins as its shortcut (Goyal et al., "Accurate, Large Minibatch SGD", 2017).

    Attributes:
        recompute: Compute the activations of the stem and the first layer a second time in the
            backward pass instead of keeping them. They are nearly all of the memory on a native
            grid. The result is the same, BatchNorm's running statistics included.

    Example:
        >>> network = McResNet(in_channels=2, base_width=16).eval()
        >>> network(torch.zeros(1, 2, 32, 32, 32)).shape
        torch.Size([1, 1])
    """

    def __init__(
        self, in_channels: int = 4, base_width: int = 64, zero_init_residual: bool = False
    ) -> None:
        super().__init__()
        self.in_channels, self.base_width, self.recompute = in_channels, base_width, False
        widths = [base_width * factor for factor in (1, 2, 4, 8)]
        self.conv1 = nn.Conv3d(in_channels, base_width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(base_width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _layer(base_width, widths[0], stride=1)
        self.layer2 = _layer(widths[0], widths[1], stride=2)
        self.layer3 = _layer(widths[1], widths[2], stride=2)
        self.layer4 = _layer(widths[2], widths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)
        self.fc = nn.Sequential(
            nn.Linear(widths[3], 64), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(64, 1)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit per sample.

        Args:
            x: (batch, channel, x, y, z), each edge of at least 32 voxels to be of use.

        Returns:
            Shape (batch, 1).
        """
        x = self._run(self._stem, x)
        x = self._run(self.layer1, x)
        x = self.layer4(self.layer3(self.layer2(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits

    def _stem(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return pooled

    def _run(self, part: nn.Module | object, x: Tensor) -> Tensor:
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            return part(x)  # type: ignore[operator]
        return checkpoint(part, x, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _untracked(self)


def _layer(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(in_channels, channels, stride), BasicBlock(channels, channels))


@contextmanager
def _untracked(network: nn.Module) -> Iterator[None]:
    """Leave BatchNorm's running statistics alone: the recomputed pass is no second batch.

    (Only ``num_batches_tracked`` counts it; nothing reads that where a momentum is given.)
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def load_published_checkpoint(
    path: Path | str, in_channels: int = 4, base_width: int = 64
) -> McResNet:
    """Load a checkpoint that the published training code saved.

    Plain state dicts, those of ``DataParallel`` (every name begins with ``module.``) and those kept
    under ``state_dict`` or ``model_state_dict`` are accepted. Only tensors are read from the file:
    nothing in it is executed.

    Args:
        path: A ``.pth`` file.
        in_channels: Channels that the checkpoint was trained with.
        base_width: Width that the checkpoint was trained with.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        ModelError: The file is not such a checkpoint; says which names or shapes do not fit.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ModelError(
            f"{path}, which cannot be read as weights ({type(error).__name__}: {error})"[:300],
            "a torch checkpoint that holds tensors alone",
            "save `model.state_dict()` again with `torch.save`",
        ) from error
    network = McResNet(in_channels, base_width)
    try:
        network.load_state_dict(_plain_names(content), strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path}, whose names or shapes do not fit ({error})"[:600],
            f"the state dict of McResNet(in_channels={in_channels}, base_width={base_width})",
            "check the channels and the width that it was trained with",
        ) from error
    return network.eval()


def _plain_names(content: object) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise TypeError(f"a {type(content).__name__} instead of a state dict")
    for key in NESTED_UNDER:
        if isinstance(content.get(key), Mapping):
            return _plain_names(content[key])
    return {str(name).removeprefix(PREFIX): value for name, value in content.items()}

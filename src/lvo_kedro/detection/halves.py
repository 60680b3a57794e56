"""McResNet on the halves of a midline grid: which of the two sides is occluded, or neither.

Both halves are turned outwards alike (index 0 along x is next to the midline), so that one network
reads either. Beside its own channels each half has their differences to the opposite half: where
an occlusion shows is then the same place, with the same sign, on both sides, and a mirrored case
gives the same two utilities in the other order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from lvo_kedro.detection.mcresnet import McResNet
from lvo_kedro.errors import ModelError
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.vocabulary import Target


class SidesNetwork(nn.Module):
    """One McResNet for both halves of a case.

    Args:
        in_channels: Channels of a sample; the McResNet inside reads twice as many.
        base_width: Of that McResNet.
        zero_init_residual: Of that McResNet.
    """

    def __init__(
        self, in_channels: int = 4, base_width: int = 64, zero_init_residual: bool = False
    ) -> None:
        super().__init__()
        self.in_channels, self.base_width = in_channels, base_width
        self.mcresnet = McResNet(2 * in_channels, base_width, zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        """Return the utility of each side; that of no occlusion is 0.

        Args:
            x: (case, channel, x, y, z) on a midline grid, with an even number of voxels along x.

        Returns:
            Shape (case, 2), in the order of ``SIDES``. Probabilities of left, right and nothing are
            the softmax over both and 0.
        """
        utilities: Tensor = self.mcresnet(outward_halves(x))
        return utilities.reshape(len(SIDES), len(x)).T


Network: TypeAlias = McResNet | SidesNetwork

_KINDS: dict[Target, type[McResNet] | type[SidesNetwork]] = {
    "case": McResNet,
    "sides": SidesNetwork,
}


def make_network(
    target: Target, in_channels: int, base_width: int, zero_init_residual: bool = False
) -> Network:
    """Return a network at random weights that answers what ``target`` says."""
    return _KINDS[target](in_channels, base_width, zero_init_residual)


def target_of(network: nn.Module) -> Target:
    """Return what a network answers."""
    return "sides" if isinstance(network, SidesNetwork) else "case"


def outward_halves(batch: Tensor) -> Tensor:
    """Split cases into halves that look alike, with the differences between them.

    Args:
        batch: (case, channel, x, y, z) in [0, 1]; the middle of x is the midline.

    Returns:
        (2 * case, 2 * channel, x / 2, y, z) in [0, 1]: all left halves, then all right ones; first
        the own channels, then 0.5 plus half of what each is above the opposite one.

    Raises:
        ModelError: An odd number of voxels along x.
    """
    require_even(batch.shape[2])
    middle = batch.shape[2] // 2
    left, right = batch[:, :, :middle].flip(2), batch[:, :, middle:]
    half_difference = (left - right) / 2
    return torch.cat(
        [
            torch.cat([left, 0.5 + half_difference], dim=1),
            torch.cat([right, 0.5 - half_difference], dim=1),
        ]
    )


def join_halves(maps: Tensor) -> Tensor:
    """Put maps of :func:`outward_halves` back in place.

    Args:
        maps: (2 * case, x / 2, y, z).

    Returns:
        (case, x, y, z).
    """
    left, right = maps.chunk(len(SIDES))
    return torch.cat([left.flip(1), right], dim=1)


def require_even(voxels: int) -> None:
    """Raise ModelError where the middle of ``voxels`` along x is a voxel and not a plane."""
    if voxels % 2:
        raise ModelError(
            f"samples of {voxels} voxels along x, for a network of halves (target: sides)",
            "an even number, with the midline between the two in the middle",
            "make `channels.shape` even along x, or train with `detector.target: case`",
        )


def require_midline(made_with: Mapping[str, Any]) -> None:
    """Refuse samples whose middle need not be the midline.

    Args:
        made_with: Options of their channels (:class:`~lvo_kedro.detection.ChannelOptions`).

    Raises:
        ModelError: They lie on another grid, in another frame, or nothing says where.
    """
    grid, frame = made_with.get("grid"), made_with.get("frame")
    if (grid, frame) != ("brain", "midline"):
        raise ModelError(
            f"channels on grid {grid} in frame {frame}, for a network of halves (target: sides)",
            "grid brain in frame midline, whose middle is the plane between the hemispheres",
            "set `channels.grid: brain` and `channels.frame: midline`, or `detector.target: case`",
        )

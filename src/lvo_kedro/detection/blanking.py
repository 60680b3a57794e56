"""Samples in which a channel says nothing, to see what the network makes of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvo_kedro.detection.channels import neutral
from lvo_kedro.detection.storage import (
    Sample,
    channel_names,
    decode_channels,
    encode_channels,
    sample_grid,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from lvo_kedro.detection.options import ChannelName


def blank_channel(sample: Mapping[str, Tensor], channel: ChannelName) -> Sample:
    """Return a compact sample with one channel at its neutral value everywhere.

    Args:
        sample: As :func:`~lvo_kedro.detection.encode_channels` made it.
        channel: Which one; the others stay as they are.

    Raises:
        CaseError: A channel that the sample does not hold.
    """
    decode_channels(sample, (channel,))  # says so where it is not there
    names, channels = channel_names(sample), decode_channels(sample)
    channels[names.index(channel)] = float(neutral((channel,)))
    return encode_channels(channels, names, sample_grid(sample))

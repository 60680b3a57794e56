"""Streams stored samples to the network: only the current and the next batch are in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lvo_kedro.detection.storage import channel_names, decode_channels, open_sample, sample_grid
from lvo_kedro.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lvo_kedro.detection.options import ChannelName


class SampleReader:
    """Reads samples that share a shape, a spacing and their channels.

    Args:
        samples: File of each case.
        channels: Which to read, in order; None for all that the first sample holds.

    Attributes:
        channels: Names of the channels, in order.
        shape: Voxels along x, y and z.
        spacing_mm: Edge of a voxel (the smallest, where they differ).
    """

    def __init__(
        self, samples: Mapping[str, Path], channels: Sequence[ChannelName] | None = None
    ) -> None:
        if not samples:
            raise CaseError("no samples", "at least one case", "make the channels first")
        self.samples = dict(samples)
        first = open_sample(next(iter(self.samples.values())))
        self.channels: tuple[ChannelName, ...] = tuple(channels or channel_names(first))
        self.shape = sample_grid(first).shape
        self.spacing_mm = min(sample_grid(first).spacing)

    def read(self, case: str) -> Tensor:
        """Return one case's channels, float32 of shape (channel, x, y, z) in [0, 1].

        Raises:
            CaseError: No such sample, or one on another grid or without a channel.
        """
        if case not in self.samples:
            raise CaseError(f"no sample of {case}", "one per case", "make its channels first")
        sample = open_sample(self.samples[case])
        grid = sample_grid(sample)
        if grid.shape != self.shape or abs(min(grid.spacing) - self.spacing_mm) > 1e-3:
            raise CaseError(
                f"{case} on {grid.shape} voxels of {min(grid.spacing):.3f} mm",
                f"{self.shape} voxels of {self.spacing_mm:.3f} mm, as the first case",
                "make all samples with the same channel options",
            )
        return decode_channels(sample, self.channels)

    def batches(self, groups: Sequence[Sequence[str]]) -> Iterator[Tensor]:
        """Yield (case, channel, x, y, z) for every group, reading the next one meanwhile."""
        with ThreadPoolExecutor(max_workers=1) as reader:
            pending = reader.submit(self._stack, groups[0]) if groups else None
            for following in [*groups[1:], None]:
                if pending is None:
                    return
                batch = pending.result()
                pending = reader.submit(self._stack, following) if following else None
                yield batch

    def _stack(self, cases: Sequence[str]) -> Tensor:
        return torch.stack([self.read(case) for case in cases])

    def digest(self, cases: Sequence[str]) -> str:
        """Return a fingerprint of the cases' stored content."""
        whole = blake2b(digest_size=16)
        for case in cases:
            if case not in self.samples:
                raise CaseError(f"no sample of {case}", "one per case", "make its channels first")
            whole.update(case.encode() + b"\0")
            with self.samples[case].open("rb") as file:
                while block := file.read(1 << 20):
                    whole.update(block)
        return whole.hexdigest()


def in_groups(cases: Sequence[str], size: int) -> list[list[str]]:
    """Split ``cases`` in order into groups of nearly the same size, none larger than ``size``."""
    count = -(-len(cases) // size)
    edges = [round(len(cases) * part / max(count, 1)) for part in range(count + 1)]
    return [list(cases[a:b]) for a, b in pairwise(edges)]


def epoch_order(
    cases: Sequence[str], labels: Mapping[str, int], balanced: bool, generator: torch.Generator
) -> list[str]:
    """Return the order of one epoch; ``balanced`` alternates the classes, repeating the rarer."""
    if not balanced:
        return [cases[i] for i in torch.randperm(len(cases), generator=generator).tolist()]
    each = max(1, round(len(cases) / 2))
    drawn = []
    for label in (1, 0):
        members = [case for case in cases if labels[case] == label]
        order: list[str] = []
        while len(order) < each:
            again = torch.randperm(len(members), generator=generator).tolist()
            order += [members[i] for i in again]
        drawn.append(order[:each])
    return [case for pair in zip(*drawn, strict=True) for case in pair]

"""A trained network with what is needed to use it again."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lvo_kedro import __version__
from lvo_kedro.artifacts import replacing, sha256_of, write_json
from lvo_kedro.detection.augmentation import augment
from lvo_kedro.detection.device import pick_device
from lvo_kedro.detection.halves import Network, make_network, target_of
from lvo_kedro.detection.options import AugmentationOptions
from lvo_kedro.detection.outputs import batch_outputs
from lvo_kedro.detection.targets import case_logits
from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lvo_kedro.detection.data import SampleReader
    from lvo_kedro.detection.options import ChannelName
    from lvo_kedro.vocabulary import Target

WEIGHTS, CARD = "model.safetensors", "model.json"

FORMAT = 1
"""Version of the model folder's layout."""


@dataclass(frozen=True)
class Detector:
    """A trained McResNet, of whole cases or of their halves.

    Attributes:
        network: In evaluation mode.
        channels: What it reads, in order.
        shape: Voxels of a sample along x, y and z.
        spacing_mm: Edge of such a voxel.
        card: All of ``model.json``.
    """

    network: Network
    channels: tuple[ChannelName, ...]
    shape: tuple[int, int, int]
    spacing_mm: float
    card: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.network.parameters()).device

    @property
    def target(self) -> Target:
        """What the network answers: one logit, or a utility for each side."""
        return target_of(self.network)

    def score(self, batch: Tensor, flip: bool = True) -> Tensor:
        """Return the logits of a batch.

        Args:
            batch: (case, channel, x, y, z) in [0, 1].
            flip: Average the logit with that of the left-right mirrored case, where they can differ
                (not with ``target: sides``).

        Returns:
            float32 of shape (case,) on the CPU.
        """
        return case_logits(self.outputs(batch, flip))

    def outputs(self, batch: Tensor, flip: bool = True) -> Tensor:
        """Return what the network answers, averaged over the copies that its training asks for.

        Every case gets the same changes, whatever else is in the batch.

        Args:
            batch: (case, channel, x, y, z) in [0, 1].
            flip: As for :meth:`score`.

        Returns:
            float32 of shape (case, 1), the logit, or (case, 2), the utility of each side.
        """
        options = self.card.get("training", {}).get("options", {})
        count = int(options.get("test_copies", 0))
        total = batch_outputs(self.network, batch, flip)
        if count == 0:
            return total
        changes = AugmentationOptions(**options["augmentation"] | {"channel_dropout": 0, "flip": 0})
        for copy in range(count):
            copies = [
                augment(case[None], self.channels, self.spacing_mm, changes, _generator(copy))
                for case in batch
            ]
            total += batch_outputs(self.network, torch.cat(copies), flip)
        return total / (count + 1)

    def check(self, reader: SampleReader) -> None:
        """Raise ModelError where samples do not fit what the network was trained on."""
        same = reader.shape == self.shape and abs(reader.spacing_mm - self.spacing_mm) < 1e-3
        if not same:
            raise ModelError(
                f"samples of {reader.shape} voxels of {reader.spacing_mm:.3f} mm",
                f"{self.shape} voxels of {self.spacing_mm:.3f} mm, as in training",
                "make the samples with the channel options of the training",
            )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def save_detector(
    folder: Path,
    network: Network,
    reader: SampleReader,
    fingerprint: Mapping[str, Any],
    summary: Mapping[str, float],
    *,
    origin: Mapping[str, Any],
) -> None:
    """Write ``model.safetensors`` and, last, ``model.json``, which makes the folder complete.

    ``origin`` says on which scans the network was trained and, if so, what it started from.
    """
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    with replacing(folder / WEIGHTS) as part:
        save_file(weights, str(part))
    card = {
        "format": FORMAT,
        "target": target_of(network),
        "network": {"in_channels": network.in_channels, "base_width": network.base_width},
        "input": {
            "channels": list(reader.channels),
            "shape": list(reader.shape),
            "spacing_mm": reader.spacing_mm,
        },
        "epoch_chosen_on": _chosen_on(fingerprint),
        "summary": dict(summary),
        "versions": {
            "lvo_kedro": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "device": str(next(network.parameters()).device),
        "sha256": sha256_of(folder / WEIGHTS),
        "training": dict(fingerprint),
        **origin,
    }
    write_json(folder / CARD, card)


def _chosen_on(fingerprint: Mapping[str, Any]) -> str:
    if fingerprint["options"]["selection"] == "last":
        return "nothing: a fixed schedule"
    if fingerprint["chosen_on"] == fingerprint["validation"]:
        return "the fold's own validation cases: their scores are optimistic"
    return f"{len(fingerprint['chosen_on'])} cases set aside from the training cases"


def read_card(folder: Path) -> dict[str, Any] | None:
    """Return ``model.json`` if the folder holds a finished training."""
    if not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
        return None
    card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return card


def load_detector(folder: Path, device: str = "auto") -> Detector:
    """Load what :func:`~lvo_kedro.detection.train_fold` left in ``folder``.

    Args:
        folder: With ``model.safetensors`` and ``model.json``.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``...

    Returns:
        The network, ready to score, with what is known of it.

    Raises:
        ModelError: Files missing, changed since training, or of another kind.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> import numpy as np, torch
        >>> from lvo_kedro.detection import TrainingOptions, score_cases, train_fold
        >>> from lvo_kedro.detection import encode_channels, save_sample
        >>> from lvo_kedro.imaging.geometry import Grid
        >>> folder = Path(mkdtemp())
        >>> grid = Grid((16, 16, 16), np.diag([6.0, 6.0, 6.0, 1.0]))
        >>> samples = {name: folder / f"{name}.safetensors" for name in ("a", "b")}
        >>> for path in samples.values():
        ...     save_sample(path, encode_channels(torch.rand(1, 16, 16, 16), ["ncct"], grid))
        >>> quick = TrainingOptions(base_width=1, epochs=1, device="cpu")
        >>> summary = train_fold(folder / "model", samples, {"a": 0, "b": 1}, ["a", "b"], [], quick)
        >>> detector = load_detector(folder / "model", device="cpu")
        >>> detector.channels, detector.shape
        (('ncct',), (16, 16, 16))
        >>> list(score_cases(detector, samples))
        ['a', 'b']
    """
    try:
        card = json.loads((folder / CARD).read_text())
        digest = sha256_of(folder / WEIGHTS)
        if card["format"] != FORMAT or digest != card["sha256"]:
            raise ModelError(
                f"{folder} whose weights are not those that its model.json describes",
                f"sha256 {card['sha256']} and format {FORMAT}",
                "train the fold again, or copy the whole folder again",
            )
        # a card without a target was written when there was one alone
        network = make_network(card.get("target", "case"), **card["network"])
        network.load_state_dict(load_file(str(folder / WEIGHTS)), strict=True)
        x, y, z = card["input"]["shape"]
        detector = Detector(
            network.to(pick_device(device)).to(memory_format=torch.channels_last_3d).eval(),  # type: ignore[call-overload]
            tuple(card["input"]["channels"]),
            (int(x), int(y), int(z)),
            float(card["input"]["spacing_mm"]),
            card,
        )
    except ModelError:
        raise
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError, ValueError) as error:
        raise ModelError(
            f"{folder}, which holds no detector ({type(error).__name__}: {error})",
            f"{WEIGHTS} and {CARD} of one training",
            "train the fold first",
        ) from error
    return detector

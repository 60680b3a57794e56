"""The scores that trained networks give stored cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from lvo_kedro.detection.data import SampleReader, in_groups
from lvo_kedro.detection.detector import Detector
from lvo_kedro.detection.targets import case_logits
from lvo_kedro.errors import ModelError
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lvo_kedro.vocabulary import Side


class Score(NamedTuple):
    """What networks say about a case.

    Attributes:
        logit: Of an occlusion; the mean of the networks' logits.
        sides: Utility of each side, of networks that tell them apart; the mean of theirs.
    """

    logit: float
    sides: dict[Side, float] | None


def score_cases(
    detectors: Detector | Sequence[Detector],
    samples: Mapping[str, Path],
    flip: bool = True,
    batch_size: int = 8,
) -> dict[str, float]:
    """Score stored cases; several detectors give the mean of their logits.

    Args:
        detectors: One (out-of-fold scores) or all folds (external cases).
        samples: File of each case.
        flip: See :meth:`Detector.score`.
        batch_size: Cases per forward pass.

    Returns:
        Logit of each case.

    Raises:
        ModelError: Samples on another grid than in training.
        CaseError: A sample that cannot be read.
    """
    scores = score_sides(detectors, samples, flip, batch_size)
    return {case: score.logit for case, score in scores.items()}


def score_sides(
    detectors: Detector | Sequence[Detector],
    samples: Mapping[str, Path],
    flip: bool = True,
    batch_size: int = 8,
) -> dict[str, Score]:
    """Score stored cases, with the utility of each side where the networks give one.

    Args:
        detectors: One, or several whose means are given.
        samples: File of each case.
        flip: See :meth:`Detector.score`.
        batch_size: Cases per forward pass.

    Returns:
        Score of each case; its sides are None where no network tells them apart.

    Raises:
        ModelError: Samples on another grid than in training.
        CaseError: A sample that cannot be read.
    """
    detectors = [detectors] if isinstance(detectors, Detector) else list(detectors)
    if not samples:
        return {}
    if not detectors:
        raise ModelError("no detectors", "at least one", "train a fold first")
    outputs = []
    for detector in detectors:
        reader = SampleReader(samples, detector.channels)
        detector.check(reader)
        groups = in_groups(list(samples), batch_size)
        given = [detector.outputs(batch, flip) for batch in reader.batches(groups)]
        outputs.append(torch.cat(given))
    logits = torch.stack([case_logits(given) for given in outputs]).double().mean(dim=0)
    told = [given for given in outputs if given.shape[1] == len(SIDES)]
    sides = torch.stack(told).double().mean(dim=0).tolist() if told else [None] * len(samples)
    return {
        case: Score(logit, None if values is None else dict(zip(SIDES, values, strict=True)))
        for case, logit, values in zip(samples, logits.tolist(), sides, strict=True)
    }

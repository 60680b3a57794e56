"""What a training is given: its fold's cases, checked, and the fingerprint of all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from sklearn.model_selection import GroupShuffleSplit

from lvo_kedro.detection.data import SampleReader, epoch_order, in_groups
from lvo_kedro.detection.device import pick_device
from lvo_kedro.detection.halves import (
    require_even,
)
from lvo_kedro.errors import TableError
from lvo_kedro.vocabulary import SIDES
from lvo_kedro.weights.fitting import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lvo_kedro.detection.options import TrainingOptions
    from lvo_kedro.weights.given import Weights


@dataclass
class Fold:
    """What stays the same during the training of a fold.

    ``sides`` are known where the network is to tell them apart, and empty otherwise.
    """

    reader: SampleReader
    labels: Mapping[str, int]
    train: list[str]
    chosen_on: list[str]
    validation: list[str]
    options: TrainingOptions
    device: torch.device
    sides: Mapping[str, str] = field(default_factory=dict)
    start: Weights | None = None

    @property
    def shape(self) -> Shape:
        """What the network is shown; it has no labels."""
        return Shape("detection", None, tuple(self.reader.channels), self.options.target)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        batches = len(self.groups(torch.Generator()))
        return math.ceil(batches / self.options.accumulation)

    def groups(self, generator: torch.Generator) -> list[list[str]]:
        """Draw the batches of one epoch."""
        balanced = self.options.balance == "sample"
        order = epoch_order(self.train, self.labels, balanced, generator)
        return in_groups(order, self.options.batch_size)

    def truth(self, cases: Sequence[str]) -> tuple[list[int], list[str]]:
        """Return labels and sides of cases; a side that is not known is empty."""
        return [self.labels[c] for c in cases], [self.sides.get(c, "") for c in cases]


def prepare_fold(
    samples: Mapping[str, Path],
    labels: Mapping[str, int],
    train: Sequence[str],
    validation: Sequence[str],
    *,
    options: TrainingOptions,
    patients: Mapping[str, str] | None,
    sides: Mapping[str, str] | None,
) -> Fold:
    """Check what :func:`~lvo_kedro.detection.train_fold` was given, whose arguments these are."""
    _check_cases(samples, labels, train, validation)
    learn, inner = list(train), list(validation)
    if options.selection != "last" and options.selection_fraction > 0:
        learn, inner = _inner_split(learn, options, patients)
    if {labels[case] for case in learn} != {0, 1}:
        raise TableError(
            f"training cases of class {sorted({labels[case] for case in learn})}",
            "cases with (1) and without (0) occlusion",
            "stratify the folds or add cases",
        )
    reader = SampleReader(samples, options.channels)
    known: dict[str, str] = {}
    if options.target == "sides":
        require_even(reader.shape[0])
        known = {case: (sides or {}).get(case, "") for case in [*train, *validation]}
        _check_sides(known, labels)
    device = pick_device(options.device)
    return Fold(reader, labels, learn, inner, list(validation), options, device, known)


def _check_cases(
    samples: Mapping[str, Path],
    labels: Mapping[str, int],
    train: Sequence[str],
    validation: Sequence[str],
) -> None:
    used = {*train, *validation}
    unknown = sorted(case for case in used if case not in samples or case not in labels)
    both = sorted(set(train) & set(validation))
    for cases, fault in ((unknown, "without sample or label"), (both, "in both parts")):
        if cases:
            raise TableError(
                f"{len(cases)} cases {fault}: {', '.join(cases[:5])}",
                "training and validation cases apart, each with a sample and a label",
                "check the fold table and the excluded cases",
            )


def _check_sides(sides: Mapping[str, str], labels: Mapping[str, int]) -> None:
    for case, side in sorted(sides.items()):
        if side not in (("", *SIDES) if labels[case] else ("",)):
            raise TableError(
                f"side '{side}' of case {case} with label {labels[case]}",
                f"{' or '.join(SIDES)} of a case with occlusion, or nothing where it is not known; "
                "nothing of a case without",
                "correct the column side of the cohort table",
            )


def _inner_split(
    train: list[str], options: TrainingOptions, patients: Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    """Set aside whole patients of the training cases to choose the epoch on."""
    groups = [patients[case] if patients else case for case in train]
    split = GroupShuffleSplit(1, test_size=options.selection_fraction, random_state=options.seed)
    learn, inner = next(split.split(train, groups=groups))
    return [train[i] for i in learn], [train[i] for i in inner]


def fingerprint_of(fold: Fold) -> dict[str, Any]:
    """Return all that a training's result depends on, by name, for its record."""
    cases = sorted({*fold.train, *fold.chosen_on, *fold.validation})
    labels, sides = fold.truth(cases)
    made: dict[str, Any] = {
        "options": fold.options.model_dump(
            mode="json", exclude=set(fold.options.without_influence)
        ),
        "train": fold.train,
        "chosen_on": fold.chosen_on,
        "validation": fold.validation,
        "labels": [int(label) for label in labels],
        "samples": fold.reader.digest(cases),
    }
    if fold.options.target == "sides":
        made["sides"] = sides
    return made | ({"start": fold.start.identity} if fold.start else {})

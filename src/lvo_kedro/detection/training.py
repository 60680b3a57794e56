"""Training of McResNet on one fold, in plain torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from torch.nn import functional

from lvo_kedro.artifacts import clear_parts, write_rows
from lvo_kedro.detection.checkpoint import CHECKPOINT, refuse_other, resume, save_checkpoint
from lvo_kedro.detection.data import SampleReader
from lvo_kedro.detection.detector import network_logits, read_card, save_detector
from lvo_kedro.detection.device import pick_device
from lvo_kedro.detection.steps import (
    Fold,
    State,
    autocast,
    start_state,
    train_epoch,
    usable_network,
)
from lvo_kedro.errors import TableError
from lvo_kedro.weights.fitting import start_record
from lvo_kedro.weights.given import Start, find_start, read_weights
from lvo_kedro.weights.lineage import trained_on

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lvo_kedro.detection.mcresnet import McResNet
    from lvo_kedro.detection.options import TrainingOptions

HISTORY = "history.csv"


def train_fold(  # noqa: PLR0917
    folder: Path,
    samples: Mapping[str, Path],
    labels: Mapping[str, int],
    train: Sequence[str],
    validation: Sequence[str],
    options: TrainingOptions,
    log: Callable[[Mapping[str, float], int], None] | None = None,
    patients: Mapping[str, str] | None = None,
    *,
    start: Start | None = None,
    scan_hashes: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Train one network; resume where an earlier call with the same inputs was ended.

    Whether a training is out of date is not decided here: a folder with one of other inputs is an
    error.

    Args:
        folder: Gets ``model.safetensors``, ``model.json``, ``history.csv``. Empty, or what the same
            training left there: a finished one is not repeated.
        samples: File of each case (see :mod:`lvo_kedro.detection.storage`).
        labels: 1 with, 0 without large-vessel occlusion.
        train: Cases to learn from. Their vessels must be predictions of networks that had not
            seen them.
        validation: The fold's other cases; watched, and used to choose the epoch only where
            ``options`` say so.
        options: See :class:`~lvo_kedro.detection.TrainingOptions`.
        log: Called with metrics and the epoch after each epoch.
        patients: Patient of each case, for the inner split; by default each case has its own.
        start: Where the weights lie that are started from; by default where the options say.
        scan_hashes: Content hash of each case's scan, which ``model.json`` keeps so that a later
            training from these weights can tell whether its own cases are among them.

    Returns:
        Summary: epochs, chosen_epoch, seconds, samples_per_second, peak_memory_mb, train_loss and,
        with validation cases, validation_loss and validation_auc of the kept weights.

    Raises:
        TableError: Unknown cases, cases on both sides, or a class without cases.
        CaseError: A sample that is missing or unlike the others.
        ModelError: Given weights that cannot be read or do not fit, or a folder with a training of
            other options, cases, labels, samples or given weights.
    """
    fold = _prepare(samples, labels, train, validation, options=options, patients=patients)
    start = start or find_start(options.start_from)
    fold.start = read_weights(start) if start else None
    fingerprint = _fingerprint(fold)
    done = read_card(folder)
    if done is not None:
        refuse_other(folder, done["training"], fingerprint)
        return dict(done["summary"])
    folder.mkdir(parents=True, exist_ok=True)
    clear_parts(folder)
    state = start_state(fold)
    resume(folder, state, fingerprint)
    forward = torch.compile(state.network) if options.compile else state.network
    while state.epoch < options.epochs and not _is_exhausted(state, options):
        record = train_epoch(fold, state, forward)
        if (state.epoch + 1) % options.validate_every == 0 or state.epoch + 1 == options.epochs:
            record |= _look(fold, state)
        state.history.append(record)
        state.epoch += 1
        write_rows(folder / HISTORY, state.history)
        if state.epoch % options.checkpoint_every == 0:
            save_checkpoint(folder, state, fingerprint)
        if log is not None:
            log({key: value for key, value in record.items() if key != "epoch"}, state.epoch - 1)
    return _finish(folder, fold, state, fingerprint, scan_hashes)


def _prepare(
    samples: Mapping[str, Path],
    labels: Mapping[str, int],
    train: Sequence[str],
    validation: Sequence[str],
    *,
    options: TrainingOptions,
    patients: Mapping[str, str] | None,
) -> Fold:
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
    device = pick_device(options.device)
    return Fold(reader, labels, learn, inner, list(validation), options, device)


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


def _inner_split(
    train: list[str], options: TrainingOptions, patients: Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    """Set aside whole patients of the training cases to choose the epoch on."""
    groups = [patients[case] if patients else case for case in train]
    split = GroupShuffleSplit(1, test_size=options.selection_fraction, random_state=options.seed)
    learn, inner = next(split.split(train, groups=groups))
    return [train[i] for i in learn], [train[i] for i in inner]


def _fingerprint(fold: Fold) -> dict[str, Any]:
    cases = sorted({*fold.train, *fold.chosen_on, *fold.validation})
    return {
        "options": fold.options.model_dump(
            mode="json", exclude=set(fold.options.without_influence)
        ),
        "train": fold.train,
        "chosen_on": fold.chosen_on,
        "validation": fold.validation,
        "labels": [int(fold.labels[case]) for case in cases],
        "samples": fold.reader.digest(cases),
    } | ({"start": fold.start.identity} if fold.start else {})


def _look(fold: Fold, state: State) -> dict[str, float]:
    """Score the validation cases, and remember the weights if they are the best so far."""
    candidate = usable_network(fold, state)
    metrics = _measure(fold, candidate, fold.validation, "validation")
    if fold.options.selection == "last" or not fold.chosen_on:
        return metrics
    part = "validation"
    if fold.chosen_on != fold.validation:
        part = "inner"
        metrics |= _measure(fold, candidate, fold.chosen_on, part)
    value = metrics[f"{part}_{fold.options.selection}"]
    _keep_if_best(state, candidate, -value if fold.options.selection == "loss" else value)
    return metrics


def _keep_if_best(state: State, candidate: McResNet, value: float) -> None:
    """Remember the weights where ``value`` is larger than at any look before."""
    if value > state.best:
        state.best, state.best_epoch, state.looks_since = value, state.epoch, 0
        weights = candidate.state_dict()
        state.best_weights = {name: tensor.cpu().clone() for name, tensor in weights.items()}
    else:
        state.looks_since += 1


def _measure(fold: Fold, network: McResNet, cases: Sequence[str], prefix: str) -> dict[str, float]:
    if not cases:
        return {}
    with autocast(fold.device, fold.options.precision):
        logits = network_logits(network, fold.reader, cases, fold.options.batch_size)
    scores = torch.tensor([logits[case] for case in cases])
    target = torch.tensor([float(fold.labels[case]) for case in cases])
    both = len(set(target.tolist())) == 2
    return {
        f"{prefix}_loss": float(functional.binary_cross_entropy_with_logits(scores, target)),
        f"{prefix}_accuracy": float(((scores > 0) == (target > 0)).float().mean()),
        f"{prefix}_auc": float(roc_auc_score(target, scores)) if both else math.nan,
    }


def _is_exhausted(state: State, options: TrainingOptions) -> bool:
    return 0 < options.patience <= state.looks_since


def _finish(
    folder: Path,
    fold: Fold,
    state: State,
    fingerprint: dict[str, Any],
    scan_hashes: Mapping[str, str] | None,
) -> dict[str, float]:
    network = usable_network(fold, state)
    if state.best_weights is not None:
        network.load_state_dict(state.best_weights)
    seconds = sum(record["seconds"] for record in state.history)
    rates = [record["samples_per_second"] for record in state.history]
    summary = {
        "epochs": float(state.epoch),
        "chosen_epoch": float(state.best_epoch if state.best_weights else state.epoch - 1),
        "seconds": seconds,
        "samples_per_second": sum(rates) / len(rates),
        "peak_memory_mb": max(record["peak_memory_mb"] for record in state.history),
        "train_loss": state.history[-1]["train_loss"],
        **_measure(fold, network, fold.validation, "validation"),
    }
    seen = fold.train if fold.options.selection == "last" else [*fold.train, *fold.chosen_on]
    origin: dict[str, Any] = {"trained_on": trained_on(seen, scan_hashes, fold.start)}
    if fold.start is not None:
        origin["start"] = start_record(fold.start, network.state_dict(), fold.shape)
    save_detector(folder, network, fold.reader, fingerprint, summary, origin=origin)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return summary

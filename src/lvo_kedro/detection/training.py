"""Training of McResNet on one fold, in plain torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from sklearn.metrics import roc_auc_score

from lvo_kedro.artifacts import clear_parts, write_rows
from lvo_kedro.detection.checkpoint import CHECKPOINT, refuse_other, resume, save_checkpoint
from lvo_kedro.detection.detector import read_card, save_detector
from lvo_kedro.detection.folds import Fold, fingerprint_of, prepare_fold
from lvo_kedro.detection.outputs import network_outputs
from lvo_kedro.detection.steps import State, autocast, start_state, train_epoch, usable_network
from lvo_kedro.detection.targets import case_logits, chance_loss, loss_of
from lvo_kedro.weights.fitting import start_record
from lvo_kedro.weights.given import Start, find_start, read_weights
from lvo_kedro.weights.lineage import trained_on

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lvo_kedro.detection.halves import Network
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
    sides: Mapping[str, str] | None = None,
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
        sides: ``left`` or ``right`` of cases with occlusion; what is missing or empty is not known.
            Read with ``target: sides`` alone, by whose loss such a case may be on either side.
        start: Where the weights lie that are started from; by default where the options say.
        scan_hashes: Content hash of each case's scan, which ``model.json`` keeps so that a later
            training from these weights can tell whether its own cases are among them.

    Returns:
        Summary: epochs, chosen_epoch, seconds, samples_per_second, peak_memory_mb, train_loss (of
        the last epoch), chance_loss (of the same answer for every training case: what a training
        that does not begin to learn stays at) and, with validation cases, validation_loss and
        validation_auc of the kept weights.

    Raises:
        TableError: Unknown cases, cases in both parts, a class without cases, or an odd side.
        CaseError: A sample that is missing or unlike the others.
        ModelError: Given weights that cannot be read or do not fit, a folder with a training of
            other options, cases, labels, sides, samples or given weights, or samples that have no
            halves (``target: sides``).
    """
    fold = prepare_fold(
        samples, labels, train, validation, options=options, patients=patients, sides=sides
    )
    start = start or find_start(options.start_from)
    fold.start = read_weights(start) if start else None
    fingerprint = fingerprint_of(fold)
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


def _keep_if_best(state: State, candidate: Network, value: float) -> None:
    """Remember the weights where ``value`` is larger than at any look before."""
    if value > state.best:
        state.best, state.best_epoch, state.looks_since = value, state.epoch, 0
        weights = candidate.state_dict()
        state.best_weights = {name: tensor.cpu().clone() for name, tensor in weights.items()}
    else:
        state.looks_since += 1


def _measure(fold: Fold, network: Network, cases: Sequence[str], prefix: str) -> dict[str, float]:
    if not cases:
        return {}
    with autocast(fold.device, fold.options.precision):
        outputs = network_outputs(network, fold.reader, cases, fold.options.batch_size)
    labels, sides = fold.truth(cases)
    scores, target = case_logits(outputs), torch.tensor(labels)
    both = len(set(labels)) == 2
    return {
        f"{prefix}_loss": float(loss_of(outputs, labels, sides)),
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
        "chance_loss": chance_loss(*fold.truth(fold.train), fold.options.balance),
        **_measure(fold, network, fold.validation, "validation"),
    }
    seen = fold.train if fold.options.selection == "last" else [*fold.train, *fold.chosen_on]
    origin: dict[str, Any] = {"trained_on": trained_on(seen, scan_hashes, fold.start)}
    if fold.start is not None:
        origin["start"] = start_record(fold.start, network.state_dict(), fold.shape)
    save_detector(folder, network, fold.reader, fingerprint, summary, origin=origin)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return summary

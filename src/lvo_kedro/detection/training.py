"""Training of McResNet on one fold, in plain torch.

Every epoch seeds its own random numbers from (seed, epoch): a run that was killed and resumed does
exactly what an uninterrupted one does, without storing the state of a generator.
"""

from __future__ import annotations

import copy
import csv
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor, nn
from torch.nn import functional

from lvo_kedro.detection.augmentation import augment
from lvo_kedro.detection.data import SampleReader, epoch_order, in_groups
from lvo_kedro.detection.detector import (
    network_logits,
    peak_memory_mb,
    pick_device,
    read_card,
    save_detector,
)
from lvo_kedro.detection.mcresnet import McResNet
from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lvo_kedro.detection.options import TrainingOptions

CHECKPOINT = "resume.pt"
HISTORY = "history.csv"

Log = "Callable[[Mapping[str, float], int], None]"


@dataclass
class _Fold:
    """What stays the same during the training of a fold."""

    reader: SampleReader
    labels: Mapping[str, int]
    train: list[str]
    chosen_on: list[str]
    validation: list[str]
    options: TrainingOptions
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        drawn = len(epoch_order(self.train, self.labels, self._balanced, torch.Generator()))
        batches = len(in_groups(range(drawn), self.options.batch_size))  # type: ignore[arg-type]
        return math.ceil(batches / self.options.accumulation)

    @property
    def _balanced(self) -> bool:
        return self.options.balance == "sample"

    def groups(self, generator: torch.Generator) -> list[list[str]]:
        order = epoch_order(self.train, self.labels, self._balanced, generator)
        return in_groups(order, self.options.batch_size)


@dataclass
class _State:
    """What changes, and is all that a checkpoint holds."""

    network: McResNet
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: McResNet | None
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    looks_since: int = 0
    best_weights: dict[str, Tensor] | None = None
    history: list[dict[str, float]] = field(default_factory=list)


def train_fold(  # noqa: PLR0917
    folder: Path,
    samples: Mapping[str, Path],
    labels: Mapping[str, int],
    train: Sequence[str],
    validation: Sequence[str],
    options: TrainingOptions,
    log: Callable[[Mapping[str, float], int], None] | None = None,
    patients: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Train one network; resume where an earlier call with the same inputs was ended.

    Args:
        folder: Gets ``model.safetensors``, ``model.json``, ``history.csv``.
        samples: File of each case (see :mod:`lvo_kedro.detection.storage`).
        labels: 1 with, 0 without large-vessel occlusion.
        train: Cases to learn from. Their vessels must be predictions of networks that had not
            seen them.
        validation: The fold's other cases; watched, and used to choose the epoch only where
            ``options`` say so.
        options: See :class:`~lvo_kedro.detection.TrainingOptions`.
        log: Called with metrics and the epoch after each epoch.
        patients: Patient of each case, for the inner split; by default each case has its own.

    Returns:
        Summary: epochs, chosen_epoch, seconds, samples_per_second, peak_memory_mb, train_loss and,
        with validation cases, validation_loss and validation_auc of the kept weights.

    Raises:
        TableError: Unknown cases, cases on both sides, or a class without cases.
        CaseError: A sample that is missing or unlike the others.
    """
    fold = _prepare(samples, labels, train, validation, options=options, patients=patients)
    fingerprint = _fingerprint(fold)
    done = read_card(folder, fingerprint)
    if done is not None:
        return dict(done["summary"])
    folder.mkdir(parents=True, exist_ok=True)
    state = _start(fold)
    _resume(folder, state, fingerprint)
    forward = torch.compile(state.network) if options.compile else state.network
    while state.epoch < options.epochs and not _is_exhausted(state, options):
        record = _train_epoch(fold, state, forward)
        if (state.epoch + 1) % options.validate_every == 0 or state.epoch + 1 == options.epochs:
            record |= _look(fold, state)
        state.history.append(record)
        state.epoch += 1
        _write_history(folder, state.history)
        if state.epoch % options.checkpoint_every == 0:
            _save_checkpoint(folder, state, fingerprint)
        if log is not None:
            log({key: value for key, value in record.items() if key != "epoch"}, state.epoch - 1)
    return _finish(folder, fold, state, fingerprint)


def _prepare(
    samples: Mapping[str, Path],
    labels: Mapping[str, int],
    train: Sequence[str],
    validation: Sequence[str],
    *,
    options: TrainingOptions,
    patients: Mapping[str, str] | None,
) -> _Fold:
    unknown = sorted({*train, *validation} - set(samples) | {*train, *validation} - set(labels))
    both = sorted(set(train) & set(validation))
    for cases, fault in ((unknown, "without sample or label"), (both, "in both parts")):
        if cases:
            raise TableError(
                f"{len(cases)} cases {fault}: {', '.join(cases[:5])}",
                "training and validation cases apart, each with a sample and a label",
                "check the fold table and the excluded cases",
            )
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
    return _Fold(reader, labels, learn, inner, list(validation), options, device)


def _inner_split(
    train: list[str], options: TrainingOptions, patients: Mapping[str, str] | None
) -> tuple[list[str], list[str]]:
    """Set aside whole patients of the training cases to choose the epoch on."""
    groups = [patients[case] if patients else case for case in train]
    split = GroupShuffleSplit(1, test_size=options.selection_fraction, random_state=options.seed)
    learn, inner = next(split.split(train, groups=groups))
    return [train[i] for i in learn], [train[i] for i in inner]


def _fingerprint(fold: _Fold) -> dict[str, Any]:
    cases = sorted({*fold.train, *fold.chosen_on, *fold.validation})
    return {
        "options": fold.options.model_dump(mode="json"),
        "train": fold.train,
        "chosen_on": fold.chosen_on,
        "validation": fold.validation,
        "labels": [int(fold.labels[case]) for case in cases],
        "samples": fold.reader.digest(cases),
    }


def _start(fold: _Fold) -> _State:
    options = fold.options
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = McResNet(len(fold.reader.channels), options.base_width)
    network.recompute = options.recompute
    layout = torch.channels_last_3d if options.channels_last else torch.contiguous_format
    network = network.to(fold.device).to(memory_format=layout)  # type: ignore[call-overload]
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    scaled = options.precision == "float16" and fold.device.type == "cuda"
    average = copy.deepcopy(network) if options.ema_decay else None
    return _State(network, optimizer, torch.amp.GradScaler(enabled=scaled), average)


def learning_rate_at(
    step: int, steps: int, steps_per_epoch: int, options: TrainingOptions
) -> float:
    """Return the learning rate of optimizer step ``step`` (from 0) of ``steps``."""
    if options.schedule == "constant":
        return options.learning_rate
    warm = options.warmup_epochs * steps_per_epoch if options.schedule == "cosine" else 0.3 * steps
    warm = min(warm, steps / 2)
    if step < warm:
        return options.learning_rate * (step + 1) / (warm + 1)
    progress = (step - warm) / max(1.0, steps - warm)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _train_epoch(
    fold: _Fold, state: _State, forward: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    options, began = fold.options, time.perf_counter()
    generator = torch.Generator().manual_seed(options.seed * 1_000_003 + state.epoch + 1)
    groups = fold.groups(generator)
    state.network.train()
    total, steps = 0.0, fold.steps_per_epoch
    with torch.random.fork_rng():
        torch.manual_seed(options.seed * 1_000_003 + state.epoch + 1)  # dropout
        for index, batch in enumerate(fold.reader.batches(groups)):
            loss = _loss(fold, forward, batch, groups[index], generator)
            state.scaler.scale(loss / options.accumulation).backward()
            total += float(loss.detach()) * len(batch)
            if (index + 1) % options.accumulation == 0 or index + 1 == len(groups):
                step = state.epoch * steps + index // options.accumulation
                _step(state, options, step, steps)
    seconds, seen = time.perf_counter() - began, sum(map(len, groups))
    return {
        "epoch": state.epoch,
        "train_loss": total / seen,
        "learning_rate": state.optimizer.param_groups[0]["lr"],
        "samples_per_second": seen / seconds,
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(fold.device),
    }


def _loss(
    fold: _Fold,
    forward: Callable[[Tensor], Tensor],
    batch: Tensor,
    cases: Sequence[str],
    generator: torch.Generator,
) -> Tensor:
    """Return the mean binary cross-entropy of a batch, augmented on the device."""
    options = fold.options
    batch = batch.to(fold.device, non_blocking=True)
    batch = augment(
        batch, fold.reader.channels, fold.reader.spacing_mm, options.augmentation, generator
    )
    if options.channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last_3d)
    target = torch.tensor([float(fold.labels[case]) for case in cases], device=fold.device)
    weight = None
    if options.balance == "weight":
        positive = sum(fold.labels[case] for case in fold.train)
        weight = torch.tensor((len(fold.train) - positive) / positive, device=fold.device)
    with autocast(fold.device, options.precision):
        logits = forward(batch)[:, 0]
    return functional.binary_cross_entropy_with_logits(logits.float(), target, pos_weight=weight)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context of mixed precision; float16 is left to GPUs."""
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    enabled = precision == "bfloat16" or (precision == "float16" and device.type == "cuda")
    return torch.autocast(device.type, dtype=dtype, enabled=enabled)


def _step(state: _State, options: TrainingOptions, step: int, steps_per_epoch: int) -> None:
    rate = learning_rate_at(step, steps_per_epoch * options.epochs, steps_per_epoch, options)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    if options.clip_norm:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), options.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    if state.average is not None:
        _follow(state.average, state.network, min(options.ema_decay, (1 + step) / (10 + step)))


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the running average of the weights towards the weights; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for own, new in zip(average.buffers(), network.buffers(), strict=True):
        own.copy_(new)


def _candidate(fold: _Fold, state: _State) -> McResNet:
    """Return a copy of the weights that would be used if training ended now."""
    network = copy.deepcopy(state.average or state.network)
    if fold.options.refresh_norms:
        _refresh_norms(fold, network)
    return network.eval()


@torch.no_grad()
def _refresh_norms(fold: _Fold, network: McResNet) -> None:
    """Set BatchNorm's statistics to their mean over the training cases, as they are."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    network.train()
    generator = torch.Generator().manual_seed(0)  # mixed, so that no batch is of one class
    order = epoch_order(fold.train, fold.labels, fold.options.balance == "sample", generator)
    with torch.random.fork_rng(), autocast(fold.device, fold.options.precision):
        for batch in fold.reader.batches(in_groups(order, fold.options.batch_size)):
            network(batch.to(fold.device))
    for norm in norms:
        norm.momentum = 0.1


def _look(fold: _Fold, state: _State) -> dict[str, float]:
    """Score the validation cases, and remember the weights if they are the best so far."""
    candidate = _candidate(fold, state)
    metrics = _measure(fold, candidate, fold.validation, "validation")
    if fold.options.selection == "last" or not fold.chosen_on:
        return metrics
    chosen = metrics
    if fold.chosen_on != fold.validation:
        chosen = {**metrics, **_measure(fold, candidate, fold.chosen_on, "inner")}
    prefix = "validation" if fold.chosen_on == fold.validation else "inner"
    value = chosen[f"{prefix}_{fold.options.selection}"]
    value = -value if fold.options.selection == "loss" else value
    if value > state.best:
        state.best, state.best_epoch, state.looks_since = value, state.epoch, 0
        weights = candidate.state_dict()
        state.best_weights = {name: tensor.cpu().clone() for name, tensor in weights.items()}
    else:
        state.looks_since += 1
    return chosen


def _measure(fold: _Fold, network: McResNet, cases: Sequence[str], prefix: str) -> dict[str, float]:
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


def _is_exhausted(state: _State, options: TrainingOptions) -> bool:
    return 0 < options.patience <= state.looks_since


def _write_history(folder: Path, history: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for record in history for name in record))
    with (folder / HISTORY).open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(history)


def _save_checkpoint(folder: Path, state: _State, fingerprint: dict[str, Any]) -> None:
    unfinished = folder / f"{CHECKPOINT}.unfinished"
    content = {name: getattr(state, name) for name in _PLAIN}
    content |= {name: getattr(state, name).state_dict() for name in _STATEFUL}
    content["average"] = None if state.average is None else state.average.state_dict()
    content["fingerprint"] = fingerprint
    torch.save(content, unfinished)
    unfinished.replace(folder / CHECKPOINT)


_PLAIN = ("epoch", "best", "best_epoch", "looks_since", "best_weights", "history")
_STATEFUL = ("network", "optimizer", "scaler")


def _resume(folder: Path, state: _State, fingerprint: dict[str, Any]) -> None:
    """Take over the checkpoint in ``folder``, if it is one of the same training."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content["fingerprint"] != fingerprint:
        return
    for name in _PLAIN:
        setattr(state, name, content[name])
    for name in _STATEFUL:
        getattr(state, name).load_state_dict(content[name])
    if state.average is not None:
        state.average.load_state_dict(content["average"])


def _finish(
    folder: Path, fold: _Fold, state: _State, fingerprint: dict[str, Any]
) -> dict[str, float]:
    network = _candidate(fold, state)
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
    save_detector(folder, network, fold.reader, fingerprint, summary)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return summary

"""One epoch of training: batches, loss, optimizer step, running average of the weights.

Every epoch seeds its own random numbers from (seed, epoch), so that an epoch does the same whether
or not the run was stopped before it.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, update_bn

from lvo_kedro.detection.augmentation import augment
from lvo_kedro.detection.device import peak_memory_mb
from lvo_kedro.detection.halves import Network, SidesNetwork, make_network
from lvo_kedro.detection.targets import loss_of, positive_weight
from lvo_kedro.weights.fitting import put_into

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lvo_kedro.detection.folds import Fold
    from lvo_kedro.detection.options import TrainingOptions


@dataclass
class State:
    """What changes, and is all that a checkpoint holds."""

    network: Network
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: AveragedModel | None
    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    looks_since: int = 0
    best_weights: dict[str, Tensor] | None = None
    history: list[dict[str, float]] = field(default_factory=list)


def start_state(fold: Fold) -> State:
    """Return a network with its optimizer, as the seed and given weights decide."""
    options = fold.options
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = make_network(
            options.target,
            len(fold.reader.channels),
            options.base_width,
            options.zero_init_residual,
        )
    if fold.start is not None:
        put_into(network, fold.start, fold.shape)
    inner = network.mcresnet if isinstance(network, SidesNetwork) else network
    inner.recompute = options.recompute
    layout = torch.channels_last_3d if options.channels_last else torch.contiguous_format
    network = network.to(fold.device).to(memory_format=layout)  # type: ignore[call-overload]
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    scaled = options.precision == "float16" and fold.device.type == "cuda"
    average = _running_average(network, options.ema_decay) if options.ema_decay else None
    return State(network, optimizer, torch.amp.GradScaler(enabled=scaled), average)


def learning_rate_at(
    step: int, steps: int, steps_per_epoch: int, options: TrainingOptions
) -> float:
    """Return the learning rate of optimizer step ``step`` (from 0) of ``steps``.

    ``cosine`` is torch's ``LinearLR`` and then ``CosineAnnealingLR``. Here it is a function of the
    step alone, so that a checkpoint has no state of it; torch's ``OneCycleLR`` has one shape for
    rise and fall, ours rises in a line.
    """
    if options.schedule == "constant":
        return options.learning_rate
    warm = options.warmup_epochs * steps_per_epoch if options.schedule == "cosine" else 0.3 * steps
    warm = min(warm, steps / 2)
    if step < warm:
        return options.learning_rate * (step + 1) / (warm + 1)
    progress = (step - warm) / max(1.0, steps - warm)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def train_epoch(fold: Fold, state: State, forward: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Train for one epoch; ``forward`` is the network, perhaps compiled. Returns its metrics."""
    options, began = fold.options, time.perf_counter()
    seed = options.seed * 1_000_003 + state.epoch + 1
    generator = torch.Generator().manual_seed(seed)  # order and augmentation
    groups = fold.groups(generator)
    state.network.train()
    total, steps = torch.zeros((), device=fold.device), fold.steps_per_epoch
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # dropout
        for index, batch in enumerate(fold.reader.batches(groups)):
            loss = _loss(fold, forward, batch, groups[index], generator)
            state.scaler.scale(loss / options.accumulation).backward()
            total += loss.detach() * len(batch)
            if (index + 1) % options.accumulation == 0 or index + 1 == len(groups):
                step = state.epoch * steps + index // options.accumulation
                _step(state, options, step, steps)
    seen = sum(map(len, groups))
    mean_loss = float(total) / seen  # waits for the device, whose work the seconds are to count
    seconds = time.perf_counter() - began
    return {
        "epoch": state.epoch,
        "train_loss": mean_loss,
        "learning_rate": state.optimizer.param_groups[0]["lr"],
        "samples_per_second": seen / seconds,
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(fold.device),
    }


def _loss(
    fold: Fold,
    forward: Callable[[Tensor], Tensor],
    batch: Tensor,
    cases: Sequence[str],
    generator: torch.Generator,
) -> Tensor:
    """Return the mean cross-entropy of a batch, augmented on the device."""
    options = fold.options
    batch = batch.to(fold.device, non_blocking=True)
    batch = augment(
        batch, fold.reader.channels, fold.reader.spacing_mm, options.augmentation, generator
    )
    if options.channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last_3d)
    weight = None
    if options.balance == "weight":
        weight = positive_weight(fold.truth(fold.train)[0])
    with autocast(fold.device, options.precision):
        outputs = forward(batch)
    return loss_of(outputs, *fold.truth(cases), weight)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context of mixed precision, which is left to GPUs.

    On a CPU (torch 2.13, oneDNN) bfloat16 weight gradients of 3D convolutions read uninitialised
    memory where the map is smaller than the kernel, as it is in the last layers: training there
    now and then ended in NaN.
    """
    dtype = torch.float16 if precision == "float16" else torch.bfloat16
    enabled = precision != "float32" and device.type != "cpu"
    return torch.autocast(device.type, dtype=dtype, enabled=enabled)


def _step(state: State, options: TrainingOptions, step: int, steps_per_epoch: int) -> None:
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
        state.average.update_parameters(state.network)


def _running_average(network: Network, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights that starts at the network's own.

    After n steps it moves by 1 - n / (9 + n) until that is ``decay``: early weights are forgotten.
    """

    @torch.no_grad()
    def follow(average: PARAM_LIST, weights: PARAM_LIST, count: Tensor | int) -> None:
        steps = int(count)
        torch._foreach_lerp_(average, weights, 1 - min(decay, steps / (9 + steps)))

    average = AveragedModel(network, multi_avg_fn=follow)
    average.update_parameters(network)  # the first call copies
    return average


def usable_network(fold: Fold, state: State) -> Network:
    """Return a copy of the weights that would be used if training ended now."""
    kept = state.network if state.average is None else state.average.module
    network = cast("Network", copy.deepcopy(kept))
    if fold.options.refresh_norms:
        _refresh_norms(fold, network)
    return network.eval()


def _refresh_norms(fold: Fold, network: Network) -> None:
    """Set BatchNorm's statistics to their mean over the training cases, as they are."""
    generator = torch.Generator().manual_seed(0)  # mixed, so that no batch is of one class
    batches = fold.reader.batches(fold.groups(generator))
    with torch.random.fork_rng(), autocast(fold.device, fold.options.precision):
        update_bn(batches, network, device=fold.device)

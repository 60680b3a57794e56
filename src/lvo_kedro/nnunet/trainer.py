"""nnU-Net's trainer, with settings from :class:`NnUNetOptions` and reports to a callable."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from lvo_kedro.artifacts import replacing
from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet.acceleration.network import cpu_autocast, to_channels_last
from lvo_kedro.nnunet.augmentation import axes_to_mirror, quick_transforms
from lvo_kedro.nnunet.environment import device_name, seed_everything
from lvo_kedro.nnunet.history import history_row
from lvo_kedro.weights.fitting import Shape, put_into
from lvo_kedro.weights.given import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lvo_kedro.nnunet.options import NnUNetOptions
    from lvo_kedro.weights.given import Weights

    Log = Callable[[Mapping[str, float], int], None]

logger = logging.getLogger(__name__)

LATEST = "checkpoint_latest.pth"
FINAL = "checkpoint_final.pth"
_WARM_UP = 0.15
"""Share of a one-cycle schedule in which the learning rate rises."""


class FoldTrainer(nnUNetTrainer):
    """Trains one fold; every epoch is seeded by itself, so that a resumed training is the same.

    nnU-Net inspects ``__init__``, so that the options come afterwards, by :meth:`configure`.
    """

    options: NnUNetOptions
    report: Callable[[Mapping[str, float], int], None]
    history: list[dict[str, float]]
    start: Weights | None

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cpu"),
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)

    def configure(
        self, options: NnUNetOptions, model_folder: Path, report: Log, start: Weights | None = None
    ) -> None:
        """Take over options, the folder to be kept, the receiver of metrics and given weights."""
        self.options, self.report, self.history, self.start = options, report, [], start
        self.device = torch.device(device_name(options))
        self.output_folder_base = str(model_folder)
        self.output_folder = str(model_folder / f"fold_{self.fold}")
        Path(self.output_folder).mkdir(parents=True, exist_ok=True)
        self.num_epochs = options.epochs
        self.num_iterations_per_epoch = options.iterations_per_epoch
        self.num_val_iterations_per_epoch = options.validation_iterations
        self.initial_lr = options.learning_rate
        self.weight_decay = options.weight_decay
        self.oversample_foreground_percent = options.foreground_oversampling
        self.enable_deep_supervision = options.deep_supervision
        self.save_every = options.checkpoint_every

    def initialize(self) -> None:
        """Build network, loss and optimizer from a seeded start, or from given weights."""
        seed_everything(self.options.seed, self.fold)
        super().initialize()
        if self.start is not None:
            put_into(self._bare_network, self.start, shape_of(self.dataset_json))
        if self.options.accelerate and self.device.type == "cpu":
            to_channels_last(self.network)
        if self.options.background_weight != 1:
            loss: Any = getattr(self.loss, "loss", self.loss)  # inside deep supervision's wrapper
            weight = torch.ones(self.label_manager.num_segmentation_heads, device=self.device)
            weight[0] = self.options.background_weight
            loss.ce.weight = weight

    @property
    def _bare_network(self) -> torch.nn.Module:
        """The network as such, neither distributed nor compiled."""
        network: Any = getattr(self.network, "module", self.network)
        bare: torch.nn.Module = getattr(network, "_orig_mod", network)
        return bare

    def _do_i_compile(self) -> bool:
        return self.options.compile and self.device.type == "cuda"

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        """Return nnU-Net's optimizer, or AdamW; nnU-Net's schedule, or one cycle."""
        optimizer, scheduler = super().configure_optimizers()
        if self.options.optimizer == "adamw":
            optimizer = torch.optim.AdamW(
                self.network.parameters(), self.initial_lr, weight_decay=self.weight_decay
            )
            scheduler.optimizer = optimizer
        return optimizer, scheduler

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(
        self,
    ) -> tuple[Any, bool, Any, tuple[int, ...]]:
        """Restrict mirroring; without rotation no larger patch has to be cut."""
        rotation, flat, initial, axes = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        self.inference_allowed_mirroring_axes = axes
        if self.options.augmentation != "full":
            initial = self.configuration_manager.patch_size
        transpose = self.plans_manager.transpose_forward
        axes = axes_to_mirror(self.options.mirror_training, transpose, axes)
        return rotation, flat, initial, axes

    def get_training_transforms(
        self,
        patch_size: Any,
        rotation_for_DA: Any,
        deep_supervision_scales: Any,
        mirror_axes: tuple[int, ...],
        *rest: Any,
        **named: Any,
    ) -> Any:
        """Return nnU-Net's augmentation, or the part of it that costs little time."""
        if self.options.augmentation == "full":
            return nnUNetTrainer.get_training_transforms(
                patch_size, rotation_for_DA, deep_supervision_scales, mirror_axes, *rest, **named
            )
        light = self.options.augmentation == "light"
        return quick_transforms(mirror_axes, deep_supervision_scales, light=light)

    def on_train_epoch_start(self) -> None:
        """Seed the epoch and set nnU-Net's learning rate."""
        seed_everything(self.options.seed, self.fold, self.current_epoch)
        self._iteration = self.current_epoch * self.num_iterations_per_epoch
        super().on_train_epoch_start()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Train on one batch; one-cycle learning rates change from batch to batch."""
        if self.options.schedule == "one_cycle":
            total = self.num_epochs * self.num_iterations_per_epoch
            rate = self.initial_lr * one_cycle(self._iteration / total)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        self._iteration += 1
        with cpu_autocast(self.device, self.options):
            return dict(super().train_step(batch))

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Validate on one batch."""
        with cpu_autocast(self.device, self.options):
            return dict(super().validation_step(batch))

    def on_epoch_end(self) -> None:
        """Write a row of history, report it, and save a checkpoint from time to time."""
        self.logger.log("epoch_end_timestamps", time.time(), self.current_epoch)
        row = history_row(self)
        if not math.isfinite(row["train_loss"]):
            raise ModelError(
                f"a loss of {row['train_loss']} in epoch {self.current_epoch + 1}",
                "a finite loss",
                "lower learning_rate, or set precision to float32 on a CPU",
            )
        self.history.append(row)
        last = self.current_epoch == self.num_epochs - 1
        if (self.current_epoch + 1) % self.save_every == 0 and not last:
            self.save_checkpoint(str(Path(self.output_folder) / LATEST))
        logger.debug(
            "fold %d, epoch %d of %d: loss %.3f, validation %.3f, Dice %.3f, %.0f s left",
            *(self.fold, self.current_epoch + 1, self.num_epochs, row["train_loss"]),
            *(row["validation_loss"], row["pseudo_dice"], row["seconds_left"]),
        )
        self.report(row, self.current_epoch)
        self.current_epoch += 1

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint of tensors and plain values only, never a half one."""
        checkpoint = {
            "network_weights": self._bare_network.state_dict(),
            "current_epoch": self.current_epoch + 1,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
            # so that nnU-Net's own commands find the architecture
            "trainer_name": nnUNetTrainer.__name__,
            "init_args": {"configuration": self.configuration_name, "fold": self.fold},
        }
        if not filename.endswith(FINAL):
            checkpoint |= {
                "optimizer_state": self.optimizer.state_dict(),
                "grad_scaler_state": self.grad_scaler and self.grad_scaler.state_dict(),
                "logging": json.loads(json.dumps(self.logger.get_checkpoint(), default=float)),
                "history": self.history,
            }
        with replacing(Path(filename)) as part:
            torch.save(checkpoint, part)

    def load_checkpoint(self, filename_or_checkpoint: str | dict[str, Any]) -> None:
        """Go on from a checkpoint that :meth:`save_checkpoint` wrote."""
        if not self.was_initialized:
            self.initialize()
        checkpoint = filename_or_checkpoint
        if not isinstance(checkpoint, dict):
            checkpoint = torch.load(checkpoint, map_location=self.device, weights_only=True)
        self._bare_network.load_state_dict(checkpoint["network_weights"])
        self.optimizer.load_state_dict(checkpoint["optimizer_state"])
        if self.grad_scaler is not None and checkpoint["grad_scaler_state"]:
            self.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
        self.logger.load_checkpoint(checkpoint["logging"])
        self.history = checkpoint["history"]
        self.current_epoch = checkpoint["current_epoch"]

    def print_to_log_file(self, *args: Any, **_: Any) -> None:
        """Send nnU-Net's messages to the log."""
        logger.debug(" ".join(str(a) for a in args).strip())

    def plot_network_architecture(self) -> None:
        """Draw nothing: nnU-Net's drawing needs a package that no longer works."""

    def _save_debug_information(self) -> None:
        """Write nothing: the manifest has what matters, and host names are nobody's business."""


def shape_of(dataset_json: Mapping[str, Any]) -> Shape:
    """Return what a network is shown and answers, from nnU-Net's description of a dataset."""
    labels, channels = names_of(dataset_json)
    return Shape("segmentation", labels, channels)


def one_cycle(progress: float) -> float:
    """Return the share of the highest learning rate at a progress from 0 to 1."""
    if progress < _WARM_UP:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / _WARM_UP))
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))

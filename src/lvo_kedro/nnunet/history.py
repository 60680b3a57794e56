"""What is known of every epoch, as ``history.csv`` in the model folder."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from lvo_kedro.nnunet.trainer import FoldTrainer

HISTORY = "history.csv"


def history_row(trainer: FoldTrainer) -> dict[str, float]:
    """Return what an epoch that has just ended gave: losses, Dice, rate, seconds (also left)."""

    def last(name: str) -> Any:
        return trainer.logger.get_value(name, step=-1)

    seconds = float(last("epoch_end_timestamps") - last("epoch_start_timestamps"))
    names = [n for n in trainer.dataset_json["labels"] if n != "background"]
    per_label = zip(names, last("dice_per_class_or_region"), strict=True)
    dice = {f"dice_{name}": _finite(value) for name, value in per_label}
    done = [row["seconds"] for row in trainer.history[-9:]] + [seconds]
    return {
        "epoch": float(trainer.current_epoch),
        "iterations": float((trainer.current_epoch + 1) * trainer.num_iterations_per_epoch),
        "train_loss": float(last("train_losses")),
        "validation_loss": float(last("val_losses")),
        "pseudo_dice": _finite(last("mean_fg_dice")),
        **dice,
        "learning_rate": float(trainer.optimizer.param_groups[0]["lr"]),
        "seconds": seconds,
        "seconds_left": (trainer.num_epochs - 1 - trainer.current_epoch) * float(np.mean(done)),
    }


def read_history(path: Path) -> list[dict[str, float]]:
    """Read one row per epoch."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _finite(value: Any) -> float:
    return float(np.nan_to_num(value, nan=0.0))

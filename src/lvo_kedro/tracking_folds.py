"""The folds of a run: the live curves of each, and in the end its model.

The science code is handed a callable ``log(metrics, step)``; :class:`FoldLog` is that callable.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro import progress
from lvo_kedro.tracking_calls import describe_file
from lvo_kedro.tracking_run import Recorder, current_run

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLD = (("pseudo_dice", "Dice"), ("validation_auc", "AUC"), ("train_loss", "loss"))
"""Metrics of an epoch, of which its line of the log shows the first that is there, by this name."""
MODEL_CARD = "model.json"
"""Of a detector alone, which MLflow then can load."""


class FoldLog:
    """Follows one fold's training: tells its epochs, and logs its curves to a child run.

    It may be sent to another process: it logs to the run that was open where it was made, and
    to nothing where there was none.

    Args:
        stage: What is trained, such as ``vessel_models``.
        fold: Its name, such as ``fold_0``.
        epochs: How many it trains for.
    """

    fingerprint = None  # watching a training does not change it

    def __init__(self, stage: str, fold: str, epochs: int) -> None:
        self.stage, self.fold, self.epochs = stage, fold, epochs
        run = current_run()
        self._recorder = Recorder(run.place) if run else None

    def __call__(self, metrics: Mapping[str, float], step: int) -> None:
        """Tell and log ``metrics`` of the given epoch, counted from 0."""
        shown = [f"{word} {metrics[name]:.2f}" for name, word in TOLD if name in metrics]
        progress.tell(step + 1, self.epochs, "".join(shown[:1]))
        if self._recorder:
            self._recorder.metrics(metrics, step, f"{self.stage}.{self.fold}")


def log_fold(run: Recorder, fold: str, folder: Path, patterns: tuple[str, ...]) -> None:
    """Complete a fold's child run: its whole history and a copy of its model files.

    Args:
        run: The run above it.
        fold: Stage and name, such as ``detectors.fold_0``.
        folder: Of its model.
        patterns: Names of the files that are copied.
    """
    history = folder / "history.csv"
    if history.is_file():  # trained in an earlier run: its curves are shown again
        run.write("history", fold, numbers=_rows(pd.read_csv(history)))
    for file in sorted({f for pattern in patterns for f in folder.rglob(pattern)}):
        if not file.name.startswith("."):
            place = Path("model") / file.parent.relative_to(folder)
            run.write("artifact", fold, **describe_file(file, place.as_posix()))
    if (folder / MODEL_CARD).is_file():
        run.write("signature", fold, path=str(folder))
    run.write("end", fold, status="FINISHED")


def _rows(history: pd.DataFrame) -> list[tuple[str, float, int, int]]:
    """Return curves, one row per epoch with its first column as the step, metric by metric."""
    steps = history.iloc[:, 0].astype(int)
    numbers = history.iloc[:, 1:].select_dtypes("number")
    return [
        (name, float(value), 0, int(step))
        for name in numbers
        for step, value in zip(steps, numbers[name], strict=True)
        if pd.notna(value)
    ]

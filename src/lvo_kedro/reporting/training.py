"""How the detectors' training went, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.style import CYCLE, INK, MUTED, empty_figure, new_row, style

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure


def plot_training(history: pd.DataFrame, title: str = "Training") -> Figure:
    """Loss and validation curves, a thin line per fold and the mean over folds.

    Args:
        history: Long: metric, step, value, and fold. Wide histories are brought to this form by
            :func:`long_history`.
        title: Above the figure.

    Returns:
        The figure, one axes per metric.
    """
    table = history.dropna(subset=["value"])
    metrics = list(dict.fromkeys(table["metric"]))
    if not metrics:
        return empty_figure("no training history")
    with style():
        figure, grid = new_row(len(metrics), 3.4 * len(metrics) + 0.6, 3.1)
        for axes, metric in zip(grid, metrics, strict=True):
            part = table.loc[table["metric"] == metric]
            for index, (fold, curve) in enumerate(part.groupby("fold")):
                colour = CYCLE[index % len(CYCLE)]
                steps = curve.sort_values("step")
                axes.plot(steps["step"], steps["value"], color=colour, lw=1, label=f"fold {fold}")
            mean = part.groupby("step")["value"].mean()
            axes.plot(mean.index, mean, color=INK, lw=1.8, label="mean")
            axes.set(xlabel="Epoch", title=w.words(metric))
        grid[-1].legend()
        figure.suptitle(title, x=0.01, ha="left", color=MUTED, size=10)
    return figure


def long_history(
    histories: Mapping[int, pd.DataFrame], metrics: tuple[str, ...], step: str = "epoch"
) -> pd.DataFrame:
    """Bring one wide history per fold into the form that :func:`plot_training` takes.

    Args:
        histories: Fold to a table with one row per epoch.
        metrics: Columns to keep, where they exist.
        step: Column of the epoch.

    Returns:
        Columns fold, step, metric, value.
    """
    parts = [pd.DataFrame(columns=["fold", "step", "metric", "value"])]
    for fold, table in histories.items():
        kept = [name for name in metrics if name in table]
        long = table.melt(id_vars=[step], value_vars=kept, var_name="metric")
        parts.append(long.rename(columns={step: "step"}).assign(fold=fold))
    return pd.concat([part for part in parts[1:] if not part.empty] or parts, ignore_index=True)

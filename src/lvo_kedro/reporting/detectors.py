"""The detectors side by side: a table, a figure, and whose score everything else is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro.evaluation.methods import CHOSEN
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.breakdowns import Tables, forest_limits, forest_row
from lvo_kedro.reporting.style import empty_figure, new_figure, style
from lvo_kedro.reporting.views import TableView, metric_rows, wide_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from lvo_kedro.reporting.content import SplitTables

METRICS = {
    "auc": "AUC",
    "auc_difference": "AUC minus that of McResNet",
    "likely_side_accuracy": "Likelier side is the occluded one",
}


def plot_detectors(detection: Tables, title: str = "") -> Figure:
    """Forest plot of the areas: one line per detector, a diamond where its score counts.

    Args:
        detection: Table methods.
        title: Above the axes.

    Returns:
        The figure.
    """
    table = methods_of(detection)
    rows = table[(table["metric"] == "auc") & (table["segment"] == "all")].to_dict("records")
    if not rows:
        return empty_figure("no detectors")
    with style():
        figure, axes = new_figure(6.4, 0.9 + 0.3 * len(rows))
        for place, row in enumerate(rows):
            label = f"{w.DETECTORS[row['by']]} (n = {int(row['n'])})"
            forest_row(axes, place, row, label, main=row["chosen"] == CHOSEN)
        axes.set(ylim=(len(rows) - 0.4, -0.6), yticks=[], title=title or "AUC by detector")
        axes.set_xlim(forest_limits(rows))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
    return figure


def detector_tables(split: SplitTables, here: Callable[[str], str]) -> dict[str, TableView]:
    """Return the tables of the detectors: over all occlusions, and by segment.

    Args:
        split: An evaluated set; without the table ``methods`` there is nothing to show.
        here: Gives the file of a table.
    """
    table = methods_of(split.detection)
    if table.empty:
        return {}
    marked = [
        w.DETECTORS[name] + (" (its score counts)" if chosen == CHOSEN else "")
        for name, chosen in zip(table["by"], table["chosen"], strict=True)
    ]
    table = table.assign(by=marked)
    overall = table[table["segment"] == "all"]
    overall = overall.assign(metric=overall["metric"].map(METRICS))
    parts = table[table["segment"] != "all"]
    parts = parts.assign(metric=parts["by"])
    title, columns = f"Detectors, {split.name}", list(dict.fromkeys(marked))
    by_segment = wide_view(
        parts,
        f"AUC by segment, {split.name}",
        ["segment"],
        columns,
        here("methods"),
        extra="remark",
        folded=True,
    )
    return {
        "detectors": metric_rows(overall, title, ["by"], here("methods")),
        "detectors_by_segment": by_segment,
    }


def chosen_detector(split: SplitTables) -> str:
    """Return the method whose score counts, such as ``sides``; empty where that is not recorded.

    Args:
        split: An evaluated set.
    """
    table = methods_of(split.detection)
    return "".join(table.loc[table["chosen"] == CHOSEN, "by"].head(1))


def methods_of(detection: Tables) -> pd.DataFrame:
    """Return the table of the methods, which reports of earlier runs lack."""
    columns = ["by", "chosen", "segment", "metric"]
    return detection.get("methods", pd.DataFrame(columns=columns, dtype=str))

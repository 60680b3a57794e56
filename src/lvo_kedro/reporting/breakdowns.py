"""Plots of parts: subgroups, confusion matrix, vessels, cohort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from lvo_kedro.evaluation.subgroups import TOO_FEW
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    SKY,
    VERMILION,
    empty_figure,
    new_figure,
    new_row,
    style,
)
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Tables = Mapping[str, pd.DataFrame]
NO_CALL = "none"
MEASURED = ("age", "slice_thickness_mm", "nihss")
"""Columns of the cohort that are drawn as a histogram; a site's number is a name."""


def plot_subgroups(detection: Tables, metric: str = "auc", title: str = "") -> Figure:
    """Forest plot: one line per subgroup level, those with too few cases drawn hollow.

    Args:
        detection: Table subgroups.
        metric: ``auc``, ``sensitivity`` or ``specificity``.
        title: Above the axes; the metric's name where empty.

    Returns:
        The figure.
    """
    table = detection["subgroups"]
    rows = table.loc[(table["metric"] == metric)].to_dict("records")
    if not rows:
        return empty_figure("no subgroups")
    lines = _forest_lines(rows)
    count = len(lines)
    with style():
        figure, axes = new_figure(6.4, 0.9 + 0.26 * count)
        overall = rows[0]["value"]
        axes.axvline(overall, color=MUTED, lw=0.9, ls=(0, (4, 4)))
        for place, (label, row) in enumerate(lines):
            if row is None:
                axes.text(
                    -0.02,
                    place,
                    label,
                    transform=axes.get_yaxis_transform(),
                    ha="right",
                    va="center",
                    weight="bold",
                    size=8.5,
                )
                continue
            forest_row(axes, place, row, label, main=row["subgroup"] == "all")
        axes.set(ylim=(count - 0.4, -0.6), yticks=[], title=title or w.words(metric))
        axes.set_xlim(forest_limits(rows))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
    return figure


def _forest_lines(rows: list[dict[str, object]]) -> list[tuple[str, dict[str, object] | None]]:
    """Labels in order; a heading (without a row) before the levels of each subgroup."""
    lines: list[tuple[str, dict[str, object] | None]] = []
    for row in rows:
        if row["subgroup"] == "all":
            lines.append((f"All cases (n = {row['n']})", row))
            continue
        if not any(label == row["title"] and there is None for label, there in lines):
            lines.append((str(row["title"]), None))
        lines.append((f"{row['level']} (n = {row['n']})", row))
    return lines


def forest_row(
    axes: Axes, place: int, row: Mapping[str, object], label: str, *, main: bool
) -> None:
    """Draw one line of a forest plot: label, interval, mark, and the estimate in words.

    Args:
        axes: Where.
        place: Line, from the top.
        row: Tidy row; a remark that cases are too few makes the mark hollow.
        label: On the left.
        main: A diamond instead of a circle.
    """
    sides = axes.get_yaxis_transform()
    axes.text(-0.02, place, label, transform=sides, ha="right", va="center", size=8.5)
    value, low, high = (float(str(row[key])) for key in ("value", "low", "high"))
    few = str(row.get("remark", "")).startswith(TOO_FEW)
    text = w.with_interval(row) + ("  (few)" if few else "")
    if np.isfinite(value):
        colour = MUTED if few else BLUE
        axes.plot([low, high], [place, place], color=colour, lw=1.4, solid_capstyle="butt")
        shape, size = ("D", 6.5) if main else ("o", 5)
        face = "white" if few else colour
        axes.plot(value, place, shape, ms=size, color=colour, mfc=face)
    ink = MUTED if few or not np.isfinite(value) else INK
    axes.text(1.02, place, text, transform=sides, va="center", size=8, color=ink)


def forest_limits(rows: list[dict[str, object]]) -> tuple[float, float]:
    """Return the ends of a forest plot's axis: 1, and below all intervals."""
    lows = [float(str(row["low"])) for row in rows]
    finite = [low for low in lows if np.isfinite(low)]
    return (max(0.0, min([*finite, 0.5]) - 0.05), 1.02)


def plot_confusion(
    localization: Tables, scope: str = "end_to_end", operating_point: str = "", title: str = ""
) -> Figure:
    """Confusion matrix of the five classes, with what was not named in a column of its own.

    Args:
        localization: Table confusion.
        scope: ``end_to_end``, ``given_detection`` or ``all_lvo``.
        operating_point: Which one; the first of the scope where empty.
        title: Above the axes.

    Returns:
        The figure: counts, shaded by the share of the true class.
    """
    table = localization["confusion"]
    part = table.loc[table["scope"] == scope]
    points = list(dict.fromkeys(part["operating_point"].fillna("")))
    if not points:
        return empty_figure("no localization")
    chosen = operating_point if operating_point in points else points[0]
    part = part.loc[part["operating_point"].fillna("") == chosen]
    columns = [*SEGMENT_CLASSES, NO_CALL]
    matrix = part.pivot_table(index="truth", columns="called", values="count", aggfunc="sum")
    counts = (
        matrix.reindex(index=list(SEGMENT_CLASSES), columns=columns).fillna(0).to_numpy(dtype=float)
    )
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    with style():
        figure, axes = new_figure(5.4, 4.4)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        for row, column in np.ndindex(*counts.shape):
            shown = int(counts[row, column])
            colour = "white" if shares[row, column] > 0.55 else (INK if shown else FAINT)
            weight = "bold" if row == column else "normal"
            axes.text(
                column, row, str(shown), ha="center", va="center", color=colour, weight=weight
            )
        axes.axvline(len(SEGMENT_CLASSES) - 0.5, color=MUTED, lw=1)
        missed = "none or\nnot detected" if scope == "end_to_end" else "none or\nimpossible"
        axes.set_xticks(range(len(columns)), [*SEGMENT_CLASSES, missed])
        labels = [
            f"{name} (n = {int(n)})" for name, n in zip(SEGMENT_CLASSES, totals[:, 0], strict=True)
        ]
        axes.set_yticks(range(len(labels)), labels)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.set(xlabel="Named segment", ylabel="True segment", title=title or w.words(scope))
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def plot_vessels(vessels: pd.DataFrame, metric: str = "dice", title: str = "") -> Figure:
    """Mean of a vessel metric by label with its interval, and the quartiles over cases.

    Args:
        vessels: Table of :func:`lvo_kedro.evaluation.evaluate_vessels`.
        metric: Such as ``dice``.
        title: Above the axes.

    Returns:
        The figure, one row per split and label.
    """
    table = vessels.loc[(vessels["metric"] == metric) & vessels["value"].notna()]
    if table.empty:
        return empty_figure("no vessel metrics")
    order = {label: place for place, label in enumerate(dict.fromkeys(table["label"]))}
    table = table.sort_values("label", key=lambda labels: labels.map(order), kind="stable")
    with style():
        figure, axes = new_figure(5.4, 0.9 + 0.3 * len(table))
        for place, row in enumerate(table.to_dict("records")):
            colour = BLUE if row["split"] == table["split"].iloc[0] else VERMILION
            axes.plot(
                [row["lower_quartile"], row["upper_quartile"]],
                [place] * 2,
                color=SKY,
                lw=7,
                alpha=0.35,
                solid_capstyle="butt",
            )
            axes.plot([row["low"], row["high"]], [place] * 2, color=colour, lw=1.6)
            axes.plot(row["value"], place, "o", color=colour, ms=5)
        labels = [f"{row['label']}, {row['split']}" for row in table.to_dict("records")]
        axes.set_yticks(range(len(labels)), labels)
        axes.set(ylim=(len(labels) - 0.4, -0.6), title=title or f"{w.words(metric)} of vessels")
        if metric in ("dice", "cldice"):
            axes.set_xlim(0, 1)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("mean with interval; band: quartiles of cases")
    return figure


def plot_cohort(cohort: pd.DataFrame, title: str = "Cohort") -> Figure:
    """What the cohort is made of: segments, sites, age and slice thickness, by LVO.

    Args:
        cohort: Cohort table; columns that it lacks are left out.
        title: Above the figure.

    Returns:
        The figure.
    """
    known = cohort.replace("", np.nan)
    wanted = [
        ("segment", "Occluded segment"),
        ("site", "Site"),
        ("age", "Age (years)"),
        ("slice_thickness_mm", "Slice thickness (mm)"),
        ("nihss", "NIHSS"),
    ]
    there = [(c, t) for c, t in wanted if c in known and known[c].notna().any()]
    if not there:
        return empty_figure("the cohort table has no describing columns")
    with style():
        figure, grid = new_row(len(there), 2.5 * len(there) + 0.6, 2.7)
        for axes, (column, name) in zip(grid, there, strict=True):
            _cohort_bars(axes, known, column)
            axes.set_title(name)
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.grid(axis="x", visible=False)
        grid[0].set_ylabel("Cases")
        grid[-1].legend(fontsize=7.5)
        figure.suptitle(title, x=0.01, ha="left", color=MUTED, size=10)
    return figure


def _cohort_bars(axes: Axes, cohort: pd.DataFrame, column: str) -> None:
    """Stacked bars of a column, with and without LVO."""
    values = cohort[column]
    numeric = pd.to_numeric(values, errors="coerce")
    if column in MEASURED and numeric.nunique() > 6:
        edges = np.histogram_bin_edges(numeric.dropna(), bins=8)
        centres, width = (edges[:-1] + edges[1:]) / 2, 0.9 * (edges[1] - edges[0])
        counts = [np.histogram(numeric[cohort["lvo"] == k].dropna(), edges)[0] for k in (0, 1)]
    else:
        levels = sorted(values.dropna().unique(), key=str)
        centres, width = np.arange(len(levels), dtype=float), 0.7
        counts = [
            np.array([((values == level) & (cohort["lvo"] == k)).sum() for level in levels])
            for k in (0, 1)
        ]
        names = [f"{v:g}" if isinstance(v, float) else str(v) for v in levels]
        axes.set_xticks(
            centres,
            names,
            rotation=30 if max(map(len, names)) > 3 else 0,
            ha="right" if max(map(len, names)) > 3 else "center",
        )
    axes.bar(centres, counts[0], width, color=BLUE, alpha=0.8, label="no LVO")
    axes.bar(centres, counts[1], width, bottom=counts[0], color=VERMILION, alpha=0.8, label="LVO")

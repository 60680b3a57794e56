"""Two runs side by side: plots and one HTML page."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from lvo_kedro import __version__
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.curves import draw_curve
from lvo_kedro.reporting.page import environment
from lvo_kedro.reporting.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    empty_figure,
    new_figure,
    style,
    unit_square,
)
from lvo_kedro.reporting.views import (
    TableView,
    draw,
    mapping_view,
    metric_rows,
    plain_view,
)
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    Tables = Mapping[str, pd.DataFrame]

COLOURS: Final = {"A": BLUE, "B": VERMILION}
FOLDER: Final = "08_reporting/comparison"


@dataclass(frozen=True)
class ComparisonContent:
    """Everything that the page about two runs shows.

    Attributes:
        runs: What run A and run B were: names and values, under ``A`` and ``B``.
        splits: Name of each set to its tables: those of
            :class:`lvo_kedro.evaluation.Comparison`, and ``locations`` and ``relocated`` of
            :func:`lvo_kedro.evaluation.compare_locations`.
        simulated: Whether any of the data are simulated; marks every page.
        versions: Package to version.
        provenance: Run id, date and revision of the comparison itself.
        confidence: Coverage of the intervals.
    """

    runs: Mapping[str, Mapping[str, str]]
    splits: Mapping[str, Tables]
    simulated: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    confidence: float = 0.95


def render_comparison(content: ComparisonContent) -> str:
    """Render two runs side by side as one self-contained HTML page.

    Args:
        content: Tables and words.

    Returns:
        HTML with inline style sheet and images; it fetches nothing and needs no script.
    """
    splits = [_split_view(name, tables) for name, tables in content.splits.items()]
    origins = pd.DataFrame(content.runs).rename_axis("").reset_index()
    methods = [plain_view(origins, "The two runs")]
    for title, items in (("This comparison", content.provenance), ("Versions", content.versions)):
        if items:
            methods.append(mapping_view(items, title, folded=title == "Versions"))
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            title="Two runs side by side",
            simulated=content.simulated,
            splits=splits,
            runs=content.runs,
            confidence=f"{100 * content.confidence:g} %",
            methods=methods,
            research_only=RESEARCH_ONLY,
            version=__version__,
        )
    )


def _split_view(name: str, tables: Tables) -> dict[str, Any]:
    title = w.words(name)
    pictures = [
        draw(
            partial(plot_two_curves, tables, f"ROC curves, {title}"),
            f"ROC curves of run A and run B, {title}",
            source=f"{FOLDER}/{name}/curves.csv",
        ),
        draw(
            partial(plot_two_scores, tables, f"Probabilities, {title}"),
            f"Probability by run B against that by run A for each case, {title}",
            "Ringed: the call changed at an operating point.",
            source=f"{FOLDER}/{name}/cases.csv",
        ),
    ]
    return {"id": name, "name": title, "pictures": pictures, "tables": _tables(name, tables)}


def _tables(name: str, tables: Tables) -> list[TableView]:
    of = f", {w.words(name)}"

    def source(part: str) -> str:
        return f"{FOLDER}/{name}/{part}.csv"

    # the difference comes first: it is what the page is for, and narrow screens show it
    summary = tables["summary"].sort_values("run", key=lambda run: run != "A - B", kind="stable")
    views = [
        metric_rows(summary, "Area under the ROC curve" + of, ["run"], source("summary")),
        metric_rows(
            tables["calls"],
            "Calls, A − B, each at its own operating point" + of,
            ["operating_point"],
            source("calls"),
        ),
        metric_rows(
            tables["locations"],
            "Occlusions named rightly, A − B" + of,
            ["scope", "operating_point"],
            source("locations"),
        ),
        plain_view(
            _in_words(tables["changed"]), "Cases whose call changed" + of, source("changed")
        ),
        plain_view(
            tables["relocated"],
            "Occlusions whose named side or segment changed" + of,
            source("relocated"),
        ),
    ]
    if not tables["findings"].empty:
        views.insert(1, plain_view(tables["findings"], "To be read first" + of, source("findings")))
    return views


def _in_words(changed: pd.DataFrame) -> pd.DataFrame:
    """The table of changed calls with operating points named as elsewhere."""
    if changed.empty:
        return changed
    return changed.assign(operating_point=changed["operating_point"].map(w.words))


def plot_two_curves(tables: Tables, title: str = "ROC curves") -> Figure:
    """The ROC curves of both runs with their pointwise bands.

    Args:
        tables: curves, summary.
        title: Above the axes.

    Returns:
        The figure.
    """
    if tables["curves"].empty:
        area = w.pick(tables["summary"], "auc", run="A")
        return empty_figure(str(area["method"]) if area else "no curves")
    with style():
        figure, axes = new_figure()
        axes.plot([0, 1], [0, 1], color=MUTED, lw=0.9, ls=(0, (4, 4)))
        for run, curve in tables["curves"].groupby("run"):
            area = w.pick(tables["summary"], "auc", run=run)
            label = f"{run}: AUC {w.with_interval(area)}" if area else str(run)
            draw_curve(axes, curve, label, COLOURS[str(run)])
        unit_square(axes, "1 − specificity", "Sensitivity")
        axes.set_title(title)
        axes.legend(loc="lower right")
    return figure


def plot_two_scores(tables: Tables, title: str = "Probabilities") -> Figure:
    """The probability of each case by both runs; cases whose call changed are ringed.

    Args:
        tables: cases, changed.
        title: Above the axes.

    Returns:
        The figure.
    """
    cases = tables["cases"]
    with style():
        figure, axes = new_figure()
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1.2)
        for lvo, label, colour in ((0, "no LVO", BLUE), (1, "LVO", VERMILION)):
            part = cases[cases["lvo"] == lvo]
            place = part["probability_a"], part["probability_b"]
            axes.plot(*place, "o", color=colour, ms=5, alpha=0.75, label=label)
        changed = tables["changed"]
        if not changed.empty:
            axes.scatter(
                changed["probability_a"],
                changed["probability_b"],
                s=90,
                facecolors="none",
                edgecolors=INK,
                label="changed",
            )
        unit_square(axes, "Probability, run A", "Probability, run B")
        axes.set_title(title)
        axes.legend(loc="best")
    return figure

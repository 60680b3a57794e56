"""What controlled changes of the scans do: a figure, and one HTML page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from lvo_kedro import __version__
from lvo_kedro.reporting import wording as w
from lvo_kedro.reporting.page import environment
from lvo_kedro.reporting.style import BLUE, MUTED, empty_figure, new_row, style
from lvo_kedro.reporting.views import draw, mapping_view, wide_view
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

SHOWN: Final = ("auc_difference", "sensitivity_difference", "specificity_difference")


def plot_robustness(table: pd.DataFrame, point: str, title: str = "Robustness") -> Figure:
    """Differences of AUC, sensitivity and specificity, a row per change, with their intervals.

    Args:
        table: Of :func:`lvo_kedro.evaluation.evaluate_robustness`.
        point: The operating point shown.
        title: Above the figure.

    Returns:
        The figure, one axes per metric.
    """
    here = table["operating_point"].fillna("").isin(["", point]) & table["value"].notna()
    part = table[here & table["metric"].isin(SHOWN)]
    changes = list(dict.fromkeys(part["change"]))
    if not changes:
        return empty_figure("no change of the scans was computed")
    reach = 1.08 * float(part[["low", "high"]].abs().max(axis=None))  # one scale for all
    with style():
        figure, grid = new_row(len(SHOWN), 9.2, 1.1 + 0.3 * len(changes))
        for axes, metric in zip(grid, SHOWN, strict=True):
            axes.axvline(0, color=MUTED, lw=0.9, ls=(0, (4, 4)))
            for row in part[part["metric"] == metric].to_dict("records"):
                place = changes.index(row["change"])
                axes.plot([row["low"], row["high"]], [place] * 2, color=BLUE, lw=1.6)
                axes.plot(row["value"], place, "o", color=BLUE, ms=5)
            axes.set(ylim=(len(changes) - 0.4, -0.6), xlim=(-reach, reach), title=w.words(metric))
            axes.set_yticks(range(len(changes)), [w.words(name) for name in changes])
            axes.grid(axis="y", visible=False)
            axes.label_outer()
        figure.suptitle(title, x=0.01, ha="left", color=MUTED, size=10)
    return figure


def render_robustness(
    table: pd.DataFrame,
    point: str,
    provenance: Mapping[str, str],
    *,
    simulated: bool,
    confidence: float = 0.95,
    source: str = "",
) -> str:
    """Render the changes as one self-contained HTML page.

    Args:
        table: Of :func:`lvo_kedro.evaluation.evaluate_robustness`.
        point: The operating point shown.
        provenance: Run id, date, revision, digests.
        simulated: Whether any of the data are simulated; marks the page.
        confidence: Coverage of the intervals.
        source: File that holds the table.

    Returns:
        HTML with inline style sheet and images; it fetches nothing and needs no script.
    """
    picture = draw(
        partial(plot_robustness, table, point, "What a change of the scan does"),
        "Change of AUC, sensitivity and specificity under each change of the scan",
        "Changed minus unchanged, on the same cases.",
        wide=True,
        source=source,
    )
    shown = wide_view(
        table[table["operating_point"].fillna("").isin(["", point])],
        f"Changed minus unchanged, at {w.words(point)}",
        ["change"],
        list(dict.fromkeys(table["metric"])),
        source,
    )
    return (
        environment()
        .get_template("robustness.html.j2")
        .render(
            title="Robustness to changes of the scan",
            simulated=simulated,
            drawn=picture,
            table=shown,
            methods=[mapping_view(provenance, "Runs, revisions and digests")],
            confidence=f"{100 * confidence:g} %",
            research_only=RESEARCH_ONLY,
            version=__version__,
        )
    )

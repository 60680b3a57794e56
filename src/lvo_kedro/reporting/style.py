"""One look for all figures: colours that colour-blind readers tell apart, few lines, no chart junk.

The colours are those of Okabe and Ito (Color Universal Design, 2008). Figures are drawn without a
display and without pyplot's global state, so that they can be made in any thread.
"""

from __future__ import annotations

import base64
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

INK: Final = "#1c2733"
MUTED: Final = "#66727f"
FAINT: Final = "#d9dfe5"
BLUE: Final = "#0072b2"
VERMILION: Final = "#d55e00"
GREEN: Final = "#009e73"
ORANGE: Final = "#e69f00"
SKY: Final = "#56b4e9"
PURPLE: Final = "#cc79a7"
CYCLE: Final = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS: Final = ("o", "s", "^", "D", "v", "P")

RC: Final[Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": True,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "lvo_kedro",
    "svg.fonttype": "path",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw within this context to get the project's look."""
    with mpl.rc_context(RC):
        yield


def new_figure(width: float = 5.2, height: float = 4.4) -> tuple[Figure, Axes]:
    """A figure with one axes, without pyplot.

    Args:
        width: Inches.
        height: Inches.

    Returns:
        The figure and its axes.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def new_row(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with axes side by side.

    Args:
        count: How many axes.
        width: Inches of the whole figure.
        height: Inches.

    Returns:
        The figure and its axes.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, count, place + 1) for place in range(count)]


def empty_figure(message: str, width: float = 5.2, height: float = 2.2) -> Figure:
    """A figure that says why there is nothing to draw."""
    with style():
        figure, axes = new_figure(width, height)
        axes.set_axis_off()
        axes.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, wrap=True)
    return figure


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Label the axes and show 0 to 1 on both, with equal scales."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)


def to_svg(figure: Figure) -> str:
    """Return the figure as a data address of an SVG image.

    Args:
        figure: Any.

    Returns:
        ``data:image/svg+xml;base64,...``, the same bytes for the same figure.
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def to_png(figure: Figure, dpi: int = 110) -> str:
    """Return the figure as a data address of a PNG image; smaller than SVG where it shows scans.

    Args:
        figure: Any.
        dpi: Pixels per inch.

    Returns:
        ``data:image/png;base64,...``.
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

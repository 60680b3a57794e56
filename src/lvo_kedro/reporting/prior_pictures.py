"""One picture per case, to see at a glance whether its priors can be trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nibabel.affines import apply_affine
from scipy import ndimage

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.planes import WORLD_AXES, View, view_of
from lvo_kedro.reporting import slices
from lvo_kedro.reporting.style import MUTED, SKY, VERMILION, style
from lvo_kedro.vocabulary import HEMISPHERES, Side

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

    from lvo_kedro.priors import Priors

SIDE_COLOURS: Final[dict[Side, str]] = {"left": SKY, "right": VERMILION}
BORDER: Final = 14.0
"""Shown around the brain, mm: the skull."""
WIDTH: Final = 3.1
"""Of a panel, inches."""


def plot_priors(ncct: Nifti1Image, priors: Priors, case_id: str = "") -> Figure:
    """Hemispheres, territory and signed difference over a scan, in three planes.

    The planes go through the centre of the territory on the side where it is less dense.

    Args:
        ncct: The scan, HU, (X, Y, Z), in any orientation.
        priors: Of that scan.
        case_id: Above the panels, before the findings of the registration.

    Returns:
        The figure: one row per plane, all at one scale.
    """
    centre = _less_dense(priors)
    views = [
        view_of(priors.hemispheres, plane, float(centre[axes[2]]), marked_only=True, margin=BORDER)
        for plane, axes in WORLD_AXES.items()
    ]
    views = _as_wide_as_the_widest(views)
    heights = [view.high[1] - view.low[1] + 2 * slices.MARGIN for view in views]
    per_mm = WIDTH / (views[0].high[0] - views[0].low[0] + 2 * slices.MARGIN)
    with style():
        size = (3 * WIDTH + 0.3, sum(heights) * per_mm + 1.5)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(3, 3, height_ratios=heights, squeeze=False)
        for row, view in zip(grid, views, strict=True):
            for axes in row:
                slices.show_scan(axes, ncct, view)
            _outline_sides(row[0], priors.hemispheres, view)
            territory = slices.overlay(
                row[1], priors.territory_probability, view, "viridis", (0, 1)
            )
            difference = slices.overlay_difference(row[2], priors.signed_difference, view)
        slices.name_outlines(grid[0, 0], below=grid[2, 0])
        slices.colour_bar(list(grid[:, 1]), territory, "Probability")
        slices.colour_bar(list(grid[:, 2]), difference, "HU, this side minus the other")
        for axes, title in zip(
            grid[0], ("Hemispheres", "MCA territory", "Difference"), strict=True
        ):
            axes.set_title(title, color=MUTED, size=8.5, weight="normal")
        findings = priors.quality.get("findings") or ["nothing conspicuous"]
        words = "; ".join(str(finding) for finding in findings)  # type: ignore[union-attr]
        figure.suptitle(f"{case_id}   {words}".strip(), x=0.01, ha="left", size=10)
    return figure


def _less_dense(priors: Priors) -> NDArray[np.float64]:
    """World point (mm) around which the less dense of both territories lies."""
    sides = np.asarray(priors.hemispheres.dataobj)
    territory = np.asarray(priors.territory_probability.dataobj, dtype=np.float32)
    signed = np.asarray(priors.signed_difference.dataobj, dtype=np.float32)
    total = {side: float((signed * territory)[sides == n].sum()) for side, n in HEMISPHERES.items()}
    weights = territory * (sides == HEMISPHERES[min(total, key=lambda side: total[side])])
    if not weights.any():
        weights = sides > 0
    return apply_affine(priors.hemispheres.affine, ndimage.center_of_mass(weights))


def _as_wide_as_the_widest(views: list[View]) -> list[View]:
    """Widen views with air, so that a column of them has one scale."""
    widest = max(view.high[0] - view.low[0] for view in views)
    wide = []
    for view in views:
        more = (widest - (view.high[0] - view.low[0])) / 2
        low, high = (view.low[0] - more, view.low[1]), (view.high[0] + more, view.high[1])
        wide.append(replace(view, low=low, high=high))
    return wide


def _outline_sides(axes: Axes, hemispheres: Nifti1Image, view: View) -> None:
    labels = np.asarray(hemispheres.dataobj)
    for side, colour in SIDE_COLOURS.items():
        half = make_image(labels == HEMISPHERES[side], hemispheres.affine)
        slices.outline(axes, half, view, colour, side, dashed=side == "right")

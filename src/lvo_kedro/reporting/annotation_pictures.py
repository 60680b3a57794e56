"""One picture per proposal: what contrast shows, and what was drawn on the plain scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from nibabel.affines import apply_affine

from lvo_kedro.imaging.boxes import bounding_box
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image
from lvo_kedro.imaging.planes import WORLD_AXES, View, view_of
from lvo_kedro.reporting import slices
from lvo_kedro.reporting.style import GREEN, ORANGE, PURPLE, SKY, VERMILION, new_row, style
from lvo_kedro.vocabulary import OCCLUSION_LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from nibabel.nifti1 import Nifti1Image

    from lvo_kedro.annotation import Annotation, CtaAlignment

CONTRAST_WINDOW: Final = (0.0, 350.0)
"""HU from black to white: filled arteries are bright."""
COLOURS: Final = {"C7": GREEN, "M1": SKY, "M2": ORANGE}
MARGIN_MM: Final = 30.0
"""Shown around the arteries."""
SPACING_MM: Final = 0.8
WIDTH: Final = 4.0
"""Of a panel, inches."""


def plot_annotation(
    ncct: Nifti1Image, cta: Nifti1Image, alignment: CtaAlignment, found: Annotation
) -> Figure:
    """Contrast from above and from the front with the drawn arteries, and the plain scan's slice.

    Args:
        ncct: The plain scan, HU.
        cta: The angiography, HU.
        alignment: World of the plain scan to world of the angiography.
        found: What was drawn.

    Returns:
        The figure: projections of the angiography over the arteries' height and depth, and the
        plain scan where the clot lies, or M1 without one.
    """
    drawn = np.asarray(found.vessel_labels.dataobj) > 0
    moved = make_image(np.asarray(cta.dataobj), np.linalg.inv(alignment.matrix) @ cta.affine)
    with style():
        figure, panels = new_row(3, 3 * WIDTH, WIDTH + 0.3)
        if not drawn.any():
            for axes in panels:
                slices.show_scan(axes, moved, view_of(moved), CONTRAST_WINDOW)
            figure.suptitle("no artery was followed", x=0.01, ha="left", size=10)
            return figure
        box = bounding_box(drawn)
        grid = grid_of(found.vessel_labels).part(box)
        corners = np.array([[0, 0, 0], np.array(grid.shape) - 1])
        low, high = np.sort(apply_affine(grid.affine, corners), axis=0)
        for axes, plane in zip(panels, ("axial", "coronal"), strict=False):
            _draw_projection(axes, moved, found, (low, high), plane)
        _draw_slice(panels[2], ncct, found, (low, high))
        proposal = found.proposal
        words = "contrast everywhere"
        if proposal is not None:
            name = "+".join(proposal.parts)
            words = f"gap: {proposal.side} {name}, clot {found.record['clot_mm']:.0f} mm"
        figure.suptitle(words, x=0.01, ha="left", size=10)
    return figure


def _view(bounds: tuple[np.ndarray, np.ndarray], plane: str, at: float) -> View:
    across, up, _ = WORLD_AXES[plane]  # type: ignore[index]
    low, high = bounds[0] - MARGIN_MM, bounds[1] + MARGIN_MM
    return View(
        plane,  # type: ignore[arg-type]
        at,
        (float(low[across]), float(low[up])),
        (float(high[across]), float(high[up])),
        SPACING_MM,
    )


def _draw_projection(
    axes: Axes,
    moved: Nifti1Image,
    found: Annotation,
    bounds: tuple[np.ndarray, np.ndarray],
    plane: str,
) -> None:
    """Draw the densest voxel along the line of sight, within the arteries' depth."""
    through = WORLD_AXES[plane][2]  # type: ignore[index]
    depths = np.arange(bounds[0][through], bounds[1][through] + 1.0, 1.0)
    view = _view(bounds, plane, float(depths.mean()))
    labels, clot, scan = found.vessel_labels, found.occlusion_mask, []
    marked = {name: np.zeros(view.grid.shape[:2], bool) for name in (*OCCLUSION_LABELS, "clot")}
    for depth in depths:
        level = _view(bounds, plane, float(depth))
        scan.append(level.sample(moved, fill=slices.AIR))
        named = level.sample(labels, order=0)
        for name, value in OCCLUSION_LABELS.items():
            marked[name] |= named == value
        marked["clot"] |= level.sample(clot, order=0) > 0
    flat = _as_image(np.minimum(np.max(scan, axis=0), 900), view.grid)
    slices.show_scan(axes, flat, view, CONTRAST_WINDOW)
    for name, colour in COLOURS.items():
        slices.outline(axes, _as_image(marked[name], view.grid), view, colour, name)
    slices.outline(
        axes, _as_image(marked["clot"], view.grid), view, VERMILION, "proposed clot", dashed=True
    )
    slices.name_outlines(axes)


def _draw_slice(
    axes: Axes, ncct: Nifti1Image, found: Annotation, bounds: tuple[np.ndarray, np.ndarray]
) -> None:
    labels = np.asarray(found.vessel_labels.dataobj)
    if found.proposal is not None:
        at = float(found.proposal.centre[2])
    else:
        where = np.argwhere(labels == OCCLUSION_LABELS["M1"])
        where = where if len(where) else np.argwhere(labels > 0)
        at = float(apply_affine(found.vessel_labels.affine, where.mean(axis=0))[2])
    view = _view(bounds, "axial", at)
    slices.show_scan(axes, ncct, view)
    for name, colour in COLOURS.items():
        segment = make_image(labels == OCCLUSION_LABELS[name], found.vessel_labels.affine)
        slices.outline(axes, segment, view, colour, name)
    slices.outline(axes, found.occlusion_mask, view, VERMILION, "proposed clot", dashed=True)
    slices.outline(axes, found.completed, view, PURPLE, "completed without contrast", dashed=True)
    slices.name_outlines(axes)


def _as_image(pixels: np.ndarray, grid: Grid) -> Nifti1Image:
    return make_image(np.asarray(pixels, dtype=np.float32)[..., None], grid.affine)

"""One picture per case, to see at a glance whether the priors can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvo_kedro.imaging.geometry import grid_of, isotropic_grid, make_image, to_ras
from lvo_kedro.priors.grids import change_grid
from lvo_kedro.vocabulary import HEMISPHERES

if TYPE_CHECKING:
    import nibabel as nib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from lvo_kedro.priors.compute import Priors

_SPACING = 1.5
_WINDOW = (0.0, 80.0)
_PLANES = (("axial", 2), ("coronal", 1), ("sagittal", 0))


def preview_priors(ncct: nib.Nifti1Image, priors: Priors, limit_hu: float = 12.0) -> Figure:
    """Draw hemispheres, territory and signed difference over a scan, in three planes.

    The patient's left is on the left of axial and coronal pictures (as seen in RAS+), and is
    marked L. The planes go through the centre of the territory on the side where it is less dense.

    Args:
        ncct: The scan, HU, (X, Y, Z).
        priors: Of that scan.
        limit_hu: Difference at which the diverging colours saturate.

    Returns:
        A figure that belongs to no window; the caller saves it.

    Examples:
        >>> from lvo_kedro.imaging import extract_brain
        >>> from lvo_kedro.priors import PriorOptions, compute_priors, load_atlas
        >>> from lvo_kedro.simulation import SimulationOptions, simulate_case
        >>> ncct = simulate_case(7, SimulationOptions(spacing=2.0, slice_thickness=(5.0,))).ncct
        >>> quick = PriorOptions(spacing=6.0, iterations=(10, 0, 0), mirror_iterations=(10, 0, 0))
        >>> priors = compute_priors(ncct, extract_brain(ncct), load_atlas(), quick)
        >>> figure = preview_priors(ncct, priors)
        >>> len(figure.axes)  # three planes of three maps, each map with its colours
        12
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (only who draws needs it)

    views = _common_views(ncct, priors)
    centre = _centre(views)
    figure = Figure(figsize=(10.5, 10.5), layout="constrained")
    axes = figure.subplots(3, 3)
    for row, (plane, axis) in zip(axes, _PLANES, strict=True):
        cut = {name: np.take(values, centre[axis], axis=axis).T for name, values in views.items()}
        for panel in row:
            panel.imshow(cut["ncct"], cmap="gray", vmin=_WINDOW[0], vmax=_WINDOW[1], origin="lower")
            panel.set_axis_off()
        _draw_sides(row[0], cut, plane)
        _overlay(row[1], cut["territory"], cut["territory"] > 0.05, cmap="viridis", vmin=0, vmax=1)
        shown = _overlay(
            row[2], cut["signed"], np.abs(cut["signed"]) > 1.0, cmap="RdBu_r",
            vmin=-limit_hu, vmax=limit_hu,
        )  # fmt: skip
        figure.colorbar(shown, ax=row[2], shrink=0.7, label="HU, this side minus the other")
    for panel, title in zip(axes[0], ("hemispheres", "MCA territory", "difference"), strict=True):
        panel.set_title(title)
    findings = priors.quality.get("findings") or ["nothing conspicuous"]
    figure.suptitle("; ".join(str(words) for words in findings), fontsize=9)  # type: ignore[union-attr]
    return figure


def _common_views(ncct: nib.Nifti1Image, priors: Priors) -> dict[str, NDArray[np.float32]]:
    scan, sides = to_ras(ncct), to_ras(priors.hemispheres)
    brain = make_image(np.asarray(sides.dataobj) > 0, sides.affine)
    grid = isotropic_grid(scan, _SPACING, mask=brain, margin=8.0)
    views = {}
    labels = np.asarray(sides.dataobj)
    for name, values, fill in (
        ("ncct", np.clip(np.asarray(scan.dataobj), -200, 200), -200.0),
        ("left", labels == HEMISPHERES["left"], 0.0),
        ("right", labels == HEMISPHERES["right"], 0.0),
        ("territory", np.asarray(to_ras(priors.territory_probability).dataobj), 0.0),
        ("signed", np.asarray(to_ras(priors.signed_difference).dataobj), 0.0),
    ):
        array = np.asarray(values, dtype=np.float32)
        views[name] = change_grid(array, grid_of(scan), grid, fill)
    return views


def _centre(views: dict[str, NDArray[np.float32]]) -> tuple[int, int, int]:
    """Return the voxel around which the less dense of both territories lies."""
    totals = {
        name: float((views["signed"] * views["territory"])[views[name] > 0.5].sum())
        for name in ("left", "right")
    }
    side = min(totals, key=lambda name: totals[name])
    weight = views["territory"] * (views[side] > 0.5)
    if weight.sum() <= 0:
        weight = views["left"] + views["right"]
    index = np.indices(weight.shape)
    x, y, z = ((index * weight).sum(axis=(1, 2, 3)) / weight.sum()).round().astype(int)
    return int(x), int(y), int(z)


def _draw_sides(panel: Axes, cut: dict[str, NDArray[np.float32]], plane: str) -> None:
    for name, colour in (("left", "tab:orange"), ("right", "tab:cyan")):
        if (cut[name] > 0.5).any():
            panel.contour(cut[name], [0.5], colors=colour, linewidths=1.2)
    if plane != "sagittal":
        panel.text(0.02, 0.5, "L", transform=panel.transAxes, color="tab:orange")
        panel.text(0.94, 0.5, "R", transform=panel.transAxes, color="tab:cyan")


def _overlay(
    panel: Axes, values: NDArray[np.float32], shown: NDArray[np.bool_], **style: Any
) -> Any:
    return panel.imshow(np.ma.masked_where(~shown, values), origin="lower", alpha=0.6, **style)

"""The picture of a localization: vascular projection and the slice through the clot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from nibabel.affines import apply_affine

from lvo_kedro.imaging.geometry import make_image, to_ras
from lvo_kedro.vocabulary import OCCLUSION_LABELS

if TYPE_CHECKING:
    import nibabel as nib
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from lvo_kedro.localization.midplane import Midplane
    from lvo_kedro.localization.projection import Projection

_WINDOW = (0.0, 80.0)
_RED = "#e5383b"


def mark_called(
    labels: nib.Nifti1Image, midplane: Midplane, side: str, segment: str
) -> nib.Nifti1Image:
    """Mark the called segments on the called side of a projection, whichever method called them.

    Args:
        labels: Vessel labels on the projection's grid, (X, Y, 1).
        midplane: Between the scan's hemispheres.
        side: ``left`` or ``right``; empty marks nothing.
        segment: Such as ``M1`` or ``C7+M1``; empty marks nothing.

    Returns:
        uint8 on the projection's grid, 1 where the call lies.
    """
    data = np.asarray(labels.dataobj)
    wanted = [OCCLUSION_LABELS[name] for name in segment.split("+") if name in OCCLUSION_LABELS]
    pixels = np.moveaxis(np.indices(data.shape), 0, -1)
    right = midplane.distance(apply_affine(labels.affine, pixels)) > 0
    marked = np.isin(data, wanted) & (right == (side == "right")) & (side != "")
    return make_image(marked.astype(np.uint8), labels.affine)


def figure_localization(
    ncct: nib.Nifti1Image,
    projection: Projection,
    mask: nib.Nifti1Image,
    *,
    clot: nib.Nifti1Image | None = None,
    point: ArrayLike | None = None,
    title: str = "",
) -> Figure:
    """Draw the vascular projection with the marked segment in red beside the slice through it.

    Both panels are seen from below, as radiologists do: the patient's right is on the left.

    Args:
        ncct: HU, any orientation.
        projection: Of this scan.
        mask: Marked pixels on the projection's grid.
        clot: 3D mask on the scan's grid, from :func:`back_project`.
        point: Centre of the clot in world mm; chooses the slice.
        title: Above both panels.
    """
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _show_projection(left, projection, mask)
    _show_slice(right, ncct, clot, point)
    figure.suptitle(title)
    return figure


def _show_projection(axes: Axes, projection: Projection, mask: nib.Nifti1Image) -> None:
    mip = np.asarray(projection.mip.dataobj)[..., 0]
    marked = np.asarray(mask.dataobj)[..., 0] > 0
    _show(axes, mip, "vascular projection")
    if marked.any():
        red = np.ma.masked_where(~marked, np.ones(marked.shape))
        axes.imshow(red.T, origin="lower", cmap=ListedColormap([_RED]), alpha=0.8)


def _show_slice(
    axes: Axes, ncct: nib.Nifti1Image, clot: nib.Nifti1Image | None, point: ArrayLike | None
) -> None:
    scan = to_ras(ncct)
    hu = np.asarray(scan.dataobj)
    marked = np.zeros(hu.shape, dtype=bool)
    if clot is not None:
        marked = np.asarray(to_ras(clot).dataobj) > 0
    middle = hu.shape[2] // 2
    if marked.any():
        middle = int(marked.sum(axis=(0, 1)).argmax())
    elif point is not None:
        middle = int(np.rint(apply_affine(np.linalg.inv(scan.affine), point))[2])
    middle = min(max(middle, 0), hu.shape[2] - 1)
    dx, dy = (float(np.linalg.norm(scan.affine[:3, axis])) for axis in (0, 1))
    _show(axes, hu[:, :, middle], "slice through the clot", dy / dx)
    if marked[:, :, middle].any():  # an outline, so that the clot's own density stays visible
        axes.contour(marked[:, :, middle].T, [0.5], colors=_RED, linewidths=1.2)


def _show(axes: Axes, image: NDArray, title: str, aspect: float = 1.0) -> None:
    axes.imshow(
        image.T, origin="lower", cmap="gray", vmin=_WINDOW[0], vmax=_WINDOW[1], aspect=aspect
    )
    axes.set_xlim(image.shape[0] - 0.5, -0.5)
    axes.set_ylim(-0.5, image.shape[1] - 0.5)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.02, 0.5, "R", color="white", transform=axes.transAxes, va="center")
    axes.text(0.98, 0.5, "L", color="white", transform=axes.transAxes, va="center", ha="right")

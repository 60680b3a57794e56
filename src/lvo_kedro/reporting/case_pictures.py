"""Pictures of one case, shown as radiologists look at it: the patient's right on the left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import ListedColormap
from nibabel.funcs import as_closest_canonical

from lvo_kedro.reporting.style import MUTED, new_row, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

BRAIN_WINDOW: Final = (0.0, 80.0)
"""HU shown from black to white."""
DIFFERENCE_LIMIT: Final = 20.0
"""HU at which the difference map's colours end."""
CALL_COLOUR: Final = "#e8202a"
TRUTH_COLOUR: Final = "#3ddc5a"


@dataclass(frozen=True)
class CasePictures:
    """The images of one case; each is optional but the scan, and brings its own panel.

    Attributes:
        case_id: Shown as the title.
        ncct: Scan in HU, 3D.
        caption: What happened in this case, in words.
        projection: Maximum-intensity projection of the vessels in HU, (X, Y, 1).
        call: The called segment on the projection's grid, (X, Y, 1), > 0 inside.
        occlusion: The occlusion as the network marked it, on the scan's grid, > 0 inside.
        truth: The annotated occlusion on the scan's grid, > 0 inside.
        difference: Signed or absolute hemispheric difference in HU on the scan's grid.
        explanation: Grad-CAM on the scan's grid, 0 to 1.
    """

    case_id: str
    ncct: Nifti1Image
    caption: str = ""
    projection: Nifti1Image | None = None
    call: Nifti1Image | None = None
    occlusion: Nifti1Image | None = None
    truth: Nifti1Image | None = None
    difference: Nifti1Image | None = None
    explanation: Nifti1Image | None = None


def plot_case(pictures: CasePictures) -> Figure:
    """Slices of the scan, the projection with the call in red, difference map and Grad-CAM.

    The slice goes through the true occlusion or else the marked one, otherwise through the
    strongest part of the explanation or difference map, otherwise through the middle of the head.

    Args:
        pictures: Images of the case in any orientation.

    Returns:
        The figure: one row of panels.
    """
    scan = _canonical(pictures.ncct)
    maps = {
        name: None if image is None else _canonical(image)
        for name, image in (
            ("truth", pictures.truth),
            ("occlusion", pictures.occlusion),
            ("difference", pictures.difference),
            ("explanation", pictures.explanation),
        )
    }
    level = _slice_of_interest(scan.array, maps)
    wanted = ["scan", *(name for name in ("difference", "explanation") if maps[name])]
    if pictures.projection is not None:
        wanted.insert(1, "projection")
    with style():
        figure, grid = new_row(len(wanted), 2.9 * len(wanted) + 0.1, 3.5)
        for axes, name in zip(grid, wanted, strict=True):
            if name == "projection":
                _draw_projection(axes, pictures)
                continue
            _show(axes, scan.array[:, :, level], scan.spacing, BRAIN_WINDOW)
            if name == "scan":
                _outline(axes, maps, level)
            else:
                _overlay(axes, name, maps, level, scan.spacing)
        figure.suptitle(
            f"{pictures.case_id}   {pictures.caption}".strip(), x=0.01, ha="left", size=10
        )
    return figure


@dataclass(frozen=True)
class _Volume:
    array: NDArray[np.float32]
    spacing: tuple[float, ...]


def _canonical(image: Nifti1Image) -> _Volume:
    """Data in RAS+ order, so that slicing needs no thought about how it was stored."""
    straight = as_closest_canonical(image)
    array = np.asarray(straight.dataobj, dtype=np.float32)
    return _Volume(array, tuple(float(zoom) for zoom in straight.header.get_zooms()[:3]))


def _slice_of_interest(scan: NDArray[np.float32], maps: dict[str, _Volume | None]) -> int:
    for name in ("truth", "occlusion", "explanation", "difference"):
        volume = maps[name]
        if volume is not None and volume.array.shape == scan.shape and np.any(volume.array):
            return int(np.abs(np.nan_to_num(volume.array)).sum(axis=(0, 1)).argmax())
    return scan.shape[2] // 2


def _show(
    axes: Axes, plane: NDArray[np.float32], spacing: tuple[float, ...], window: tuple[float, float]
) -> None:
    """Draw an axial plane (X to the right, Y to the front) with the patient's right on the left."""
    axes.imshow(
        _turned(plane),
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        aspect=spacing[1] / spacing[0],
        interpolation="bilinear",
    )
    axes.set_axis_off()
    for place, text in ((0.03, "R"), (0.97, "L")):
        axes.text(
            place,
            0.5,
            text,
            transform=axes.transAxes,
            color="white",
            size=9,
            weight="bold",
            ha="left" if text == "R" else "right",
            va="center",
        )


def _turned(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return plane[::-1, ::-1].T


def _outline(axes: Axes, maps: dict[str, _Volume | None], level: int) -> None:
    """The annotated occlusion and the marked one as contours, so that their density stays seen."""
    axes.set_title(
        f"Scan ({BRAIN_WINDOW[0]:.0f} to {BRAIN_WINDOW[1]:.0f} HU); green: true, red: marked",
        color=MUTED,
        size=8.5,
        weight="normal",
    )
    for name, colour in (("truth", TRUTH_COLOUR), ("occlusion", CALL_COLOUR)):
        volume = maps[name]
        if volume is not None and level < volume.array.shape[2]:
            plane = _turned(volume.array[:, :, level]) > 0
            if plane.any():
                axes.contour(plane, levels=[0.5], colors=[colour], linewidths=1.1)


def _overlay(
    axes: Axes, name: str, maps: dict[str, _Volume | None], level: int, spacing: tuple[float, ...]
) -> None:
    """The difference map or Grad-CAM over the scan."""
    titles = {
        "difference": f"Difference (±{DIFFERENCE_LIMIT:.0f} HU)",
        "explanation": "Grad-CAM",
    }
    axes.set_title(titles[name], color=MUTED, size=8.5, weight="normal")
    volume = maps[name]
    if volume is None or level >= volume.array.shape[2]:
        return
    plane = _turned(volume.array[:, :, level])
    limit = DIFFERENCE_LIMIT if name == "difference" else 1.0
    strength = np.clip(np.abs(np.nan_to_num(plane)) / limit, 0, 1)
    axes.imshow(
        plane,
        cmap="PuOr_r" if name == "difference" else "inferno",
        vmin=-limit if name == "difference" else 0,
        vmax=limit,
        alpha=0.85 * strength**0.7,
        aspect=spacing[1] / spacing[0],
        interpolation="bilinear",
    )


def _draw_projection(axes: Axes, pictures: CasePictures) -> None:
    """The projection in grey with the call in red."""
    if pictures.projection is None:
        return
    projection = _canonical(pictures.projection)
    plane = projection.array.reshape(projection.array.shape[:2])
    _show(axes, plane, projection.spacing, BRAIN_WINDOW)
    axes.set_title("Vessel projection; red: called segment", color=MUTED, size=8.5, weight="normal")
    if pictures.call is None:
        return
    call = _canonical(pictures.call).array.reshape(plane.shape)
    red = np.where(_turned(call) > 0, 1.0, np.nan)
    axes.imshow(
        red,
        cmap=ListedColormap([CALL_COLOUR]),
        alpha=0.75,
        interpolation="nearest",
        aspect=projection.spacing[1] / projection.spacing[0],
    )

"""The one place where scans are drawn: planes in world millimetres, each side with its letter.

Axes are in world mm, so that anything may be drawn on them by its coordinates, and nothing here
tells left from right: which end of a picture is which side, :class:`~lvo_kedro.imaging.planes.View`
says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.planes import WORLD_AXES
from lvo_kedro.reporting.style import FAINT, MUTED, ORANGE, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

    from lvo_kedro.imaging.planes import View

AIR: Final = -1000.0
BRAIN_WINDOW: Final = (0.0, 80.0)
"""HU shown from black to white."""
DIFFERENCE_LIMIT: Final = 15.0
"""HU at which the colours of a difference between the hemispheres end."""
DIFFERENCE_COLOURS: Final = LinearSegmentedColormap.from_list(
    "difference", [SKY, "#2a2a2a", ORANGE]
)
"""Bright at both ends, because it lies on a dark scan."""
MARGIN: Final = 16.0
"""Black border in mm around a picture, in which the letters stand."""


def show_scan(
    axes: Axes, image: Nifti1Image, view: View, window: tuple[float, float] = BRAIN_WINDOW
) -> None:
    """Draw a scan in grey, with the letters of its sides and a bar of 50 mm.

    Args:
        axes: Where; from then on its coordinates are world mm.
        image: HU, 3D, in any orientation.
        view: What of it.
        window: HU of black and white.
    """
    axes.imshow(
        view.sample(image, fill=AIR),
        cmap="gray",
        vmin=window[0],
        vmax=window[1],
        extent=view.extent,
        interpolation="bilinear",
    )
    left, right, bottom, top = view.extent
    axes.set(xlim=(left + MARGIN, right - MARGIN), ylim=(bottom - MARGIN, top + MARGIN))
    axes.set(xticks=[], yticks=[], facecolor="black")
    axes.set_anchor("N")  # panels of a row stay level, whatever stands under them
    axes.grid(False)
    axes.spines[:].set_visible(False)
    middle, half = ((left + right) / 2, (bottom + top) / 2), MARGIN / 2
    places = {
        "left": (left + half, middle[1]),
        "right": (right - half, middle[1]),
        "bottom": (middle[0], bottom - half),
        "top": (middle[0], top + half),
    }
    for side, letter in view.letters.items():
        axes.text(
            *places[side], letter, color="white", size=9, weight="bold", ha="center", va="center"
        )
    axes.plot([left, left - 50], [bottom - half] * 2, color=FAINT, lw=1.5)
    axes.text(left - 54, bottom - half, "5 cm", color=FAINT, size=6.5, va="center")


def outline(
    axes: Axes, mask: Nifti1Image, view: View, colour: str, label: str, *, dashed: bool = False
) -> None:
    """Draw the border of what is above 0, so that its density stays seen; nothing where it is not.

    Args:
        axes: With a scan.
        mask: 3D, on any grid.
        view: That of the scan.
        colour: Of the line.
        label: Its name in the key.
        dashed: For those who cannot tell colours apart.
    """
    pixels, dash = _inside(mask, view), "--" if dashed else "-"
    if not pixels.any():
        return
    left, right, bottom, top = view.extent
    rows, columns = pixels.shape
    half = view.spacing / 2
    across = np.linspace(left - half, right + half, columns)
    up = np.linspace(top - half, bottom + half, rows)
    axes.contour(across, up, pixels, levels=[0.5], colors=[colour], linewidths=1.3, linestyles=dash)
    axes.plot([], [], color=colour, ls=dash, lw=1.3, label=label)


def mark(
    axes: Axes,
    place: tuple[float, float, float],
    view: View,
    colour: str,
    label: str,
    *,
    cross: bool = False,
) -> None:
    """Mark a place of the patient, also one before or behind the plane.

    Args:
        axes: With a scan.
        place: World mm.
        view: That of the scan.
        colour: Of the mark.
        label: Its name in the key.
        cross: A cross instead of a ring.
    """
    across, up, _ = WORLD_AXES[view.plane]
    shape = "+" if cross else "o"
    axes.plot(
        place[across], place[up], shape, color=colour, ms=11, mew=1.6, mfc="none", label=label
    )


def shade(axes: Axes, mask: Nifti1Image, view: View, colour: str, label: str) -> None:
    """Colour what is above 0; nothing where it is not. Arguments as of :func:`outline`."""
    pixels = _inside(mask, view)
    if not pixels.any():
        return
    _lay_over(axes, pixels, view, ListedColormap([colour]), (0, 1), alpha=0.75 * pixels)
    axes.plot([], [], "s", color=colour, ms=6, label=label)


def overlay(
    axes: Axes, image: Nifti1Image, view: View, colours: str | Colormap, limits: tuple[float, float]
) -> AxesImage:
    """Colour a map over a scan, the stronger the more.

    Args:
        axes: With a scan.
        image: 3D, on any grid.
        view: That of the scan.
        colours: A colour map.
        limits: Values at its ends; from the upper one on, nothing of the scan is let through but
            a little.

    Returns:
        What a colour bar needs.
    """
    pixels = np.nan_to_num(view.sample(image))
    strength = np.clip(np.abs(pixels) / limits[1], 0, 1)
    return _lay_over(axes, pixels, view, colours, limits, alpha=0.85 * strength**0.7)


def overlay_difference(axes: Axes, image: Nifti1Image, view: View) -> AxesImage:
    """Colour a signed difference (HU): blue where this side is less dense, orange where more."""
    limits = -DIFFERENCE_LIMIT, DIFFERENCE_LIMIT
    return overlay(axes, image, view, DIFFERENCE_COLOURS, limits)


def name_outlines(axes: Axes, below: Axes | None = None) -> None:
    """Say under a panel, or ``below`` another, what its outlines and shades are, if any."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        (below or axes).legend(
            handles,
            labels,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=2,
            fontsize=8,
            labelcolor=MUTED,
        )


def colour_bar(panels: list[Axes], shown: AxesImage, label: str) -> None:
    """Say under panels what the colours of an overlay mean."""
    bar = panels[0].figure.colorbar(
        shown, ax=panels, location="bottom", shrink=0.7, aspect=28, pad=0.02
    )
    bar.set_label(label, color=MUTED, size=8)
    bar.ax.tick_params(labelsize=7.5)
    bar.outline.set_visible(False)


def _lay_over(
    axes: Axes,
    pixels: NDArray[np.float32],
    view: View,
    colours: str | Colormap,
    limits: tuple[float, float],
    *,
    alpha: NDArray[np.floating],
) -> AxesImage:
    return axes.imshow(
        pixels,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        alpha=alpha,
        extent=view.extent,
        interpolation="bilinear",
    )


def _inside(mask: Nifti1Image, view: View) -> NDArray[np.float32]:
    marked = make_image(np.asarray(mask.dataobj) > 0, mask.affine)
    return view.sample(marked, order=0)

"""One case in a row of panels: scan, vessels, difference map and Grad-CAM, all at one scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lvo_kedro.imaging.planes import level_of, view_of
from lvo_kedro.reporting import slices
from lvo_kedro.reporting.style import MUTED, SKY, VERMILION, new_row, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from nibabel.nifti1 import Nifti1Image

    from lvo_kedro.imaging.planes import View

CALL_COLOUR: Final = VERMILION
TRUTH_COLOUR: Final = SKY
TITLES: Final = {
    "scan": "Scan ({:.0f} to {:.0f} HU)".format(*slices.BRAIN_WINDOW),
    "projection": "Vessels, projected",
    "difference": "Difference",
    "explanation": "Grad-CAM",
}
WIDTH: Final = 2.9
"""Of a panel, inches."""


@dataclass(frozen=True)
class CasePictures:
    """The images of one case; each is optional but the scan, and brings its own panel.

    Attributes:
        case_id: Shown as the title.
        ncct: Scan in HU, 3D, in any orientation, like the others.
        caption: What happened in this case, in words; for the text beside the picture.
        projection: Maximum-intensity projection of the vessels in HU, (X, Y, 1).
        call: The called segment on the projection's grid, (X, Y, 1), > 0 inside.
        occlusion: The occlusion as the network marked it, on the scan's grid, > 0 inside.
        truth: The annotated occlusion on the scan's grid, > 0 inside.
        difference: Signed difference of the hemispheres in HU on the scan's grid.
        explanation: Grad-CAM on the scan's grid, 0 to 1.
        point: Where the call says that the occlusion is, world mm.
        clot: Centre of the annotated occlusion, world mm.
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
    point: tuple[float, float, float] | None = None
    clot: tuple[float, float, float] | None = None


def plot_case(pictures: CasePictures) -> Figure:
    """A slice of the scan, the vessels with the call, difference map and Grad-CAM.

    The slice goes through the true occlusion or else the called one, otherwise through the
    strongest part of the explanation or difference map, otherwise through the middle of the scan.

    Args:
        pictures: Images of the case in any orientation.

    Returns:
        The figure: one row of panels that show the same part of the patient.
    """
    view = view_of(pictures.ncct, at=_level_of_interest(pictures))
    wanted = [name for name in TITLES if name == "scan" or getattr(pictures, name) is not None]
    left, right, bottom, top = view.extent
    height = (top - bottom + 2 * slices.MARGIN) / (left - right + 2 * slices.MARGIN) * WIDTH
    with style():
        figure, row = new_row(len(wanted), WIDTH * len(wanted) + 0.1, height + 1.0)
        for axes, name in zip(row, wanted, strict=True):
            if name == "projection":
                _draw_projection(axes, pictures, view)
            else:
                slices.show_scan(axes, pictures.ncct, view)
            if name == "scan":
                _outline_occlusions(axes, pictures, view)
            if name in ("difference", "explanation"):
                _draw_map(axes, name, getattr(pictures, name), view)
            axes.set_title(TITLES[name], color=MUTED, size=8.5, weight="normal")
        figure.suptitle(pictures.case_id, x=0.01, ha="left", size=10)
    return figure


def _level_of_interest(pictures: CasePictures) -> float | None:
    for place in (pictures.clot, pictures.point):
        if place is not None:
            return place[2]
    for image in (
        pictures.truth, pictures.occlusion, pictures.explanation, pictures.difference
    ):  # fmt: skip
        level = None if image is None else level_of(image)
        if level is not None:
            return level
    return None


def _outline_occlusions(axes: Axes, pictures: CasePictures, view: View) -> None:
    if pictures.truth is not None:
        slices.outline(axes, pictures.truth, view, TRUTH_COLOUR, "annotated")
    if pictures.occlusion is not None:
        slices.outline(axes, pictures.occlusion, view, CALL_COLOUR, "marked", dashed=True)
    _mark_places(axes, pictures, view)
    slices.name_outlines(axes)


def _mark_places(axes: Axes, pictures: CasePictures, view: View) -> None:
    if pictures.clot is not None:
        slices.mark(axes, pictures.clot, view, TRUTH_COLOUR, "annotated")
    if pictures.point is not None:
        slices.mark(axes, pictures.point, view, CALL_COLOUR, "called", cross=True)


def _draw_projection(axes: Axes, pictures: CasePictures, view: View) -> None:
    """The vessels of all slices, where they lie in the frame of the others, with the call."""
    if pictures.projection is None:
        return
    flat = replace(view, at=view_of(pictures.projection).at)
    slices.show_scan(axes, pictures.projection, flat)
    if pictures.call is not None:
        slices.shade(axes, pictures.call, flat, CALL_COLOUR, "named segment")
    _mark_places(axes, pictures, flat)
    slices.name_outlines(axes)


def _draw_map(axes: Axes, name: str, image: Nifti1Image, view: View) -> None:
    if name == "difference":
        shown = slices.overlay_difference(axes, image, view)
        slices.colour_bar([axes], shown, "HU, this side minus the other")
    else:
        shown = slices.overlay(axes, image, view, "inferno", (0, 1))
        slices.colour_bar([axes], shown, "Relative to the strongest")

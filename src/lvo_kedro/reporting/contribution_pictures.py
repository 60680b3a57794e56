"""What a side model's call is made of: on the scan, and as bars, left against right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from nibabel.affines import apply_affine

from lvo_kedro.imaging.planes import view_of
from lvo_kedro.reporting import slices
from lvo_kedro.reporting.style import GREEN, INK, MUTED, PURPLE, new_row, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from nibabel.nifti1 import Nifti1Image

SIDE_COLOURS: Final = {"left": PURPLE, "right": GREEN}  # those of the maps mean for and against
WIDTH: Final = 3.2
"""Of a panel, inches."""


def plot_contributions(
    case_id: str,
    ncct: Nifti1Image,
    contributions: Nifti1Image,
    sources: pd.DataFrame,
    vessel_labels: Nifti1Image,
) -> Figure:
    """Draw what speaks for an occlusion, and where.

    Args:
        case_id: Shown as the title.
        ncct: HU, any orientation.
        contributions: Log odds on the scan's grid, above 0 where something speaks for an occlusion.
        sources: Columns source, left, right: log odds by source; the patient's sides.
        vessel_labels: Vessel labels on the scan's grid.

    Returns:
        The figure: the levels of the strongest artery and of the strongest block of tissue, and
        bars of all sources on either side.
    """
    utilities = np.asarray(contributions.dataobj)
    arteries = np.isin(np.asarray(vessel_labels.dataobj), (1, 2, 3))
    limit = max(float(np.abs(utilities).max()), 0.1)
    panels = {
        "Arteries": np.where(arteries, np.abs(utilities), 0),
        "Tissue": np.where(arteries, 0, np.abs(utilities)),
    }
    with style():
        figure, row = new_row(3, 3 * WIDTH + 0.3, WIDTH + 1.2)
        shown = None
        for axes, (title, strength) in zip(row, panels.items(), strict=False):
            view = view_of(ncct, at=_level(strength, ncct))
            slices.show_scan(axes, ncct, view)
            shown = slices.overlay(
                axes, contributions, view, slices.DIFFERENCE_COLOURS, (-limit, limit)
            )
            axes.set_title(f"{title}, where most is said", color=MUTED, size=8.5, weight="normal")
        if shown is not None:
            slices.colour_bar(list(row[:2]), shown, "Log odds, above 0: for an occlusion here")
        _draw_bars(row[2], sources)
        figure.suptitle(case_id, x=0.01, ha="left", size=10)
    return figure


def _level(strength: np.ndarray, image: Nifti1Image) -> float | None:
    """Return the world z of the strongest voxel, None where there is none."""
    if not strength.any():
        return None
    place = np.unravel_index(strength.argmax(), strength.shape)
    return float(apply_affine(image.affine, place)[2])


def _draw_bars(axes: Axes, sources: pd.DataFrame) -> None:
    """Draw a pair of bars for each source, the sums of both sides last."""
    total = sources[["left", "right"]].sum()
    names = [*sources["source"], "sum"]
    for offset, side in ((0.2, "right"), (-0.2, "left")):
        values = [*sources[side], total[side]]
        places = np.arange(len(names)) + offset
        axes.barh(places, values, 0.38, color=SIDE_COLOURS[side], label=f"patient's {side}")
    axes.axvline(0, color=INK, lw=0.8)
    axes.set(yticks=range(len(names)), yticklabels=names)
    axes.invert_yaxis()
    axes.set_xlabel("Log odds against an average side", color=MUTED, size=8)
    axes.set_title("What each source adds", color=MUTED, size=8.5, weight="normal")
    axes.legend(
        fontsize=8, labelcolor=MUTED, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2
    )

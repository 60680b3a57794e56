"""Where in a scan something as dense as fresh blood lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.planes import level_of, view_of
from lvo_kedro.reporting import slices
from lvo_kedro.reporting.style import VERMILION, new_row, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from nibabel.nifti1 import Nifti1Image

    from lvo_kedro.imaging import Hyperdensity

WINDOW: Final = (0.0, 100.0)
"""HU from black to white: blood is bright and bone brighter."""
WIDTH: Final = 3.4
"""Of a panel, inches."""


def plot_hyperdensity(ncct: Nifti1Image, found: Hyperdensity) -> Figure:
    """The slice that shows most of the largest region, as it is and with all regions outlined.

    Args:
        ncct: Scan in HU, in any orientation.
        found: Of :func:`lvo_kedro.imaging.find_hyperdensity`, with at least one region.

    Returns:
        The figure: two panels at one scale.

    Raises:
        ValueError: No region.
    """
    regions = np.asarray(found.regions.dataobj)
    level = level_of(make_image((regions == 1).astype(np.uint8), found.regions.affine))
    if level is None:
        raise ValueError("no hyperdense region: there is nothing to show")
    view = view_of(ncct, at=level)
    left, right, bottom, top = view.extent
    height = (top - bottom + 2 * slices.MARGIN) / (left - right + 2 * slices.MARGIN) * WIDTH
    with style():
        figure, panels = new_row(2, 2 * WIDTH, height + 0.7)
        for axes in panels:
            slices.show_scan(axes, ncct, view, WINDOW)
        slices.outline(panels[1], found.regions, view, VERMILION, "as dense as fresh blood")
        slices.name_outlines(panels[1])
        words = f"{sum(found.volumes_ml):.1f} ml, the largest region {found.volumes_ml[0]:.1f} ml"
        figure.suptitle(f"Haemorrhage-like hyperdensity: {words}", x=0.01, ha="left", size=9)
    return figure

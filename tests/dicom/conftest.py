"""Series whose frames lie as scanners leave them, with a result for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lvo_kedro.imaging.geometry import Grid
from tests.imaging.phantoms import Series, dicom_layout, head_grid, phantom_head
from tests.lengths import one_of

if TYPE_CHECKING:
    from pathlib import Path


MARKER = (-35.0, 45.0, 10.0)
"""Centre of the phantom's bright ball: left, in front."""


def straight(folder: Path) -> Series:
    grid = dicom_layout(head_grid((3.0, 3.0, 4.0)))
    return Series(folder, phantom_head(grid)[0], grid.affine)


def tilted(folder: Path, degrees: float = 18.5) -> Series:
    """The gantry is tilted; the table moves along the patient, not along the frames' normal."""
    series = straight(folder)
    affine, (c, s) = (
        series.affine.copy(),
        (np.cos(np.radians(degrees)), np.sin(np.radians(degrees))),
    )
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 2] = [0, 0, 4.0 / c]
    affine[:3, 3] += [0, -20 * np.sign(degrees), -15 * np.sign(degrees)]
    series.affine = affine
    series.hu = phantom_head(Grid(series.hu.shape, affine))[0]
    return series


def uneven(folder: Path, tilt: float = 0.3) -> Series:
    """Slice steps of 4, 1.1 and 7 mm, and a table that moves askew."""
    heights = -75 + np.concatenate([[0], np.cumsum([4.0] * 16 + [1.1] + [7.0] * 13)])
    planes = []
    for height in heights:
        affine = head_grid((3.0, 3.0, 4.0)).affine.copy()
        affine[:3, 3] += [0, tilt * height, 0]
        affine[2, 3] = height
        planes.append(dicom_layout(Grid((62, 73, 1), affine)))
    hu = np.concatenate([phantom_head(plane)[0] for plane in planes], axis=2)
    series = Series(folder, hu, planes[0].affine)
    series.positions = np.array([plane.affine[:3, 3] for plane in planes])
    return series


def from_the_vertex(folder: Path) -> Series:
    series = straight(folder)
    series.affine[:3, 3] += series.affine[:3, 2] * (series.hu.shape[2] - 1)
    series.affine[:3, 2] *= -1
    series.hu = series.hu[..., ::-1]
    return series


def turned_table(folder: Path) -> Series:
    """Columns run to the patient's right and rows to the front, as when lying prone."""
    series = straight(folder)
    columns, rows, _ = series.hu.shape
    series.affine[:3, 3] += series.affine[:3, :2] @ [columns - 1, rows - 1]
    series.affine[:3, :2] *= -1
    series.hu = series.hu[::-1, ::-1]
    return series


def tilted_back(folder: Path) -> Series:
    return tilted(folder, -20.0)


MAKERS = [tilted, straight, tilted_back, uneven, from_the_vertex, turned_table]


@pytest.fixture(params=one_of(3, MAKERS), ids=lambda maker: maker.__name__)
def series(request: pytest.FixtureRequest, tmp_path: Path) -> Series:
    """Each of these series, written."""
    made: Series = request.param(tmp_path / "series")
    made.write()
    return made

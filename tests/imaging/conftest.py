"""Phantom scans that the tests of reading and masking share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvo_kedro.imaging.geometry import make_image
from tests.imaging.phantoms import Series, dicom_layout, head_grid, phantom_head

if TYPE_CHECKING:
    from pathlib import Path

    import nibabel as nib


@pytest.fixture(scope="session")
def head() -> nib.Nifti1Image:
    """RAS+ phantom of 1.5 x 1.5 x 3 mm."""
    grid = head_grid()
    return make_image(phantom_head(grid)[0], grid.affine)


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """A small straight series: 40 slices of 4 mm, 3 x 3 mm pixels."""
    grid = dicom_layout(head_grid((3.0, 3.0, 4.0)))
    return Series(tmp_path / "dicom", phantom_head(grid)[0], grid.affine)

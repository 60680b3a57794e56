"""Reading the angiography that the cohort table names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import read_scan

if TYPE_CHECKING:
    from pathlib import Path

    import nibabel as nib


def read_cta(path: Path) -> nib.Nifti1Image:
    """Read an angiography of the head.

    Args:
        path: NIfTI file, or folder with one DICOM series.

    Returns:
        float32 HU, (X, Y, Z) in RAS+, axes at right angles, cut to the head.

    Raises:
        ScanError: It cannot be used.
    """
    try:
        return read_scan(path).ncct
    except ScanError as error:
        raise ScanError(
            f"in the angiography (cta): {error.found}", error.expected, error.remedy
        ) from error

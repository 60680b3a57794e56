"""DICOM folders of an archive that once went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import read_scan

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.shared

READ = (
    "07_dose_report_beside_the_series/dicom",
    "08_study_time_per_slice/dicom",
    "09_bits_stored_by_slice/dicom",
    "11_last_slices_without_preamble/dicom",
    "11_last_slices_without_preamble/all",
    "12_apple_double/dicom",
    "13_one_sop_instance_uid/dicom",
    "13_one_sop_instance_uid/empty",
    "13_one_sop_instance_uid/absent",
    "14_deflated/dicom",
)
REFUSED = {
    "02_intercept_lost_padding_kept/dicom": "the rescale intercept is missing",
    "03_second_slice_missing/dicom": "a gap of 8.0 mm between slices 1 and 2 of 45",
    "03_second_slice_missing/two_apart": "2 gaps, the first of 8.0 mm between slices 20 and 21",
    "10_decimal_commas/dicom": r"'1,484\\1,484' as PixelSpacing in 46 of 46 slices",
    "10_decimal_commas/slope": "'1,0' as RescaleSlope in 46 of 46 slices",
}


@pytest.mark.parametrize("name", READ)
def test_read_with_every_slice(shared: Path, name: str) -> None:
    scan = read_scan(shared / "data" / "faults" / name)
    assert scan.ncct.shape == (128, 128, 46)
    assert scan.findings == ("slices of 2.0 mm every 4.0 mm: what lies between was not scanned",)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(shared: Path, name: str) -> None:
    with pytest.raises(ScanError) as caught:
        read_scan(shared / "data" / "faults" / name)
    assert REFUSED[name].replace(r"\\", "\\") in caught.value.found

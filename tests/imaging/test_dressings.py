"""A hundred dressings that leave a head as it is, and a hundred that do not.

The first must all give the same volume in HU and millimetres; of the second, each must be refused
or found. The head is simulated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import BrainOptions, QualityLimits, ScanLimits, find_remarkable, read_scan
from lvo_kedro.pipelines.preprocessing.nodes import preprocess_scan
from lvo_kedro.simulation import SimulationOptions, simulate_case
from tests.imaging.dressings import (
    CHANGED,
    IN_THE_HEADERS,
    NIFTI,
    OF_THE_FILES,
    Head,
    as_image,
    as_series,
    head_of,
    write_nifti,
)
from tests.lengths import one_of

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20261125
HEADERS, FILES = list(IN_THE_HEADERS), list(OF_THE_FILES)
DICOM_CASES = [
    (HEADERS[i % len(HEADERS)], FILES[(3 * i + i // len(FILES)) % len(FILES)]) for i in range(70)
]
NIFTI_CASES = [(kind, form) for kind in NIFTI for form in range(2)]

CHANGED_CASES = [(kind, form) for kind in CHANGED for form in range(2)]


QUALITY = QualityLimits(max_in_plane_mm=2.5)


@pytest.fixture(scope="module")
def head() -> Head:
    options = SimulationOptions(spacing_mm=2.0, slice_thickness_mm=(3.0,))
    case = simulate_case(5, options)
    return head_of(case.ncct, case.vessel_labels)


def assert_same(head: Head, path: Path) -> None:
    scan = read_scan(path)
    data = scan.ncct.get_fdata()
    assert data.shape == head.hu.shape
    assert np.allclose(scan.ncct.affine, head.affine, atol=0.02)
    # corners may be padding
    inside = np.ones(head.hu.shape[:2], dtype=bool)
    for x in (slice(4), slice(-4, None)):
        for y in (slice(4), slice(-4, None)):
            inside[x, y] = False
    assert np.abs(data - head.hu)[inside].max() < 0.01
    assert data[~inside].max() < 0


@pytest.mark.parametrize(("header", "files"), one_of(6, DICOM_CASES))
def test_the_same_head_in_dicom(head: Head, tmp_path: Path, header: str, files: str) -> None:
    rng = np.random.default_rng([SEED, HEADERS.index(header), FILES.index(files)])
    series = as_series(head, tmp_path / "dicom", rng)
    folder = series.write(IN_THE_HEADERS[header](series, rng))
    OF_THE_FILES[files](folder, rng)
    assert_same(head, folder)


@pytest.mark.parametrize(("kind", "form"), one_of(6, NIFTI_CASES))
def test_the_same_head_in_nifti(head: Head, tmp_path: Path, kind: str, form: int) -> None:
    rng = np.random.default_rng([SEED, list(NIFTI).index(kind), form])
    image = NIFTI[kind](as_image(head, rng), rng)
    assert_same(head, write_nifti(image, tmp_path, rng))


@pytest.mark.parametrize(("kind", "form"), one_of(6, CHANGED_CASES))
def test_another_head_is_refused_or_found(head: Head, tmp_path: Path, kind: str, form: int) -> None:
    rng = np.random.default_rng([SEED, list(CHANGED).index(kind), form])
    path = CHANGED[kind](head, tmp_path, rng)
    try:
        case = preprocess_scan(path, None, ScanLimits(), BrainOptions(), QUALITY)
    except ScanError as error:
        assert error.found and error.expected and error.remedy
    else:
        assert find_remarkable(case["quality"], QUALITY)


def test_the_head_itself_has_no_finding(head: Head, tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    for path in (
        as_series(head, tmp_path / "dicom", rng).write(),
        write_nifti(as_image(head, rng), tmp_path, rng),
    ):
        case = preprocess_scan(path, None, ScanLimits(), BrainOptions(), QUALITY)
        assert find_remarkable(case["quality"], QUALITY) == []


def test_there_are_a_hundred_and_each_kind_is_among_them() -> None:
    assert len(DICOM_CASES) + len(NIFTI_CASES) >= 100
    assert len(CHANGED_CASES) >= 100
    assert {header for header, _ in DICOM_CASES} == set(HEADERS)
    assert {files for _, files in DICOM_CASES} == set(FILES)

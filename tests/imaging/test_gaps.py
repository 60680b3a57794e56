"""Steps that are a protocol, and steps that are a gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lvo_kedro.imaging import ScanLimits
from lvo_kedro.imaging.gaps import describe_gaps, describe_order, find_gaps
from lvo_kedro.imaging.headers import Slice
from lvo_kedro.imaging.pixels import PixelData


def series(
    steps: list[float], thickness: list[float] | float | None = None, numbers: object = None
) -> list[Slice]:
    """Slices at the given distances, numbered 1, 2, 3, ... or as told (0: without numbers)."""
    heights = np.concatenate([[0.0], np.cumsum(steps)])
    count = len(heights)
    thick = thickness if isinstance(thickness, list) else [thickness] * count
    names = list(range(1, count + 1)) if numbers is None else numbers
    slices = []
    for k in range(count):
        said = {
            "ImagePositionPatient": (0.0, 0.0, float(heights[k])),
            "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        }
        if thick[k] is not None:
            said["SliceThickness"] = (thick[k],)
        if names:
            said["InstanceNumber"] = (float(names[k]),)
        slices.append(Slice(Path(), {}, said, {}, PixelData("", (), True, False)))
    return slices


PROTOCOLS = {
    "even": series([4.0] * 40, 4.0),
    "thin": series([0.625] * 200, 0.625),
    "rounded": series([2.9, 3.0, 3.1, 3.0] * 10, 3.0),
    "fine base, coarse vertex": series([2.5] * 14 + [5.0] * 15, [2.5] * 15 + [5.0] * 15),
    "the same, without thickness": series([2.5] * 14 + [5.0] * 15),
    "the same from above": series([10.0] * 8 + [5.0] * 10, [10.0] * 9 + [5.0] * 10),
    "three blocks": series([2.5] * 8 + [5.0] * 8 + [10.0] * 6),
    "one odd step between blocks": series(
        [4.0] * 13 + [1.08] + [7.0] * 13, [4.0] * 14 + [7.0] * 14
    ),
    "an odd step of a quarter": series([4.0] * 13 + [1.0] + [8.0] * 13, [4.0] * 14 + [8.0] * 14),
    "a step between": series([4.0] * 12 + [5.5] + [7.0] * 10),
    "thin slices far apart": series([4.0] * 40, 2.0),
    "two numbers per slice": series([4.0] * 20, 4.0, list(range(1, 43, 2))),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_no_gap(name: str) -> None:
    assert find_gaps(PROTOCOLS[name], ScanLimits()) == []


GAPS = {
    "second": ([8.0] + [4.0] * 38, None, None, [(0, 1)]),
    "last but one": ([4.0] * 38 + [8.0], None, None, [(38, 1)]),
    "in between": ([4.0] * 20 + [8.0] + [4.0] * 18, None, None, [(20, 1)]),
    "two together": ([4.0] * 20 + [12.0] + [4.0] * 18, None, None, [(20, 2)]),
    "two apart": ([4.0] * 20 + [8.0] * 2 + [4.0] * 18, None, None, [(20, 1), (21, 1)]),
    "thin": ([0.625] * 90 + [1.25] + [0.625] * 90, None, None, [(90, 1)]),
    "second and third": ([12.0] + [4.0] * 30, None, None, [(0, 2)]),
    "every second above": (
        [4.0] * 10 + [8.0] * 4,
        4.0,
        [*range(1, 12), 13, 15, 17, 19],
        [(10, 1), (11, 1), (12, 1), (13, 1)],
    ),
    "the same without numbers": (
        [4.0] * 10 + [8.0] * 4,
        4.0,
        0,
        [(10, 1), (11, 1), (12, 1), (13, 1)],
    ),
    "every second": ([8.0] * 3, 4.0, [1, 3, 5, 7], [(0, 1), (1, 1), (2, 1)]),
    "every third": ([4.0, 8.0] * 4, 4.0, 0, [(k, 1) for k in (1, 3, 5, 7)]),
    "in the coarse block": (
        [2.5] * 10 + [5.0] * 5 + [10.0] + [5.0] * 5,
        [2.5] * 11 + [5.0] * 11,
        None,
        [(15, 1)],
    ),
    "of another length": ([3.0] * 10 + [5.4] + [3.0] * 10, None, None, [(10, 1)]),
}


@pytest.mark.parametrize("name", GAPS)
def test_a_gap_is_found(name: str) -> None:
    steps, thickness, numbers, expected = GAPS[name]
    gaps = find_gaps(series(steps, thickness, numbers), ScanLimits())
    assert [(gap.below, gap.missing) for gap in gaps] == expected


def test_the_words_say_where_and_how_many() -> None:
    slices = series([4.0] * 20 + [8.0, 4.0, 12.0] + [4.0] * 18)
    gaps = find_gaps(slices, ScanLimits())
    assert describe_gaps(gaps, slices) == (
        "2 gaps, the first of 8.0 mm between slices 21 and 22 of 42 in steps of 4.0 mm "
        "(3 slice(s) missing in all)"
    )


def test_findings_on_numbers_and_thickness() -> None:
    assert describe_order(series([4.0] * 10, 4.0)) == []
    assert describe_order(series([4.0] * 10, 2.0)) == [
        "slices of 2.0 mm every 4.0 mm: what lies between was not scanned"
    ]
    assert describe_order(series([4.0] * 10, 4.0, [*range(4, 10), *range(11, 16)])) == [
        "the numbers of the slices skip 1",
        "the slices are numbered from 4 on",
    ]


def test_the_step_between_a_thick_and_a_thin_block_is_no_gap() -> None:
    thickness = [4.5] * 16 + [1.5] * 51
    slices = series([4.5] * 15 + [3.0] + [1.5] * 50, thickness)
    assert find_gaps(slices, ScanLimits()) == []
    # where they do not touch, something is missing
    lost = series([4.5] * 15 + [6.0] + [1.5] * 50, thickness)
    assert [gap.below for gap in find_gaps(lost, ScanLimits())] == [15]

"""Series taken apart and put together before anything is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lvo_kedro.studies.candidates import candidates_of
from lvo_kedro.studies.halves import with_joined
from lvo_kedro.studies.index import File, Series, Study
from tests.studies.headers import file

HEADER = {"SeriesNumber": "2", "SeriesDescription": "Plain", "FrameOfReferenceUID": "9"}


def stack(count: int, step: float, low: float = 0.0, first: int = 1, **form: str) -> list[File]:
    return [file(first + k, (0.0, 0.0, low + k * step), **form) for k in range(count)]


def study(*series: list[File], **header: str) -> Study:
    said = [
        Series(f"1.{n}", HEADER | {"SeriesNumber": str(n)} | header, files)
        for n, files in enumerate(series, start=2)
    ]
    return Study("1", "", "p", said)


def test_a_series_is_measured_by_its_slices() -> None:
    (one,) = candidates_of(study(stack(30, 5.0, low=-20.0)))
    assert (one.name, one.slices, one.images, one.plane) == ("2", 30, 30, "axial")
    assert (one.extent_mm, one.step_mm, one.low_mm) == pytest.approx((150, 5, -20))


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [
        ("1\\0\\0\\0\\0.949\\-0.316", "axial"),  # a tilted gantry
        ("1\\0\\0\\0\\0\\-1", "coronal"),
        ("0\\1\\0\\0\\0\\-1", "sagittal"),
    ],
)
def test_the_plane_is_told_by_the_orientation(orientation: str, plane: str) -> None:
    (one,) = candidates_of(study(stack(8, 5.0, ImageOrientationPatient=orientation)))
    assert one.plane == plane


def test_interleaved_reconstructions_are_taken_apart() -> None:
    soft = stack(30, 5.0, ConvolutionKernel="H31s")
    bone = stack(30, 5.0, first=31, ConvolutionKernel="H60s")
    mixed = [item for pair in zip(soft, bone, strict=True) for item in pair]
    found = candidates_of(study(mixed))
    assert [(one.name, one.kernel, one.slices) for one in found] == [
        ("2a", "soft", 30),
        ("2b", "bone", 30),
    ]


def test_a_change_of_kernel_along_the_head_is_one_series() -> None:
    files = stack(10, 5.0, ConvolutionKernel="H31s") + stack(
        20, 5.0, 50.0, first=11, ConvolutionKernel="H40s"
    )
    (one,) = candidates_of(study(files))
    assert one.slices == 30


def test_slices_sent_twice_count_once() -> None:
    files = stack(30, 5.0)
    (one,) = candidates_of(study(files + files[5:9]))
    assert (one.slices, one.images, len(one.files)) == (30, 30, 30)


def test_a_scout_in_the_series_is_no_part_of_it() -> None:
    scout = stack(1, 1.0, ImageType="ORIGINAL\\PRIMARY\\LOCALIZER",
                  ImageOrientationPatient="1\\0\\0\\0\\0\\-1")  # fmt: skip
    found = candidates_of(study(scout + stack(30, 5.0)))
    assert sorted(one.slices for one in found) == [1, 30]


def test_images_that_are_each_a_series_of_their_own_are_put_together() -> None:
    (one,) = candidates_of(study(*([item] for item in stack(30, 5.0))))
    assert one.slices == 30


def test_refused_images_are_counted_and_left_out() -> None:
    files = stack(30, 5.0)
    (one,) = candidates_of(study([*files, file(99, (0, 0, 200.0), "a secondary capture")]))
    assert (one.slices, one.refused) == (30, {"a secondary capture": 1})


def base_and_vertex(**vertex: str) -> Study:
    base, top = stack(12, 3.0, 0.0), stack(14, 7.0, 38.0, first=20, **vertex)
    return study(base, top)


def test_skull_base_and_vertex_are_put_together() -> None:
    *halves, whole = with_joined(candidates_of(base_and_vertex()))
    assert whole.name == "2+3"
    assert whole.slices == 26
    assert whole.extent_mm == pytest.approx(136)
    assert [half.half for half in halves] == [True, True]
    assert not whole.half


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PixelSpacing": "0.4\\0.4"}, "another pixel size"),
        ({"Rows": "256"}, "another size"),
        ({"ImageOrientationPatient": "1\\0\\0\\0\\0.98\\-0.2"}, "another direction"),
    ],
)
def test_halves_that_do_not_fit_say_why(change: dict[str, str], reason: str) -> None:
    found = with_joined(candidates_of(base_and_vertex(**change)))
    assert len(found) == 2
    assert all(reason in one.notes[-1] and one.half for one in found)


def test_two_whole_heads_are_no_halves() -> None:
    found = with_joined(candidates_of(study(stack(30, 5.0), stack(150, 1.0, first=50))))
    assert [one.half for one in found] == [False, False]


def test_where_halves_overlap_the_finer_one_keeps_its_slices() -> None:
    fine, coarse = stack(20, 3.0), stack(14, 7.0, 50.0, first=40)
    whole = with_joined(candidates_of(study(fine, coarse)))[-1]
    heights = sorted(place[2] for item in whole.files for place in item.places)
    assert heights[:20] == [3.0 * k for k in range(20)]
    assert heights[20:] == [50.0 + 7.0 * k for k in range(2, 14)]


def test_series_of_one_number_have_names_of_their_own() -> None:
    twice = study(stack(10, 5.0), stack(10, 5.0, first=50))
    alike = twice._replace(
        series=[one._replace(header=HEADER | {"SeriesNumber": "1"}) for one in twice.series]
    )
    assert [one.name for one in candidates_of(alike)] == ["1", "1.2"]
    assert replace(candidates_of(alike)[0], name="x").name == "x"

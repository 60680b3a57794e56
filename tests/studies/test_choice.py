"""Which series is chosen, by what headers say and, where that is close, by what pixels say."""

from __future__ import annotations

from typing import Any

import pytest

from lvo_kedro.studies import ChoiceOptions, choose
from lvo_kedro.studies.candidates import Candidate
from tests.studies.headers import candidate

THIN, THICK = {"step_mm": 0.625}, {"step_mm": 5.0}
STUDIES: dict[str, tuple[list[tuple[str, dict[str, Any]]], str, str]] = {
    # series with what is special about them, the plain scan, the angiography
    "thick and thin plain": (
        [("Plain", THICK), ("PRE CONTRAST PLAIN THIN", THIN), ("BONE", THIN)],
        "PRE CONTRAST PLAIN THIN",
        "",
    ),
    "named by thickness alone": ([("5mm", THICK), ("0.625mm", THIN)], "0.625mm", ""),
    "plain and post contrast": (
        [("Plain THIN", THIN), ("POST CONTRAST", THIN), ("CECT", THICK)],
        "Plain THIN",
        "",
    ),
    "an angiography by its injection": (
        [("Plain", THICK), ("4cc sec 150cc", THIN | {"extent_mm": 350.0})],
        "Plain",
        "4cc sec 150cc",
    ),
    "thin angiography, thick plain": (
        [("HEAD NATIVE", THICK), ("CTA COW", THIN), ("CTA MIP", THIN)],
        "HEAD NATIVE",
        "CTA COW",
    ),
    "high resolution kernel": ([("HRCT", THIN | {"kernel": "BONE"}), ("5mm", THICK)], "5mm", ""),
    "kernels by vendor": (
        [("a", THIN | {"kernel": "H60s"}), ("b", THIN | {"kernel": "H31s"})],
        "b",
        "",
    ),
    "contrast known by the agent alone": (
        [("a", THIN | {"agent": "Iopromide 370"}), ("b", THICK | {"kernel": "UB"})],
        "b",
        "a",
    ),
    "an agent that is none": ([("Head", THIN | {"agent": "NONE"})], "Head", ""),
    "only with contrast": ([("POST CONTRAST", THIN), ("CECT", THICK)], "", ""),
    "another part of the body": ([("Thorax nativ", THIN), ("LUNG", THIN)], "", ""),
    "coronal and axial": (
        [("Plain cor", THIN | {"plane": "coronal"}), ("Plain", THICK)],
        "Plain",
        "",
    ),
    "not CT": ([("Plain", THIN | {"form": {"Modality": "MR"}})], "", ""),
    "a scout": ([("x", THICK | {"form": {"ImageType": "ORIGINAL\\PRIMARY\\LOCALIZER"}})], "", ""),
    "a perfusion": ([("Head", {"step_mm": 5.0, "slices": 30, "images": 900})], "", ""),
    "a slab": ([("Head plain", {"extent_mm": 40.0, "step_mm": 5.0})], "Head plain", ""),
    "a slab beside the head": (
        [("Head plain", {"extent_mm": 40.0, "step_mm": 1.0}), ("5mm plain", THICK)],
        "5mm plain",
        "",
    ),
    "too few slices": ([("Head plain", {"slices": 3})], "", ""),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_the_table_chooses(kind: str) -> None:
    described, ncct, cta = STUDIES[kind]
    candidates = [candidate(text, **special) for text, special in described]
    chosen = choose(candidates, "ncct").chosen
    assert (chosen.candidate.name if chosen else "") == ncct
    rest = [one for one in candidates if one.name != ncct]
    chosen = choose(rest, "cta").chosen
    assert (chosen.candidate.name if chosen else "") == cta


def test_every_candidate_has_points_that_add_up_and_reasons() -> None:
    candidates = [candidate("Plain", **THIN), candidate("POST CONTRAST"), candidate("Thorax")]
    choice = choose(candidates, "ncct")
    assert len(choice.ranked) == 3
    for scored in choice.ranked:
        points = [float(reason.split(" ")[0]) for reason in scored.reasons]
        assert points
        assert sum(points) == pytest.approx(scored.score)


def test_two_alike_are_left_to_a_person() -> None:
    choice = choose([candidate("Plain 1", **THICK), candidate("Plain 2", **THICK)], "ncct")
    assert choice.chosen is None
    assert {one.candidate.name for one in choice.undecided} == {"Plain 1", "Plain 2"}
    narrow = ChoiceOptions(margin=0.0)
    assert choose([candidate("a"), candidate("b")], "ncct", options=narrow).chosen is not None


def test_a_person_has_the_last_word() -> None:
    candidates = [candidate("Plain", **THIN), candidate("CECT", **THICK)]
    choice = choose(candidates, "ncct", named={"CECT": "ncct"})
    assert choice.chosen is not None
    assert (choice.chosen.candidate.name, choice.by) == ("CECT", "person")
    assert choose(candidates, "ncct", named={"Plain": "no"}).chosen is None
    both = choose(candidates, "ncct", named={"CECT": "ncct", "Plain": "ncct"})
    assert both.chosen is None
    assert len(both.undecided) == 2


class Eyes:
    """Says what the pixels of each candidate show, and remembers what it was asked for."""

    def __init__(self, **shown: dict[str, Any]) -> None:
        self.shown, self.asked = shown, []

    def __call__(self, one: Candidate) -> dict[str, Any]:
        self.asked.append(one.name)
        quiet = {"bright_vessels_mm": 0.0, "noise_hu": 5.0}
        return quiet | self.shown.get(one.name, {})


FRAME = {"header": {"FrameOfReferenceUID": "1.2"}}


def test_only_the_winner_is_looked_at_where_headers_are_clear() -> None:
    eyes = Eyes()
    choose([candidate("Plain", **THIN), candidate("CECT", **THIN)], "ncct", eyes)
    assert eyes.asked == ["Plain"]


@pytest.mark.parametrize(
    "shown",
    [
        {"bright_vessels_mm": 200.0},
        {"noise_hu": 60.0},
        {"no_brain": "nothing"},
        {"unreadable": "truncated"},
        {"turned_deg": 92.0},
        {"base_cut_cm2": 100.0},
    ],
)
def test_pixels_decide_between_two_alike(shown: dict[str, Any]) -> None:
    eyes = Eyes(a={"vertex_cut_cm2": 0.0, "base_cut_cm2": 0.0} | shown)
    choice = choose([candidate("a", **THIN), candidate("b", **THIN)], "ncct", eyes)
    assert set(eyes.asked) == {"a", "b"}
    assert choice.chosen is not None
    assert choice.chosen.candidate.name == "b"


def test_a_winner_that_pixels_contradict_gives_way() -> None:
    eyes = Eyes(a={"bright_vessels_mm": 300.0})
    choice = choose([candidate("a", **THIN), candidate("b", **THICK)], "ncct", eyes)
    assert choice.chosen is not None
    assert choice.chosen.candidate.name == "b"
    assert any("contrast medium is seen" in reason for reason in choice.ranked[1].reasons)


def test_an_angiography_without_contrast_is_none() -> None:
    assert choose([candidate("CTA", **THIN)], "cta", Eyes()).chosen is None
    eyes = Eyes(CTA={"bright_vessels_mm": 300.0})
    assert choose([candidate("CTA", **THIN)], "cta", eyes).chosen is not None


def test_two_reconstructions_of_one_place_are_no_question() -> None:
    candidates = [candidate("a", step_mm=1.25, **FRAME), candidate("b", step_mm=0.625, **FRAME)]
    choice = choose(candidates, "ncct", Eyes())
    assert choice.chosen is not None
    assert choice.chosen.candidate.name == "b"
    assert choose(candidates, "ncct").chosen is None  # nobody looked: one may hold contrast

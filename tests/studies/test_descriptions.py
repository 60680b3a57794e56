"""What people call a series, in many languages."""

from __future__ import annotations

import pytest

from lvo_kedro.studies import words_in

CALLED = {
    "Plain": "plain",
    "CT PRE CONTRAST PLAIN THIN": "plain",
    "0.625mm": "",
    "5mm": "",
    "HRCT": "",
    "POST CONTRAST": "contrast",
    "CECT": "contrast",
    "4cc sec 150cc": "angio",
    "CT 4cc sec 150cc D3D on-2": "angio",
    "ORAL IV": "contrast",
    "I To S": "",
    "sub-01_ses-01_ncct": "plain",
    "NON CONTRAST HEAD": "head plain",
    "noncontrast head": "head plain",
    "HEAD W/O": "head plain",
    "HEAD W/ CONTRAST": "contrast head",
    "HEAD C-": "head plain",
    "HEAD C+": "contrast head",
    "post op head": "head",
    "HeadRoutine 5.0 H60s Knochen": "bone head",
    "CerebralAngio 0.75 H20f": "angio head",
    "Schädel nativ 5.0 H31s": "head plain",
    "CCT ohne Kontrastmittel": "head plain",
    "Kopf mit KM": "contrast head",
    "Thorax nativ": "body plain",
    "Crâne sans injection": "head plain",
    "Angio TSA": "angio",
    "TC CRÁNEO SIN CONTRASTE": "head plain",
    "TC cráneo simple": "head plain",
    "Cranio senza mdc": "head plain",
    "TC crânio s/ contraste": "head plain",
    "Hersenen blanco": "head plain",
    "Hoofd met contrast": "contrast head",
    "Głowa bez kontrastu": "head plain",
    "Głowa po kontraście": "contrast head",
    "头颅平扫": "head plain",
    "头部CTA": "angio head",
    "頭部単純": "head plain",
    "頭部造影": "contrast head",
    "뇌 비조영": "head plain",
    "Голова без контраста": "head plain",
    "Голова с контрастом": "contrast head",
    "Topogram 0.6 T20f": "scout",
    "Dose Report": "report",
    "TestBolus": "report",
    "Perfusion CBF": "perfusion",
    "ANGIO CRANE MIP": "angio head mip",
    "Sagittal": "reformat",
    "lesion mask": "drawn",
}


@pytest.mark.parametrize("text", CALLED)
def test_words_of_a_description(text: str) -> None:
    assert words_in(text) == set(CALLED[text].split())


def test_no_word_of_the_description_comes_out() -> None:
    said = words_in("Quorlinde^Aurelinda Schädel nativ RX348811007")
    assert said == {"head", "plain"}

"""What radiologists write, in several languages."""

from __future__ import annotations

import pytest

from lvo_kedro.studies.words import cell_key, read_finding, read_side, read_yes_or_no

FINDINGS = {
    "linke MCA M1": "1 left M1",
    "R M1": "1 right M1",
    "M1 re.": "1 right M1",
    "Verschluss der linken ACM (M1-Segment)": "1 left M1",
    "Mediahauptstamm rechts": "1 right M1",
    "occlusion M1 gauche": "1 left M1",
    "Présence de l'occlusion M2 droite": "1 right M2",
    "oclusión ACM derecha M1": "1 right M1",
    "occlusione M2 sinistra": "1 left M2",
    "M1 dx": "1 right M1",
    "M1 sin": "1 left M1",
    "L M1/M2": "1 left M1+M2",
    "right M1-M2": "1 right M1+M2",
    "ICA-T": "1 - C7+M1",
    "left carotid T": "1 left C7+M1",
    "Karotis-T rechts": "1 right C7+M1",
    "T-Verschluss li": "1 left C7+M1",
    "right ICA-L": "1 right C7+M1",
    "ICA T with M2, right": "1 right other",
    "terminal ICA left": "1 left C7",
    "distale ACI links": "1 left C7",
    "C7 right": "1 right C7",
    "C7+M1 left": "1 left C7+M1",
    "C7 + M2 left": "1 left other",
    "ICA right": "1 right unknown",
    "ICA L": "1 left unknown",
    "ICA + M1 left": "1 left unknown",
    "tandem left: cervical ICA and M1": "1 left M1",
    "Tandem ACI/M2 re": "1 right M2",
    "tandem left": "1 left unknown",
    "cervical ICA left": "1 left other",
    "MCA left": "1 left unknown",
    "Mediaverschluss links": "1 left unknown",
    "basilaris": "1 - other",
    "Basilarisverschluss": "1 - other",
    "A. basilaris": "1 - other",
    "left PCA P1": "1 left other",
    "right M3": "1 right other",
    "A2 left": "1 left other",
    "M1 and A2 left": "1 left M1",
    "bilateral M1": "1 both M1",
    "M1 beidseits": "1 both M1",
    "M1 links und M2 rechts": "1 both M1+M2",
    "LVO": "1 - -",
    "kein Verschluss": "0 - -",
    "kein Gefäßverschluss": "0 - -",
    "Kein Nachweis eines Verschlusses": "0 - -",
    "no LVO": "0 - -",
    "No evidence of large vessel occlusion": "0 - -",
    "no M1 occlusion": "0 - -",
    "pas d’occlusion": "0 - -",
    "sin oclusión": "0 - -",
    "nessuna occlusione": "0 - -",
    "normal": "0 - -",
    "no LVO, but M3 left": "unknown left other",
    "M1 links?": "unknown left M1",
    "V.a. M2 rechts": "unknown right M2",
    "No ICH. M1 occlusion left": "1 left M1",
    "Keine Blutung, Mediaverschluss rechts": "1 right unknown",
    "Keine ICB. Mediahauptstammverschluss links": "1 left M1",
    "Pas d'hémorragie, occlusion gauche": "1 left -",
    "LVO left, no evidence of hemorrhage": "1 left -",
    "Großgefäßverschluss links, kein Nachweis einer Blutung": "1 left -",
    "LVO links, keine Thrombolyse": "1 left -",
    "Verschluss links, sonst normal": "unknown left -",
    "Keine Blutung. Basilarisverschluss": "1 - other",
    "nicht normal": "unknown - -",
    "1, no thrombectomy": "1 - -",
    "geen aanwijzingen voor occlusie": "0 - -",
    "LVO ausgeschlossen": "0 - -",
    "Ausschluss eines Gefäßverschlusses": "0 - -",
    "Kein Anhalt für einen LVO": "0 - -",
    "absence d'occlusion": "0 - -",
    "no acute intracranial large vessel occlusion": "0 - -",
    "LVO: 0": "0 - -",
    "rule out LVO": "unknown - -",
    "LVO unlikely": "unknown - -",
    "M1 offen": "unknown - M1",
    "M1 stenosis left": "unknown left M1",
    "oclusión M1 derecha sin hemorragia": "1 right M1",
    "M1 re-occlusion left": "1 left M1",
    "M1 right, sx 3 h": "1 right M1",
    "r/o M1 occlusion left": "unknown left M1",
    "Hemiparese rechts, M1-Verschluss": "1 - M1",
    "Left sided weakness, M1 occlusion": "1 - M1",
    "M1-Verschluss links, ACI-Stenose rechts": "1 left M1",
    "M2 superior trunk left": "1 left M2",
    "Occlusion du tronc basilaire": "1 - other",
    "brain stem infarct": "- - -",
    "ICA-L": "1 - unknown",
    "ICA-R": "1 right unknown",
    "MCA trunk left": "1 left M1",
    "ICA and distal M1 left": "1 left unknown",
    "distal M1 left, ICA stenosis": "1 left M1",
    "ICA occlusion left, cervical and intracranial": "1 left unknown",
    "VA occlusion left": "1 left other",
    "no hemorrhage or occlusion": "0 - -",
    "No hemorrhage and M1 occlusion left": "unknown left M1",
    "no flow in left M1 due to occlusion": "unknown left M1",
    "M1 occlusion left, not treated": "1 left M1",
    "M1 occlusion not seen": "unknown - M1",
    "no M1, M2 or ICA occlusion": "unknown - unknown",
    "kein LVO, M1 offen": "0 - -",
    "Keine Blutung, kein Verschluss": "0 - -",
    "M1 links. Keine Blutung. Kein Infarkt.": "1 left M1",
    "M1 occlusion, right sided": "1 right M1",
    "Karotis-L rechts": "1 right C7+M1",
    "see report": "- - -",
    "": "- - -",
}


@pytest.mark.parametrize(("text", "meaning"), FINDINGS.items())
def test_a_finding_is_read(text: str, meaning: str) -> None:
    found = read_finding(text)
    assert " ".join(v or "-" for v in (found.lvo, found.side, found.segment)) == meaning


def test_yes_and_no() -> None:
    assert {read_yes_or_no(text) for text in ("1", "Ja", "yes", "OUI", "sí", "positiv")} == {"1"}
    assert {read_yes_or_no(text) for text in ("0", "Nein", "no", "NON", "não", "neg.")} == {"0"}
    assert {read_yes_or_no(text) for text in ("", "-", "2", "no LVO", "siehe Befund")} == {""}


def test_a_side_that_is_doubted_is_none() -> None:
    told = {
        "left?": "unknown",
        "not left": "unknown",
        "M1 sin": "left",
        "sin": "left",
        "re.": "right",
    }
    assert {text: read_side(text) for text in told} == told


def test_whole_cells_keep_their_signs_and_their_script() -> None:
    cells = ("+", "-", "左", "右", "да", "нет", "M1+", "M1-")
    assert len({cell_key(cell) for cell in cells}) == len(cells)
    assert cell_key(" Ré. ") == cell_key("re") == "re"

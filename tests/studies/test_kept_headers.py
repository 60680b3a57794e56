"""What is kept of a header, and that a name never is."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from lvo_kedro.studies.kept_headers import COLUMNS, OF_PERSON, harvest, study_time_of

HEADER = {
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "ManufacturerModelName": "LightSpeed VCT",
    "ConvolutionKernel": "SOFT",
    "SliceThickness": "0.625000",
    "PixelSpacing": "0.488281\\0.488281",
    "KVP": "120",
    "Exposure": "249.6",
    "GantryDetectorTilt": "-18.50",
    "PatientSex": "F",
    "PatientAge": "067Y",
}


def facts(person: bool = False, **changes: str) -> dict[str, str]:
    return harvest(HEADER | changes, study_time=None, onset=None, with_age_and_sex=person)


def test_a_header_becomes_plain_columns() -> None:
    assert facts() == {
        "manufacturer": "GE",
        "model": "LightSpeed VCT",
        "kernel": "SOFT",
        "slice_thickness_mm": "0.625",
        "pixel_spacing_mm": "0.488",
        "kvp": "120",
        "exposure_mas": "250",
        "gantry_tilt_deg": "-18.5",
        "hours_from_onset": "",
    }
    empty = harvest({}, study_time=None, onset=None, with_age_and_sex=True)
    assert empty == dict.fromkeys((*COLUMNS, *OF_PERSON), "")


@pytest.mark.parametrize(
    ("vendor", "spellings"),
    [
        ("GE", ["GE MEDICAL SYSTEMS", "GE Healthcare", "GEMS", "General Electric"]),
        ("Siemens", ["SIEMENS", "Siemens Healthineers", "Siemens HealthCare GmbH "]),
        ("Philips", ["Philips", "Philips Medical Systems", "Marconi Medical Systems"]),
        ("Canon", ["TOSHIBA", "TOSHIBA_MEC", "CANON_MEC", "Canon Medical Systems"]),
        ("other", ["Gerhard Muster", "Muster^Gerda"]),
    ],
)
def test_a_vendor_has_one_name(vendor: str, spellings: list[str]) -> None:
    assert {facts(Manufacturer=text)["manufacturer"] for text in spellings} == {vendor}


@pytest.mark.parametrize(
    "text",
    [
        "Muster^Erika",
        "Erika Muster",
        "MUSTER 19500203",
        "A" * 33 + "1",
        "=cmd()",
        "a,b1",
        "Victor",
        "Zoë 1",
    ],
)
def test_what_could_be_a_name_is_no_model_and_no_kernel(text: str) -> None:
    found = facts(ManufacturerModelName=text, ConvolutionKernel=text, Manufacturer=text)
    assert {found[name] for name in ("model", "kernel", "manufacturer")} == {"other"}


@pytest.mark.parametrize(
    "text",
    ["SOMATOM Definition AS+", "iCT 256", "Aquilion ONE", "HiSpeed CT/i", "Optima CT660", "go.Top"],
)
def test_models_of_scanners_stay(text: str) -> None:
    assert facts(ManufacturerModelName=text)["model"] == text


@pytest.mark.parametrize(
    ("text", "kernel"),
    [("H30s", "H30s"), ("Hr40f\\3", "Hr40f"), ("FC26", "FC26"), ("UB", "UB"), ("IMR1", "IMR1"),
     ("Standard", "STANDARD"), ("BONEPLUS", "BONEPLUS"), ("Head Brain", "HEAD BRAIN")],
)  # fmt: skip
def test_kernels_stay(text: str, kernel: str) -> None:
    assert facts(ConvolutionKernel=text)["kernel"] == kernel


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e9", "5 mm Muster", ""])
def test_a_number_that_cannot_be_is_left_out(text: str) -> None:
    found = facts(SliceThickness=text, KVP=text, GantryDetectorTilt=text.replace("-1", "99"))
    assert {found[n] for n in ("slice_thickness_mm", "kvp", "gantry_tilt_deg")} == {""}


def test_exposure_as_it_is_named_in_millionths_or_as_current_by_time() -> None:
    assert facts(Exposure="", ExposureInuAs="200000")["exposure_mas"] == "200"
    assert facts(Exposure="", XRayTubeCurrent="300", ExposureTime="1000")["exposure_mas"] == "300"


def test_age_and_sex_only_if_asked_for() -> None:
    assert not set(OF_PERSON) & set(facts())
    assert facts(person=True)["age_band"] == "65 to 79"
    assert facts(person=True)["sex"] == "female"
    born = facts(person=True, PatientAge="", PatientBirthDate="20100630", StudyDate="20240629")
    assert born["age_band"] == "under 18"
    ages = {"017Y": "under 18", "018Y": "18 to 49", "050Y": "50 to 64", "080Y": "80 and above",
            "011M": "under 18", "999Y": "", "Muster": ""}  # fmt: skip
    assert {t: facts(person=True, PatientAge=t)["age_band"] for t in ages} == ages


def test_hours_from_onset_to_scan() -> None:
    scan = datetime(2024, 3, 1, 1, 30)
    zone = timezone(timedelta(hours=2))
    for onset, hours in [
        (datetime(2024, 2, 29, 23, 15), "2.2"),
        (datetime(2024, 2, 29, 23, 0, tzinfo=zone), "2.5"),
        (datetime(2024, 3, 1, 2, 0), ""),  # after the scan
        (datetime(2023, 3, 1, 2, 0), ""),  # a year before
        (None, ""),
    ]:
        found = harvest(HEADER, study_time=scan, onset=onset, with_age_and_sex=False)
        assert found["hours_from_onset"] == hours


def test_the_time_of_a_scan_is_the_most_exact_one() -> None:
    study = {"StudyDate": "20240301", "StudyTime": "120000"}
    taken = {"AcquisitionDate": "20240301", "AcquisitionTime": "121530.250000"}
    assert study_time_of(study) == datetime(2024, 3, 1, 12)
    assert study_time_of(study | taken) == datetime(2024, 3, 1, 12, 15, 30)
    assert study_time_of({"AcquisitionDateTime": "20240301121530.5+0100"} | study) == datetime(
        2024, 3, 1, 12, 15, 30
    )
    assert study_time_of({"StudyDate": "20241301"}) is None
    assert study_time_of({"StudyTime": "120000"}) is None

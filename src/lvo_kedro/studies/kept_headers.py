"""The few facts of a header that an evaluation needs; everything else is thrown away.

A header is free text that people type into. So a value goes through only where it is a number
within bounds, a word of a list, or a code of the kind that scanners write: what could be a name
becomes :data:`OTHER`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OTHER: Final = "other"
"""Stands for what is there and neither known nor a plain code."""
COLUMNS: Final = (
    "manufacturer", "model", "kernel", "slice_thickness_mm", "pixel_spacing_mm", "kvp",
    "exposure_mas", "gantry_tilt_deg", "hours_from_onset",
)  # fmt: skip
"""Columns of the cohort table that are harvested in any case; empty where nothing is known."""
OF_PERSON: Final = ("age_band", "sex")
"""Columns that are harvested only if asked for."""

_VENDORS: Final = {
    "GE": r"^ge\b|^gems\b|general electric|ge health",
    "Siemens": r"siemens",
    "Philips": r"philips|^marconi|^picker|^elscint",
    "Canon": r"toshiba|canon",
    "Hitachi": r"hitachi",
    "Fujifilm": r"fuji",
    "Neusoft": r"neusoft",
    "United Imaging": r"united imaging|^uih",
    "Samsung": r"samsung|neurologica",
    "Shimadzu": r"shimadzu",
    "Anke": r"\banke\b",
    "Minfound": r"minfound",
}
"""How vendors spell themselves; firms that one has bought count as the buyer."""
_FAMILIES: Final = (
    "somatom", "sensation", "emotion", "definition", "perspective", "scope", "go", "biograph",
    "naeotom", "volume zoom", "lightspeed", "brightspeed", "hispeed", "prospeed", "discovery",
    "optima", "revolution", "brilliance", "ingenuity", "iqon", "ict", "mx8000", "incisive",
    "spectral", "gemini", "aquilion", "asteion", "alexion", "activion", "scenaria", "supria",
    "eclos", "neuviz", "uct", "bodytom", "ceretom", "omnitom", "cardiographe",
)  # fmt: skip
"""Families of scanners; a model names one of them, or holds a digit as type numbers do."""
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+/_-]{0,31}")
_KERNEL_WORDS: Final = frozenset(
    "standard std std+ soft softer sharp smooth bone boneplus plus detail edge lung chest chst "
    "brain head neuro body abdomen angio cta ultra very medium posterior fossa hr hd".split()
)
_KERNEL_CODE: Final = re.compile(r"[A-Za-z]{1,2}|[A-Za-z]{0,3}[0-9]{1,3}[A-Za-z]{0,2}(_[0-9])?")
"""Such as H30s, Hr40f, FC26, J37s, UB, IMR1: too short for a name or a date."""
_LONG_NUMBER: Final = re.compile(r"[0-9]{5}")
_AGE_BANDS: Final = ((18, "under 18"), (50, "18 to 49"), (65, "50 to 64"), (80, "65 to 79"))
_OLDEST: Final = "80 and above"
_SEXES: Final = {"F": "female", "M": "male", "O": "other"}
_MOST_HOURS: Final = 24.0 * 30


def harvest(
    header: Mapping[str, str],
    *,
    study_time: datetime | None,
    onset: datetime | None,
    with_age_and_sex: bool,
) -> dict[str, str]:
    r"""Return what the cohort table keeps of a series' header.

    Args:
        header: DICOM keyword to value as text, several values joined by a backslash. What is
            missing is left empty.
        study_time: When the scan was made.
        onset: When the patient fell ill, or was last seen well.
        with_age_and_sex: Whether :data:`OF_PERSON` is harvested as well.

    Returns:
        :data:`COLUMNS` to text: lengths in mm, tube voltage in kV, exposure in mAs, tilt in
        degrees, hours from onset to scan.

    Examples:
        >>> header = {"Manufacturer": "GE MEDICAL SYSTEMS", "SliceThickness": "5.000000"}
        >>> facts = harvest(header, study_time=None, onset=None, with_age_and_sex=False)
        >>> facts["manufacturer"], facts["slice_thickness_mm"], facts["kvp"]
        ('GE', '5', '')
    """
    facts = {name: read(header) for name, read in _READERS.items()}
    facts["hours_from_onset"] = _hours(study_time, onset)
    if with_age_and_sex:
        facts["age_band"] = _age_band(header)
        facts["sex"] = _SEXES.get(_text(header, "PatientSex").upper(), "")
    return facts


def study_time_of(header: Mapping[str, str]) -> datetime | None:
    """Return when a scan was made, by the most exact of the times that its header has.

    Args:
        header: As of :func:`harvest`.

    Returns:
        The scanner's local time, without its zone; None where no date can be read.
    """
    stamp = _moment(_text(header, "AcquisitionDateTime"))
    for name in ("Acquisition", "Content", "Series", "Study"):
        if stamp is None:
            stamp = _moment(_text(header, f"{name}Date") + _text(header, f"{name}Time"))
    return stamp


def _moment(text: str) -> datetime | None:
    digits = re.match(r"([0-9]{8})([0-9]{4})?([0-9]{2})?", text)
    if not digits:
        return None
    day, minutes, seconds = digits.groups(default="")
    try:
        return datetime.strptime(day + (minutes or "0000") + (seconds or "00"), "%Y%m%d%H%M%S")
    except ValueError:
        return None


def _text(header: Mapping[str, str], name: str) -> str:
    """First value of an attribute."""
    return str(header.get(name, "")).split("\\")[0].strip(" \0")


def _vendor(header: Mapping[str, str]) -> str:
    text = _text(header, "Manufacturer").lower()
    found = (name for name, pattern in _VENDORS.items() if re.search(pattern, text))
    return next(found, OTHER if text else "")


def _model(header: Mapping[str, str]) -> str:
    text = re.sub(r"\s+", " ", _text(header, "ManufacturerModelName"))
    family = any(re.search(rf"\b{re.escape(n)}(?![a-z])", text.lower()) for n in _FAMILIES)
    typed = re.search(r"[0-9]", text) and not _LONG_NUMBER.search(text)
    if text and not (_MODEL.fullmatch(text) and (family or typed)):
        return OTHER
    return text


def _kernel(header: Mapping[str, str]) -> str:
    text = _text(header, "ConvolutionKernel")
    words = re.split(r"[ _/-]+", text.lower())
    if len(text) <= 20 and set(words) <= _KERNEL_WORDS:
        return " ".join(words).upper()
    if text and not _KERNEL_CODE.fullmatch(text):
        return OTHER
    return text


def _number(
    name: str, low: float, high: float, digits: int = 3
) -> Callable[[Mapping[str, str]], str]:
    return lambda header: _written(_float(_text(header, name)), low, high, digits)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _written(value: float | None, low: float, high: float, digits: int) -> str:
    """Return a number as it stands in a table; nothing where it cannot be (NaN included)."""
    if value is None or not low <= value <= high:
        return ""
    return f"{round(value, digits) + 0.0:g}"


def _exposure(header: Mapping[str, str]) -> str:
    """MAs as it is named, in millionths, or current by time."""
    milli = _float(_text(header, "Exposure"))
    if milli is None:
        micro = _float(_text(header, "ExposureInuAs"))
        milli = None if micro is None else micro / 1000
    if milli is None:
        current = _float(_text(header, "XRayTubeCurrent"))
        duration = _float(_text(header, "ExposureTime"))
        milli = None if current is None or duration is None else current * duration / 1000
    return _written(milli, 1, 5000, 0)


def _hours(study_time: datetime | None, onset: datetime | None) -> str:
    if study_time is None or onset is None:
        return ""
    # a zone that only one of them names is no reason to compare nothing: both are local times
    span = study_time.replace(tzinfo=None) - onset.replace(tzinfo=None)
    return _written(span.total_seconds() / 3600, 0, _MOST_HOURS, 1)


def _age_band(header: Mapping[str, str]) -> str:
    years = _age(header)
    if years is None or not 0 <= years <= 120:
        return ""
    return next((name for below, name in _AGE_BANDS if years < below), _OLDEST)


def _age(header: Mapping[str, str]) -> float | None:
    stated = re.fullmatch(r"([0-9]{1,3})([DWMY])", _text(header, "PatientAge").upper())
    if stated:
        return int(stated[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1}[stated[2]]
    born, seen = _moment(_text(header, "PatientBirthDate")), study_time_of(header)
    if born is None or seen is None:
        return None
    return (seen - born).days / 365.25


_READERS: Final[dict[str, Callable[[Mapping[str, str]], str]]] = {
    "manufacturer": _vendor,
    "model": _model,
    "kernel": _kernel,
    "slice_thickness_mm": _number("SliceThickness", 0.1, 20),
    "pixel_spacing_mm": _number("PixelSpacing", 0.05, 5),
    "kvp": _number("KVP", 40, 200, 0),
    "exposure_mas": _exposure,
    "gantry_tilt_deg": _number("GantryDetectorTilt", -45, 45, 1),
}

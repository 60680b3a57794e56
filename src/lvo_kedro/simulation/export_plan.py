"""Invented patients and studies of a simulated export, and what a spreadsheet says of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from lvo_kedro.simulation.export_series import uid
from lvo_kedro.simulation.options import SimulationOptions
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SegmentClass, Side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORMS: Final = (
    "nested", "no ending", "DICOMDIR", "private", "zip", "tar.gz", "enhanced", "compressed",
    "tilted", "uneven", "doubled", "interleaved", "split", "BIDS", "truncated", "second study",
)  # fmt: skip
"""How studies lie in the export, in this order; further ones are nested folders."""
_FAMILY: Final = (
    "Quorlinde", "Vexbraun", "Zwirnhagel", "Ostrovanek", "Bellamuro", "Fjordhagen", "Krummwetter",
    "Delacrimont", "Ymbertsen", "Haldrofsky",
)  # fmt: skip
_GIVEN: Final = {
    "female": ("Aurelinda", "Brunhelga", "Celestria", "Dorothane", "Elswina"),
    "male": ("Fridomar", "Gundovald", "Hortensio", "Ignazius", "Jorindel"),
}
"""Of nobody, so that they are found where they should not be."""
_SCANNERS: Final = (
    ("SIEMENS", "SOMATOM Definition AS+", ("H31s", "H60s"), "Schädel nativ"),
    ("GE MEDICAL SYSTEMS", "LightSpeed VCT", ("STANDARD", "BONEPLUS"), "PLAIN"),
    ("Philips", "Brilliance 64", ("UB", "YC"), "Crâne sans injection"),
    ("TOSHIBA", "Aquilion ONE", ("FC26", "FC81"), "HEAD PRE CONTRAST"),
)
"""Vendor, model, soft and bone kernel, what a plain head series is called."""
_SIDES: Final = {
    "left": ("linke", "L", "left", "gauche"),
    "right": ("rechte", "R", "right", "droite"),
}
_SEGMENTS: Final = {
    "M1": ("MCA M1", "M1", "ACM M1", "Mediahauptstamm"),
    "M2": ("MCA M2", "M2", "ACM M2", "M2 Verschluss"),
    "C7": ("distale ACI", "C7", "terminal ICA", "distal ICA"),
    "C7+M1": ("Karotis-T", "ICA-T", "carotid T", "T-Verschluss"),
    "M1+M2": ("M1/M2", "M1+M2", "M1-M2", "MCA M1 und M2"),
}
_NONE: Final = ("kein Verschluss", "no LVO", "normal", "pas d'occlusion")
MAPPING: Final = """\
# Which column of labels.xlsx holds what
columns:
  accession: Accession
  patient_id: Pat.-Nr.
  finding: Befund
  onset: Beginn
  nihss: NIHSS
"""


class PlannedStudy(NamedTuple):
    """A study that is to be written."""

    number: int
    form: str
    """One of :data:`FORMS`."""
    options: SimulationOptions
    seed: int
    lvo: bool
    side: Side | None
    segment: SegmentClass | None
    header: dict[str, Any]
    """Attributes of patient, study and scanner."""
    kernels: tuple[str, str]
    """Soft and bone."""
    plain: str
    """What the vendor's users call a plain head series."""
    onset: datetime


def plan_export(studies: int, seed: int, spacing_mm: float, plane_mm: float) -> list[PlannedStudy]:
    """Decide who was examined, where and when.

    Args:
        studies: How many.
        seed: Decides everything.
        spacing_mm: Pixel edge.
        plane_mm: Thickness of the thin slices.

    Returns:
        Studies of about as many patients; a ``second study`` is one of the first patient.
    """
    rng = np.random.default_rng([seed, 18])
    plan: list[PlannedStudy] = []
    for n in range(studies):
        form = FORMS[n] if n < len(FORMS) else "nested"
        lvo = n % 2 == 0
        side: Side = "left" if n // 2 % 2 == 0 else "right"
        segment = SEGMENT_CLASSES[n // 2 % len(SEGMENT_CLASSES)]
        patient = _patient(rng, n)
        if form == "second study":
            patient = {name: plan[0].header[name] for name in patient}
        time = datetime(2021, 1, 1) + timedelta(minutes=int(rng.integers(2 * 365 * 24 * 60)))
        vendor, model, kernels, plain = _SCANNERS[int(rng.integers(len(_SCANNERS)))]
        header = patient | _study(rng, n, seed, time)
        header |= {"Manufacturer": vendor, "ManufacturerModelName": model, "KVP": "120"}
        options = SimulationOptions(
            lvo=lvo,
            side=side if lvo else None,
            segment=segment if lvo else None,
            spacing_mm=spacing_mm,
            slice_thickness_mm=(plane_mm,),
            orientations=("LPS",),
            gantry_tilt_deg=14.0 if form == "tilted" else 0.0,
            patient_seed=plan[0].seed if form == "second study" else None,
        )
        planned = PlannedStudy(
            number=n, form=form, options=options, seed=int(rng.integers(2**31)), lvo=lvo,
            side=options.side, segment=options.segment, header=header, kernels=kernels,
            plain=plain, onset=time - timedelta(minutes=int(rng.integers(30, 600))),
        )  # fmt: skip
        plan.append(planned)
    return plan


def _patient(rng: np.random.Generator, n: int) -> dict[str, Any]:
    sex = "female" if rng.random() < 0.5 else "male"
    given = _GIVEN[sex][int(rng.integers(5))]
    born = datetime(1930, 1, 1) + timedelta(days=int(rng.integers(50 * 365)))
    return {
        "PatientName": f"{_FAMILY[n % len(_FAMILY)]}{chr(97 + n // len(_FAMILY))}^{given}",
        "PatientID": f"00{int(rng.integers(10**7, 10**8))}",
        "PatientBirthDate": born.strftime("%Y%m%d"),
        "PatientSex": sex[0].upper(),
    }


def _study(rng: np.random.Generator, n: int, seed: int, time: datetime) -> dict[str, Any]:
    study = uid("study", seed, n)
    return {
        "StudyInstanceUID": study,
        "FrameOfReferenceUID": uid(study, "frame"),
        "StudyID": str(n + 1),
        "AccessionNumber": f"RX{int(rng.integers(10**8, 10**9))}",
        "StudyDescription": "CT Schädel",
        "ReferringPhysicianName": "Ueberweisner^Theofrast",
        "InstitutionName": "Klinikum Hinterdupfelbach",
        **{f"{kind}Date": time.strftime("%Y%m%d") for kind in ("Study", "Series", "Acquisition")},
        **{f"{kind}Time": time.strftime("%H%M%S") for kind in ("Study", "Series", "Acquisition")},
    }


def write_labels(folder: Path, plan: Sequence[PlannedStudy]) -> None:
    """Write ``labels.xlsx`` and ``mapping.yml``; some rows join to nothing, or contradict.

    Args:
        folder: Where.
        plan: The studies.
    """
    rows = [_row(study) for study in plan]
    if len(rows) > 3:
        rows.append({**rows[1], "Befund": "L M1"})  # twice, and it says something else
        rows.append(dict(rows[2]))  # twice, and it says the same
        rows.append({**rows[3], "Accession": "RX000000001"})  # of no study here
        rows[3]["Befund"] = "linke M1, siehe Befund?"  # doubted
    if len(rows) > 12:
        rows[9]["Befund"] = "Basilarisverschluss"
        rows[10]["Befund"] = "M1 beidseits"
        rows[11]["Befund"] = "siehe Brief"  # says nothing
        rows[12]["Befund"] = "L ICA"  # its part is not told
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_excel(folder / "labels.xlsx", index=False)
    (folder / "mapping.yml").write_text(MAPPING, encoding="utf-8")


def _row(study: PlannedStudy) -> dict[str, str]:
    way = study.number % 4
    words = _NONE[way]
    if study.side and study.segment:
        words = f"{_SIDES[study.side][way]} {_SEGMENTS[study.segment][way]}"
    bids = study.form == "BIDS"
    header = study.header
    return {
        "Name": str(header["PatientName"]).replace("^", ", "),
        "Pat.-Nr.": bids_name(study) if bids else header["PatientID"],
        "Accession": "" if bids else header["AccessionNumber"],
        "Befund": words,
        "Beginn": study.onset.strftime("%d.%m.%Y %H:%M"),
        "NIHSS": str(3 + study.number % 20),
    }


def bids_name(study: PlannedStudy) -> str:
    """Return what a BIDS folder calls the patient of a study.

    Args:
        study: Any.
    """
    return f"sub-{study.number + 1:03d}"

"""Simulated patients in the layout of CQ500: DICOM series of each scan, and the readers' table."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lvo_kedro.simulation.case import simulate_case
from lvo_kedro.simulation.cta import CtaOptions, simulate_cta
from lvo_kedro.simulation.export import average
from lvo_kedro.simulation.export_series import Series, uid
from lvo_kedro.simulation.options import SimulationOptions
from lvo_kedro.simulation.public_layouts.mark import mark_simulated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import nibabel as nib

READ: Final = (
    "ICH", "IPH", "IVH", "SDH", "EDH", "SAH", "BleedLocation-Left", "BleedLocation-Right",
    "ChronicBleed", "Fracture", "CalvarialFracture", "OtherFracture", "MassEffect", "MidlineShift",
)  # fmt: skip
"""Columns of each reader, in the order of the published table."""
_READERS: Final = ("R1", "R2", "R3")
_AXIAL: Final = ["ORIGINAL", "PRIMARY", "AXIAL"]


@dataclass(frozen=True)
class Cq500Scan:
    """One simulated scan: what three readers say of it, and which series it has."""

    number: int
    seen: Mapping[str, int] = field(default_factory=dict)
    """By column of :data:`READ`, how many of the three readers saw it."""
    category: str = "B1"
    series: tuple[str, ...] = ("CT Plain",)
    """Names of the series' folders; those that name contrast medium or seconds get it."""
    packed: bool = True
    """Whether the folder's name stands there twice, as the archive unpacks."""
    listed: bool = True
    """Whether it has a row in ``reads.csv``."""


def write_cq500(
    folder: Path, scans: Sequence[Cq500Scan], *, seed: int = 0, spacing_mm: float = 2.0
) -> None:
    """Write simulated scans as CQ500 lays them out.

    Args:
        folder: A new or empty one.
        scans: What to write; all heads are without occlusion.
        seed: Decides everything else.
        spacing_mm: Pixel edge; coarse, so that it is quick.
    """
    for scan in scans:
        name = f"CQ500CT{scan.number}"
        own = folder / (f"{name} {name}" if scan.packed else name) / "Unknown Study"
        options = SimulationOptions(
            lvo=False, spacing_mm=spacing_mm, slice_thickness_mm=(1.25,), orientations=("LPS",)
        )
        plain = simulate_case(seed + scan.number, options).ncct
        study = _study(seed + scan.number)
        for number, series in enumerate(scan.series, start=2):
            contrast = any(word in series.upper() for word in ("POST", "CECT", "SEC"))
            image = plain if not contrast else _angiography(seed + scan.number, options, spacing_mm)
            _write_series(own / series, series, number, image, study)
    with (folder / "reads.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "Category", *(f"{r}:{c}" for r in _READERS for c in READ)])
        for scan in (scan for scan in scans if scan.listed):
            votes = [int(place < scan.seen.get(c, 0)) for place in range(3) for c in READ]
            writer.writerow([f"CQ500-CT-{scan.number}", scan.category, *votes])
    mark_simulated(folder)


def _study(seed: int) -> dict[str, Any]:
    """Attributes as anonymised files have them: ids of their own, and nothing of a patient."""
    return {
        "StudyInstanceUID": uid("cq500", seed),
        "FrameOfReferenceUID": uid("cq500 frame", seed),
        "PatientName": "CQ500",
        "PatientID": f"CQ500-CT-{seed}",
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "KVP": "120",
    }


def _angiography(seed: int, options: SimulationOptions, spacing_mm: float) -> nib.Nifti1Image:
    return simulate_cta(
        seed, options, CtaOptions(spacing_mm=spacing_mm, slice_thickness_mm=1.25)
    ).cta


def _write_series(
    folder: Path, name: str, number: int, image: nib.Nifti1Image, study: dict[str, Any]
) -> None:
    hu = np.asarray(image.dataobj, dtype=np.float32)
    affine = np.asarray(image.affine, dtype=float)
    if not any(word in name.upper() for word in ("THIN", "0.625", "SEC")):
        hu, affine = average(hu, affine, 4)
    kernel = "BONE" if "BONE" in name.upper() or "HRCT" in name.upper() else "SOFT"
    fields = {"ImageType": _AXIAL, "ConvolutionKernel": kernel}
    series = Series(number, name, np.rint(hu), affine, study, fields=fields)
    folder.mkdir(parents=True)
    for place, file in enumerate(series.files()):
        file.save_as(folder / f"CT{place:06d}.dcm", enforce_file_format=True)

"""Simulated patients in the layout of ISLES'24: scans, marker of the clot, vessels, infarct."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine

from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.simulation.arteries import label_arteries
from lvo_kedro.simulation.case import SimulatedCase, simulate_case
from lvo_kedro.simulation.cta import CtaOptions, simulate_cta
from lvo_kedro.simulation.options import SimulationOptions
from lvo_kedro.simulation.public_layouts.isles24_names import Isles24Patient, PatientFiles, Quirk
from lvo_kedro.simulation.public_layouts.mark import mark_simulated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


COW_LABELS: Final = {
    ("basilar", None): 1, ("P1", "right"): 2, ("P1", "left"): 3, ("C7", "right"): 4,
    ("M1", "right"): 5, ("C7", "left"): 6, ("M1", "left"): 7, ("A1", "right"): 11,
    ("A2", "right"): 11, ("A1", "left"): 12, ("A2", "left"): 12,
}  # fmt: skip
"""Numbers of the simulator's arteries in TopCoW's scheme; M2 counts as MCA near its start."""
_M2_MM: Final = 8.0
"""Part of each M2 that the circle of Willis' labels hold."""
_WIDTH_MM: Final = 5.0
_OFF_MM: Final = 4.0
"""How far beside the vessel a marker lies."""
_FAR_MM: Final = 32.0


def write_isles24(
    folder: Path,
    patients: Sequence[Isles24Patient],
    *,
    older: bool = False,
    workbook: bool = False,
    seed: int = 0,
    spacing_mm: float = 2.0,
) -> pd.DataFrame:
    """Write simulated patients as ISLES'24 lays its patients out.

    Args:
        folder: A new or empty one.
        patients: Whom to write.
        older: Whether names are those of the older generation (``rawdata``, ``sub-strokecase``).
        workbook: Whether clinical data are one workbook rather than a table per patient.
        seed: Decides everything that ``patients`` leave open.
        spacing_mm: Pixel edge; coarse, so that it is quick.

    Returns:
        The truth, a row per patient: subject, side, segment, center, age, voxels of the marker.
    """
    truth = []
    for patient in patients:
        options = SimulationOptions(
            lvo=True,
            side=patient.side,
            segment=patient.segment,
            orientations=(patient.orientation,),
            spacing_mm=spacing_mm,
            slice_thickness_mm=(2.0,),
        )
        case = simulate_case(seed + patient.number, options)
        files = _images(case, patient)
        scan = simulate_cta(
            seed + patient.number, options, CtaOptions(spacing_mm=3.0, slice_thickness_mm=3.0)
        )
        back = np.linalg.inv(scan.movement) @ scan.cta.affine
        moved = nib.Nifti1Image(scan.cta.get_fdata(), back)
        files["raw", 1, "cta"] = scan.cta
        files["made", 1, "space-ncct_cta"] = _as_int16(
            resample(moved, grid_of(case.ncct), fill=-1024.0)
        )
        names = PatientFiles(folder, patient, older)
        _write_images(names, files)
        truth.append(_truth(case, patient, files))
        if not workbook and "no phenotype" not in patient.quirks:
            _write_baseline(names.table(), truth[-1])
    table = pd.DataFrame(truth)
    if workbook:
        shown = table.rename(columns={"subject": "Subject", "age": "Age", "center": "Center"})
        shown[["Subject", "Age", "Sex", "Center", "NIHSS at admission"]].to_excel(
            folder / "clinical_data-description.xlsx", index=False
        )
    mark_simulated(folder)
    return table


_Files = dict[tuple[str, int, str], nib.Nifti1Image]
"""By part, session and role."""


def _images(case: SimulatedCase, patient: Isles24Patient) -> _Files:
    quirks = patient.quirks
    files: _Files = {
        ("raw", 1, "ncct"): case.ncct,
        ("made", 1, "space-ncct_lvo-msk"): _marker(case, patient),
        ("made", 1, "space-ncct_cow-msk"): _vessels(case, patient),
        ("made", 2, "space-ncct_lesion-msk"): case.infarct_mask,
    }
    left_out: Mapping[Quirk, tuple[str, int, str]] = {
        "no scan": ("raw", 1, "ncct"),
        "no marker": ("made", 1, "space-ncct_lvo-msk"),
        "no vessels": ("made", 1, "space-ncct_cow-msk"),
    }
    for quirk in left_out.keys() & quirks:
        del files[left_out[quirk]]
    return files


def _vessels(case: SimulatedCase, patient: Isles24Patient) -> nib.Nifti1Image:
    """Label the arteries that contrast shows: up to the clot, and what collaterals fill."""
    shown = []
    for artery in case.arteries:
        trunk = "M1" if artery.name.startswith("M2") else artery.name
        if "MCA missing" in patient.quirks and trunk == "M1" and artery.side == patient.side:
            continue
        kept = ~artery.occluded
        if artery.occluded.any():
            kept &= np.arange(len(kept)) < np.argmax(artery.occluded)
        if trunk != artery.name:
            kept &= artery.arc <= _M2_MM
        label = COW_LABELS[trunk, artery.side]
        shown.append(replace(artery, points=artery.points[kept], label=label))
    filled = [artery for artery in shown if len(artery.points)]
    labels = label_arteries(grid_of(case.ncct), filled, _WIDTH_MM)
    return make_image(labels, case.ncct.affine)


def _marker(case: SimulatedCase, patient: Isles24Patient) -> nib.Nifti1Image:
    """Mark the clot by a few voxels beside the artery, as the archive does."""
    clots = [a.points[a.occluded] for a in case.arteries if a.occluded.any()]
    clot = np.concatenate(clots)
    centre = clot[len(clot) // 2] + np.array([0.0, 0.0, _OFF_MM])
    if "far marker" in patient.quirks:
        outward = 1.0 if patient.side == "right" else -1.0
        centre = clot[-1] + np.array([outward * 6.0, 0.0, _FAR_MM])
    shape: tuple[int, ...] = case.ncct.shape
    marker = np.zeros(shape, np.uint8)
    if "empty marker" not in patient.quirks:
        marker[_nearest_voxels(case.ncct, centre, 20)] = 1
    if "marker of another shape" in patient.quirks:
        marker = marker[:, :, :-3]
    return make_image(marker, case.ncct.affine)


def _nearest_voxels(
    image: nib.Nifti1Image, point: NDArray[np.float64], count: int
) -> tuple[NDArray[np.intp], ...]:
    middle = np.rint(apply_affine(np.linalg.inv(image.affine), point)).astype(int)
    around = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    index = middle + around
    index = index[((index >= 0) & (index < image.shape)).all(axis=1)]
    off = np.linalg.norm(apply_affine(image.affine, index) - point, axis=1)
    return tuple(index[np.argsort(off)[:count]].T)


def _write_images(names: PatientFiles, files: _Files) -> None:
    quirks = names.patient.quirks
    for (part, session, role), image in files.items():
        path = names.image(part, session, role)
        path.parent.mkdir(parents=True, exist_ok=True)
        if role.endswith("lesion-msk") and "uncompressed lesion" in quirks:
            nib.save(image, path.with_suffix(""))
        elif role.endswith("lesion-msk") and "lesion named as compressed" in quirks:
            path.write_bytes(image.to_bytes())
        else:
            nib.save(image, path)
        if role.endswith("lesion-msk") and "stray lesion" in quirks:
            nib.save(image, names.image(part, session, "lesion-msk").with_suffix(""))


def _truth(
    case: SimulatedCase, patient: Isles24Patient, files: _Files
) -> dict[str, str | float | int]:
    marker = files.get(("made", 1, "space-ncct_lvo-msk"))
    return {
        "subject": f"sub-stroke{patient.number:04d}",
        "side": patient.side,
        "segment": patient.segment,
        "center": patient.center,
        "age": int(case.age),
        "Sex": "F" if case.sex == "female" else "M",
        "NIHSS at admission": case.nihss,
        "marker_voxels": 0 if marker is None else int(np.asarray(marker.dataobj).sum()),
    }


def _write_baseline(path: Path, truth: Mapping[str, str | float | int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ("age", "Sex", "center", "NIHSS at admission")
        writer.writerow([name.capitalize() if name.islower() else name for name in names])
        writer.writerow([truth[name] for name in names])


def _as_int16(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return make_image(np.rint(image.get_fdata()).astype(np.int16), image.affine)

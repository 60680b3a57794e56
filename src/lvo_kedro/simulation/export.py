"""A simulated export as an archive gives it: many patients, forms and series, and a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import nibabel as nib
import numpy as np
import pandas as pd
from scipy import ndimage

from lvo_kedro.errors import TableError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.simulation.case import simulate_case
from lvo_kedro.simulation.export_files import write_files
from lvo_kedro.simulation.export_plan import PlannedStudy, bids_name, plan_export, write_labels
from lvo_kedro.simulation.export_series import Series, compress, dose_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom.dataset import FileDataset

    from lvo_kedro.simulation.case import SimulatedCase

THICK_MM: Final = 5.0
"""About the thickness of thick slices."""
AXIAL: Final = ["ORIGINAL", "PRIMARY", "AXIAL"]
CONTRAST_HU: Final = 330.0
"""Of arteries that are filled with contrast medium, above plain blood."""


def write_export(
    folder: Path,
    studies: int = 30,
    seed: int = 0,
    *,
    spacing_mm: float = 2.0,
    plane_mm: float = 1.5,
) -> pd.DataFrame:
    """Write an export of simulated studies, with names that nobody has.

    In it: nested folders, files without ending, a DICOMDIR, a zip and a tar.gz archive, a BIDS
    folder; thick, thin and bone series, localizers, series with contrast, dose reports; private
    attributes, an enhanced multi-frame, a compressed, a tilted, an uneven, a doubled, an
    interleaved and a truncated series, a study split over two series, a patient with two studies;
    and ``labels.xlsx`` with ``mapping.yml``, some rows of which do not join or contradict.

    Args:
        folder: A new or empty one.
        studies: How many.
        seed: Decides everything; the same seed gives the same studies.
        spacing_mm: Pixel edge; coarse, so that it is quick.
        plane_mm: Thickness of the thin slices; thick ones are averages of them.

    Returns:
        What was written, a row per study: ``form``, the truth (``lvo``, ``side``, ``segment``) and
        the patient's name, id and dates and the study's numbers, which must not get into anything.
        It is not part of the export.

    Raises:
        TableError: The folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise TableError("a folder that is not empty", "a new one", "name another folder")
    plan = plan_export(studies, seed, spacing_mm, plane_mm)
    for study in plan:
        _write_study(folder, study)
    write_labels(folder, plan)
    return pd.DataFrame([_truth(study) for study in plan])


def _truth(study: PlannedStudy) -> dict[str, Any]:
    names = (
        "PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "AccessionNumber",
        "StudyDate",
    )  # fmt: skip
    return {
        "form": study.form,
        "lvo": int(study.lvo),
        "side": study.side or "",
        "segment": study.segment or "",
        **{name: str(study.header[name]) for name in names},
    }


def _write_study(folder: Path, study: PlannedStudy) -> None:
    case = simulate_case(study.seed, study.options)
    if study.form == "BIDS":
        _write_bids(folder / "bids", study, case)
        return
    series = _series_of(study, case)
    files = [[_changed(study, file) for file in one.files()] for one in series]
    if study.form == "enhanced":
        files[1] = [series[1].enhanced()]
    files.append([dose_report(study.header, 501)])
    name = str(study.header["PatientName"]).replace("^", "_")
    own = folder / name / study.header["StudyInstanceUID"].rsplit(".", 1)[-1]
    write_files(study.form, own, files)


def _changed(study: PlannedStudy, file: FileDataset) -> FileDataset:
    return compress(file) if study.form == "compressed" else file


def _series_of(study: PlannedStudy, case: SimulatedCase) -> list[Series]:
    """Localizer and thick slices always, other series of most studies."""
    hu = np.asarray(case.ncct.dataobj, dtype=np.float32)
    affine = np.asarray(case.ncct.affine, dtype=float)
    soft, bone = study.kernels
    fields = {"ImageType": AXIAL, "ConvolutionKernel": soft, "Exposure": "250"}
    if study.options.gantry_tilt_deg:
        fields["GantryDetectorTilt"] = f"{study.options.gantry_tilt_deg:g}"
    private = str(study.header["PatientName"]) if study.form == "private" else ""

    def series(number: int, words: str, data: NDArray[np.floating], **more: Any) -> Series:
        own = {"affine": affine, "fields": fields, "private": private, **more}
        return Series(number, words, np.rint(data), study=study.header, **own)

    thick, thick_affine = average(hu, affine, _planes(affine, THICK_MM))
    plain = series(2, f"{study.plain} 5mm", thick, affine=thick_affine)
    found = [_localizer(study, hu, affine)]
    found += _SHAPES.get(study.form, lambda plain, _hu, _affine: [plain])(plain, hu, affine)
    sharp = fields | {"ConvolutionKernel": bone}
    if study.number % 2 == 0 and study.form != "split":
        found.append(series(4, f"{study.plain} thin", hu))
    if study.number % 3 == 0:
        edges = hu + 1.5 * (hu - ndimage.gaussian_filter(hu, (1, 1, 0)))
        found.append(series(5, "HRCT BONE", edges, fields=sharp))
    if study.number % 4 < 2:
        agent = fields | {"ContrastBolusAgent": "Iomeprol 400"}
        more = {"fields": agent if study.number % 4 else fields}  # the pixels must tell
        found.append(series(6, "4cc sec 150cc", _with_contrast(hu, case), **more))
    return found


def _planes(affine: NDArray[np.float64], thickness_mm: float) -> int:
    """Return of how many planes a slice of about this thickness is the average."""
    return max(1, round(thickness_mm / float(np.linalg.norm(affine[:3, 2]))))


def average(
    hu: NDArray[np.floating], affine: NDArray[np.float64], planes: int
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Return slices that average so many planes each, and their affine.

    Args:
        hu: (X, Y, Z).
        affine: Voxel to world.
        planes: In a slice; what is left over at the end is dropped.
    """
    count = hu.shape[2] // planes
    thick = hu[:, :, : count * planes].reshape(*hu.shape[:2], count, planes).mean(axis=-1)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 2] * (planes - 1) / 2
    moved[:3, 2] *= planes
    return thick, moved


def _localizer(study: PlannedStudy, hu: NDArray[np.floating], affine: NDArray) -> Series:
    """A view from the side: the sum of all densities across the head, as one slice."""
    turned = np.stack([affine[:, 1], -affine[:, 2], affine[:, 0], affine[:, 3]], axis=1)
    turned[:3, 3] += affine[:3, 2] * (hu.shape[2] - 1)
    view = np.clip(hu + 1000, 0, None).mean(axis=0)[:, ::-1, None]
    fields = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    data = np.rint(view - 1000)
    return Series(1, "Topogramm", data, turned, study.header, fields=fields)


def _with_contrast(hu: NDArray[np.floating], case: SimulatedCase) -> NDArray[np.floating]:
    """Arteries filled with contrast medium, in the middle of their labels; a clot stays dark."""
    labels = np.asarray(case.vessel_labels.dataobj) > 0
    spacing = np.linalg.norm(case.ncct.affine[:3, :3], axis=0)
    inner = ndimage.distance_transform_edt(labels, sampling=spacing) >= 1.0
    open_ = inner & ~(np.asarray(case.occlusion_mask.dataobj) > 0)
    return hu + CONTRAST_HU * ndimage.gaussian_filter(open_.astype(np.float32), (0.5, 0.5, 0))


def _uneven(plain: Series, hu: NDArray[np.floating], affine: NDArray) -> list[Series]:
    """Slices of about 3 mm at the base of the skull, of twice as much above."""
    fine = _planes(affine, 3.0)
    half = hu.shape[2] // 2 // (2 * fine) * 2 * fine
    low, low_affine = average(hu[:, :, :half], affine, fine)
    above = affine.copy()
    above[:3, 3] += affine[:3, 2] * half
    high, high_affine = average(hu[:, :, half:], above, 2 * fine)
    places = [m[:3, 3] + m[:3, 2] * k for d, m in ((low, low_affine), (high, high_affine))
              for k in range(d.shape[2])]  # fmt: skip
    plain.hu = np.rint(np.concatenate([low, high], axis=2))
    plain.positions = np.stack(places)
    step = fine * float(np.linalg.norm(affine[:3, 2]))
    plain.thickness = [step] * low.shape[2] + [2 * step] * high.shape[2]
    return [plain]


def _split(plain: Series, hu: NDArray[np.floating], affine: NDArray) -> list[Series]:
    """Base of the skull and vertex as two series."""
    planes = _planes(affine, THICK_MM)
    half = hu.shape[2] // 2 // planes * planes
    low, low_affine = average(hu[:, :, :half], affine, planes)
    above = affine.copy()
    above[:3, 3] += affine[:3, 2] * half
    fields = plain.fields
    base = Series(2, "Schädelbasis", np.rint(low), low_affine, plain.study, fields=fields)
    vertex = Series(3, "Grosshirn", np.rint(hu[:, :, half:]), above, plain.study, fields=fields)
    return [base, vertex]


def _interleaved(plain: Series, hu: NDArray[np.floating], affine: NDArray) -> list[Series]:
    """Every other slice first, those between them later."""
    places = range(plain.hu.shape[2])
    plain.order = [*places[::2], *places[1::2]]
    return [plain]


_SHAPES: Final[dict[str, Callable[[Series, Any, Any], list[Series]]]] = {
    "uneven": _uneven,
    "split": _split,
    "interleaved": _interleaved,
}


def _write_bids(root: Path, study: PlannedStudy, case: SimulatedCase) -> None:
    name = bids_name(study)
    inner = root / name / "ct"
    inner.mkdir(parents=True)
    (root / "dataset_description.json").write_text(
        '{"Name": "simulated", "BIDSVersion": "1.9.0", "DatasetType": "raw"}\n'
    )
    (root / "participants.tsv").write_text(f"participant_id\n{name}\n")
    hu = np.asarray(case.ncct.dataobj, dtype=np.float32)
    thick, affine = average(hu, case.ncct.affine, _planes(case.ncct.affine, THICK_MM))
    nib.save(make_image(np.rint(thick).astype(np.int16), affine), inner / f"{name}_ct.nii.gz")

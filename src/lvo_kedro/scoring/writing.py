"""The folder of one scan: ``result.json``, ``report.html``, and maps in the scan's own geometry."""

from __future__ import annotations

import base64
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import nibabel as nib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from lvo_kedro.artifacts import PART, write_json, write_text
from lvo_kedro.dicom import DicomResult, write_results
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image
from lvo_kedro.imaging.midplane import midplane_of, split_mask
from lvo_kedro.imaging.nifti import open_nifti
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.localization import mark_called
from lvo_kedro.reporting import CasePictures, plot_case, render_scan, to_png
from lvo_kedro.scoring.record import Computed, check_record
from lvo_kedro.vocabulary import HEMISPHERES, OCCLUSION_LABELS, SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

PRESENT: Final = "occlusion"
"""The call of an occlusion, beside ``no occlusion``."""
RESULT: Final = "result.json"
REPORT: Final = "report.html"
HAEMORRHAGE: Final = "haemorrhage-like hyperdensity"
"""What a finding says that forbids a call."""
CAPTION: Final = (
    "Seen from below: the patient's right is on the left. The named segment and the point of the "
    "call are red; the difference is this side minus the other."
)
MAPS: Final = {
    "vessels": ("vessels", "vessel_labels", 0),
    "territory": ("priors", "territory_probability", 1),
    "difference_hu": ("priors", "signed_difference", 1),
    "score_contributions": ("explanations", "contributions", 1),
    "score_grad_cam": ("explanations", "explanation", 1),
}
"""File name of a map: the step and the field that it comes from, and the order of sampling."""


def write_result(
    computed: Computed, record: dict[str, Any], out: Path, start: float
) -> tuple[dict[str, Any], Path]:
    """Write the folder of one scan; it takes its place once it is whole.

    Args:
        computed: What the pipeline left.
        record: Of :func:`~lvo_kedro.scoring.record.make_record`; its times and files are completed.
        out: Where the folder goes.
        start: When the scan was begun, by the monotonic clock.

    Returns:
        The record as it was written, and the folder.
    """
    folder, part = out / computed.case_id, out / f".{computed.case_id}{PART}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        _fill(part, computed, record, start)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record, folder


def _fill(folder: Path, computed: Computed, record: dict[str, Any], start: float) -> None:
    """Write maps, pictures, DICOM objects, page and, last of all, the record."""
    seconds, when = record["seconds"], time.monotonic()

    def note(step: str) -> None:
        nonlocal when
        seconds["steps"][step], when = round(time.monotonic() - when, 2), time.monotonic()

    write_maps(computed, record, folder)
    note("maps")
    figure = draw_case(computed, record)
    pictures = describe_pictures(computed, figure)
    note("pictures")
    if computed.scan.is_dir() and figure is not None:
        write_dicom(computed, record, figure, folder / "dicom")
        note("dicom")
    seconds["total"] = round(time.monotonic() - start, 2)
    record["files"] = [REPORT, *(p.relative_to(folder).as_posix() for p in _files(folder))]
    check_record(record)
    write_text(folder / REPORT, render_scan(record, pictures))
    write_json(folder / RESULT, record)


def write_maps(computed: Computed, record: Mapping[str, Any], folder: Path) -> None:
    """Write what was computed on the scan's grid as NIfTI in the geometry of the scan as given.

    For a NIfTI file that is its own grid, orientation and shear; for DICOM the straightened one.
    """
    found = {
        name: (computed.images(step)[field], order)
        for name, (step, field, order) in MAPS.items()
        if field in computed.images(step)
    }
    marked = called_occlusion(computed, record)
    found |= {"occlusion": (marked, 0)} if marked is not None else {}
    if not found:
        return
    grid = None if computed.scan.is_dir() else grid_of(open_nifti(computed.scan, "ncct"))
    (folder / "maps").mkdir()
    for name, (image, order) in found.items():
        nib.save(on_grid(image, grid, order), folder / "maps" / f"{name}.nii.gz")


def called_occlusion(computed: Computed, record: Mapping[str, Any]) -> nib.Nifti1Image | None:
    """Return what the network marked of the occlusion that is called: on its side, in its segments.

    What it marked elsewhere is no part of the result. None where nothing is called, or nothing of
    it is marked.
    """
    marked = computed.images("occlusions").get("occlusion_mask")
    calls = [point["call"] for point in record["operating_points"]]
    called = record["status"] == "scored" and (not calls or PRESENT in calls)
    hemispheres = computed.images("priors").get("hemispheres")
    if marked is None or hemispheres is None or not called or record["side"] not in SIDES:
        return None
    named = (record["segment"] or "").split("+")  # a side may be called without a segment
    parts = [value for name, value in OCCLUSION_LABELS.items() if name in named]
    halves = split_mask(marked, midplane_of(hemispheres))
    own = np.asarray(halves.dataobj) == HEMISPHERES[record["side"]]
    data = np.asarray(marked.dataobj)
    data = np.where(own & np.isin(data, parts), data, 0).astype(np.uint8)
    return make_image(data, marked.affine) if data.any() else None


def on_grid(image: nib.Nifti1Image, grid: Grid | None, order: int) -> nib.Nifti1Image:
    """Bring a map onto a grid by world coordinates.

    Args:
        image: Labels (order 0) or numbers (order 1).
        grid: Where it goes; None leaves it where it is.
        order: Of the sampling.

    Returns:
        uint8 labels, or float32 numbers without NaN; 0 outside.
    """
    values = np.nan_to_num(np.asarray(image.dataobj, dtype=np.float32))
    kind = np.uint8 if order == 0 else np.float32
    plain = make_image(values.astype(kind), image.affine)
    moved = resample(plain, grid, order) if grid else plain
    moved.header.set_xyzt_units("mm")
    return moved


def draw_case(computed: Computed, record: Mapping[str, Any]) -> Figure | None:
    """Draw the scan with its call; None where it could not even be read."""
    scan, priors = computed.images("scans"), computed.images("priors")
    if "ncct" not in scan:
        return None
    projected, explained = computed.images("projections"), computed.images("explanations")
    call, point = None, record["point_mm"]
    if "labels" in projected and "hemispheres" in priors:
        named = record["side"] or "", record["segment"] or ""
        call = mark_called(projected["labels"], midplane_of(priors["hemispheres"]), *named)
    shown = CasePictures(
        case_id=computed.case_id,
        ncct=scan["ncct"],
        projection=projected.get("mip"),
        call=call,
        occlusion=called_occlusion(computed, record),
        difference=priors.get("signed_difference"),
        explanation=explained.get("explanation"),
        point=tuple(point) if point else None,
    )
    return plot_case(shown)


def describe_pictures(computed: Computed, figure: Figure | None) -> list[dict[str, str]]:
    """Return ``source`` (a data address), ``alternative`` and ``caption`` of each picture.

    Args:
        computed: With what the score is made of, where side models gave it.
        figure: Of :func:`draw_case`.
    """
    pictures = []
    if figure is not None:
        pictures.append(
            {
                "source": to_png(figure, dpi=100),
                "alternative": "Slice of the scan, projected vessels with the call, and maps",
                "caption": CAPTION,
            }
        )
    dense = computed.images("scans").get("hyperdensity")
    if dense is not None and HAEMORRHAGE in str(computed.outcome.get("findings", "")):
        caption = f"{HAEMORRHAGE.capitalize()}: the slice with most of the largest region."
        pictures.insert(0, _stored(dense, "Slice with what is as dense as blood", caption))
    made_of = computed.images("explanations").get("contributions_picture")
    if made_of is not None:
        caption = "Map of the score: what arteries and tissue add to the log odds."
        pictures.append(
            _stored(made_of, "What the score is made of, on the scan and as bars", caption)
        )
    return pictures


def _stored(picture: Path, alternative: str, caption: str) -> dict[str, str]:
    png = base64.b64encode(picture.read_bytes()).decode("ascii")
    source = f"data:image/png;base64,{png}"
    return {"source": source, "alternative": alternative, "caption": caption}


def write_dicom(computed: Computed, record: dict[str, Any], figure: Figure, folder: Path) -> None:
    """Write the result as DICOM objects that refer to the original images.

    Where the headers do not allow that, the record says so, and the other files stay.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    point = record["point_mm"]
    found = DicomResult(
        vessels=computed.images("vessels").get("vessel_labels"),
        occlusion=called_occlusion(computed, record),
        probability=record["probability"],
        calls={p["name"]: p["call"] for p in record["operating_points"] if p["call"]},
        side=record["side"] or "",
        segment=record["segment"] or "",
        point_mm=tuple(point) if point else None,
        no_call=record["no_call"] or record["failed"],
        findings=tuple(record["findings"]),
        picture=np.asarray(canvas.buffer_rgba())[..., :3].copy(),
        models=record["models"]["sha256"],
    )
    try:
        write_results(computed.scan, found, folder, computed.catalog.load("params:scan_limits"))
    except ScanError as error:
        shutil.rmtree(folder, ignore_errors=True)
        record["findings"].append(f"no DICOM objects: {error}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())

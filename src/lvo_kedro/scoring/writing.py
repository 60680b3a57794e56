"""The folder of one scan: ``result.json``, ``report.html``, and maps in the scan's own geometry."""

from __future__ import annotations

import base64
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import nibabel as nib
import numpy as np

from lvo_kedro.artifacts import PART, write_json, write_text
from lvo_kedro.imaging.geometry import Grid, grid_of, make_image
from lvo_kedro.imaging.midplane import midplane_of
from lvo_kedro.imaging.nifti import open_nifti
from lvo_kedro.imaging.resampling import resample
from lvo_kedro.localization import mark_called
from lvo_kedro.reporting import CasePictures, plot_case, render_scan, to_png
from lvo_kedro.scoring.record import Computed, check_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESULT: Final = "result.json"
REPORT: Final = "report.html"
MAPS: Final = {
    "vessels": ("vessels", "vessel_labels", 0),
    "territory": ("priors", "territory_probability", 1),
    "difference_hu": ("priors", "signed_difference", 1),
    "occlusion": ("occlusions", "occlusion_mask", 0),
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
    folder = out / computed.case_id
    part = out / f".{computed.case_id}{PART}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    begun = time.monotonic()
    write_maps(computed, part)
    pictures = draw_pictures(computed, record)
    now = time.monotonic()
    record["seconds"]["steps"]["maps_and_pictures"] = round(now - begun, 2)
    record["seconds"]["total"] = round(now - start, 2)
    record["files"] = [REPORT, *(p.relative_to(part).as_posix() for p in _files(part))]
    check_record(record)
    write_text(part / REPORT, render_scan(record, pictures))
    write_json(part / RESULT, record)
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)
    return record, folder


def write_maps(computed: Computed, folder: Path) -> None:
    """Write what was computed on the scan's grid as NIfTI in the geometry of the scan as given.

    For a NIfTI file that is its own grid, orientation and shear; for DICOM the straightened one.
    """
    found = {
        name: (computed.images(step)[field], order)
        for name, (step, field, order) in MAPS.items()
        if field in computed.images(step)
    }
    if not found:
        return
    grid = None if computed.scan.is_dir() else grid_of(open_nifti(computed.scan, "ncct"))
    (folder / "maps").mkdir()
    for name, (image, order) in found.items():
        nib.save(on_grid(image, grid, order), folder / "maps" / f"{name}.nii.gz")


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


def draw_pictures(computed: Computed, record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Draw the case with its call, and what its score is made of.

    Returns:
        ``source`` (a data address), ``alternative`` and ``caption`` of each picture.
    """
    scan, priors = computed.images("scans"), computed.images("priors")
    if "ncct" not in scan:
        return []
    projected, explained = computed.images("projections"), computed.images("explanations")
    side, segment = record["side"] or "", record["segment"] or ""
    call = None
    if "labels" in projected and "hemispheres" in priors:
        call = mark_called(projected["labels"], midplane_of(priors["hemispheres"]), side, segment)
    point = record["point_mm"]
    shown = CasePictures(
        case_id=computed.case_id,
        ncct=scan["ncct"],
        projection=projected.get("mip"),
        call=call,
        occlusion=None
        if record["no_call"]
        else computed.images("occlusions").get("occlusion_mask"),
        difference=priors.get("signed_difference"),
        explanation=explained.get("explanation"),
        point=tuple(point) if point else None,
    )
    pictures = [
        {
            "source": to_png(plot_case(shown), dpi=100),
            "alternative": "Slice of the scan, projected vessels with the call, and maps",
            "caption": "Seen from below: the patient's right is on the left. The named segment and "
            "the point of the call are red; the difference is this side minus the other.",
        }
    ]
    if "contributions_picture" in explained:
        png = explained["contributions_picture"].read_bytes()
        pictures.append(
            {
                "source": f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}",
                "alternative": "What the score is made of, on the scan and as bars",
                "caption": "Map of the score: what arteries and tissue add to the log odds.",
            }
        )
    return pictures


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())

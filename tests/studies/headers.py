"""Candidates without files, of which only the headers are told."""

from __future__ import annotations

from typing import Any

from lvo_kedro.studies.candidates import Candidate
from lvo_kedro.studies.descriptions import words_in
from lvo_kedro.studies.index import File
from lvo_kedro.studies.sources import Place


def file(number: int, place: tuple[float, float, float], problem: str = "", **form: str) -> File:
    """A slice of which everything but its pixels is told."""
    known = {
        "Modality": "CT",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "Rows": "512",
        "Columns": "512",
        "PixelSpacing": "0.5\\0.5",
        "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
    } | form
    image = f"{number}{place}".encode()
    return File(Place("", f"/x/{number}"), 1, 1, image, number, (place,), problem, known)


def candidate(text: str = "", **changes: Any) -> Candidate:
    """A thin original head-long series with a description."""
    form = {
        "Modality": "CT",
        "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        "ConvolutionKernel": changes.pop("kernel", ""),
        "ContrastBolusAgent": changes.pop("agent", ""),
    } | changes.pop("form", {})
    step, extent = changes.pop("step_mm", 5.0), changes.pop("extent_mm", 150.0)
    slices = changes.pop("slices", round(extent / step))
    return Candidate(
        **{
            "name": text or "1",
            "uids": (text,),
            "files": (file(1, (0.0, 0.0, 0.0), **form),),
            "header": {},
            "form": form,
            "words": words_in(text),
            "context": frozenset(),
            "slices": slices,
            "images": slices,
            "extent_mm": extent,
            "step_mm": step,
            "plane": "axial",
        }
        | changes
    )

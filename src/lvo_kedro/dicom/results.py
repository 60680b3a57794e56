"""All DICOM objects of one result, written side by side."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvo_kedro.dicom.capture import make_capture
from lvo_kedro.dicom.report import make_report
from lvo_kedro.dicom.segmentation import OCCLUSION_KIND, VESSEL_KIND, make_segmentation
from lvo_kedro.dicom.source import read_source
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.rules import ScanLimits
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import nibabel as nib
    import numpy as np
    import pydicom
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DicomResult:
    """What was found in one scan, as far as an archive is told.

    Attributes:
        vessels: Labels of the arteries on the straightened grid, or None.
        occlusion: Labels of the occlusion, or None.
        probability: Of an occlusion; None where there is no call.
        calls: ``occlusion`` or ``no occlusion`` by operating point.
        side: The patient's, ``left`` or ``right``; empty if none was called.
        segment: One of the five classes; empty if none was called.
        point_mm: Where, RAS+ world mm, or None.
        no_call: Why the scan gets no call; empty if it gets one.
        findings: What is remarkable about scan, priors and vessels, in sentences.
        picture: Red, green, blue, (row, column, 3) uint8, or None.
        models: Digest of the models that found it.
    """

    vessels: nib.Nifti1Image | None = None
    occlusion: nib.Nifti1Image | None = None
    probability: float | None = None
    calls: Mapping[str, str] = field(default_factory=dict)
    side: str = ""
    segment: str = ""
    point_mm: tuple[float, float, float] | None = None
    no_call: str = ""
    findings: Sequence[str] = ()
    picture: NDArray[np.uint8] | None = None
    models: str = ""

    def digest(self) -> str:
        """Return a digest of everything that is said in words and numbers."""
        said = [self.probability, dict(self.calls), self.side, self.segment, self.point_mm]
        text = json.dumps([*said, self.no_call, list(self.findings)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def write_results(
    folder: Path, result: DicomResult, out: Path, limits: ScanLimits = ScanLimits()
) -> list[Path]:
    """Write the DICOM objects of a result: SEG of arteries and occlusion, SR, picture.

    Patient and study are those of the original images: the objects go back to where these came
    from. The same result of the same series gives objects with the same UIDs.

    Args:
        folder: The DICOM series that the scan was read from.
        result: What was found.
        out: Folder that gets the files; made where there is none.
        limits: With which the scan was read.

    Returns:
        The files that were written.

    Raises:
        ScanError: The series cannot be read, or its images cannot be referred to.
    """
    source = read_source(folder, limits)
    objects: dict[str, pydicom.Dataset | None] = {}
    try:
        for name, labels, kind in (
            ("vessels", result.vessels, VESSEL_KIND),
            ("occlusion", result.occlusion, OCCLUSION_KIND),
        ):
            if labels is not None:
                objects[name] = make_segmentation(source, labels, kind, result.models)
        objects["report"] = make_report(source, result)
        if result.picture is not None:
            words = f"No call. {RESEARCH_ONLY}" if result.no_call else RESEARCH_ONLY
            objects["picture"] = make_capture(source, result.picture, words, result.models)
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        # what highdicom raises where a header lacks what the standard demands
        raise ScanError(
            f"headers that DICOM results cannot refer to ({type(error).__name__})",
            "a series with the attributes of the CT image module",
            "take the series from the archive again; other results are written all the same",
        ) from error
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, item in objects.items():
        if item is not None:
            written.append(out / f"{name}.dcm")
            item.save_as(written[-1], enforce_file_format=True)
    return written

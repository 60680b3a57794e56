"""The page of an import: one line per study, those that a person must look at first."""

from __future__ import annotations

import base64
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro import __version__
from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.nifti import open_nifti
from lvo_kedro.imaging.planes import Plane, view_of
from lvo_kedro.reporting.page import environment
from lvo_kedro.reporting.slices import AIR, BRAIN_WINDOW
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nibabel.nifti1 import Nifti1Image
    from numpy.typing import NDArray

PAGE: Final = "import.html"
HEIGHT: Final = 120
"""Of a thumbnail, pixels."""
PIXEL_MM: Final = 2.0
GREYS: Final = 48
"""Grey levels of a thumbnail; fewer make it smaller."""
WINDOWS: Final[dict[Plane, tuple[float, float]]] = {
    "axial": BRAIN_WINDOW,
    "sagittal": (-250.0, 450.0),
}
"""HU from black to white: the brain, and how far the head is covered."""


@dataclass(frozen=True)
class SeriesLine:
    """A series that was looked at for a role.

    No text here may come from a header as it was typed: a description may hold a name.
    """

    name: str
    """Such as ``series 3``."""
    score: float | None = None
    """The higher, the more it is what was looked for; None where it cannot be that at all."""
    reasons: tuple[str, ...] = ()
    """What speaks for and against it, in words."""


@dataclass(frozen=True)
class StudyLine:
    """What an import made of one study. No text may hold what identifies a patient."""

    case_id: str
    image: Path | None = None
    """The written NIfTI, from which the thumbnail is made."""
    chosen: SeriesLine | None = None
    """The series that became the scan."""
    candidates: tuple[SeriesLine, ...] = ()
    """The other series."""
    label: str = ""
    """Such as ``left M1`` or ``no occlusion``; empty where there is none."""
    to_decide: tuple[str, ...] = ()
    """What a person must decide, such as between two series alike."""
    missing: tuple[str, ...] = ()
    """What there is not, such as a label."""


@dataclass(frozen=True)
class _Shown:
    study: StudyLine
    pictures: tuple[tuple[str, str], ...]
    """Plane and data address."""


def write_import_page(
    folder: Path,
    studies: Sequence[StudyLine],
    problems: Sequence[str] = (),
    *,
    simulated: bool = False,
) -> Path:
    """Write ``import.html``: what was chosen and why, what is missing, what a person must decide.

    The page holds pictures of the patients' heads. It is written study by study, so that memory
    does not grow with them, and put in the place of a former one as a whole.

    Args:
        folder: Where.
        studies: In any order.
        problems: Rows of the table of labels that were not taken, and files that were passed
            over, in words.
        simulated: Whether any study is simulated; marks the page.

    Returns:
        The page.
    """
    lines = sorted(
        map(_checked, studies), key=lambda s: (not s.to_decide, not s.missing, s.case_id)
    )
    counts = {
        "studies": len(lines),
        "to decide": sum(bool(s.to_decide) for s in lines),
        "something missing": sum(bool(s.missing) and not s.to_decide for s in lines),
        "complete": sum(not s.missing and not s.to_decide for s in lines),
    }
    page = environment().get_template("import.html.j2")
    parts = page.generate(
        title="Import of studies",
        simulated=simulated,
        counts=counts,
        lines=map(_shown, lines),
        problems=problems,
        research_only=RESEARCH_ONLY,
        version=__version__,
    )
    return _write(folder / PAGE, parts)


def _checked(study: StudyLine) -> StudyLine:
    """Put a study whose written scan is gone among those that a person must look at."""
    if study.image is None or study.image.is_file():
        return study
    return replace(study, image=None, to_decide=(*study.to_decide, "its written scan is gone"))


def _write(path: Path, parts: Iterator[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".import-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(parts)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _shown(study: StudyLine) -> _Shown:
    """Add the thumbnails; a damaged scan has none, and an entry that says so."""
    if study.image is None:
        return _Shown(study, ())
    try:
        image = open_nifti(study.image, "the written scan")
        pictures = tuple((p, f"data:image/png;base64,{_thumbnail(image, p)}") for p in WINDOWS)
    except ScanError as error:
        return _Shown(replace(study, to_decide=(*study.to_decide, str(error))), ())
    return _Shown(study, pictures)


def _thumbnail(image: Nifti1Image, plane: Plane) -> str:
    """Return the middle of a scan as a small PNG image in base64."""
    view = view_of(image, plane)
    view = replace(view, spacing=max(PIXEL_MM, (view.high[1] - view.low[1]) / HEIGHT))
    low, high = WINDOWS[plane]
    grey = np.clip((view.sample(image, fill=AIR) - low) / (high - low), 0, 1)
    levels = np.rint(grey * (GREYS - 1)) * (255 / (GREYS - 1))
    return base64.b64encode(_png(levels.astype(np.uint8))).decode("ascii")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (rows, columns) as a grey PNG image (ISO 15948), without any further data."""
    rows, columns = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    lines = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each line begins with its filter: none

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    packed = zlib.compress(lines, 9)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

"""What a file of an export is: its header read, be it DICOM or NIfTI, in a folder or an archive."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Final

import nibabel as nib
import numpy as np
import pydicom

from lvo_kedro.imaging.pixels import quiet_pydicom
from lvo_kedro.studies.facts import Facts, nifti_facts, read_facts
from lvo_kedro.studies.sources import HEAD, Bounded, Found, SourceLimits, kind_of

_SIDECAR_BYTES: Final = 1 << 20

NOT_OPENED: Final = "a file that cannot be opened"
"""Why a file was passed over that may be readable another time."""


def kind_of_file(found: Found) -> str:
    """Return what a file is by its begin (:func:`~lvo_kedro.studies.sources.kind_of`).

    Args:
        found: The file.
    """
    with suppress(OSError), found.open() as file:
        return kind_of(file.read(HEAD))
    return ""


def facts_of(found: Found, root: Path, limits: SourceLimits) -> Facts | None:
    """Read the header of a file.

    Args:
        found: The file.
        root: Of the export, to which names of NIfTI files are relative.
        limits: How much is read at most.

    Returns:
        What it is, or None where it is no image.

    Raises:
        ValueError: It is an archive, or of an absurd size.
    """
    name = found.place.name
    if name.lower().endswith((".nii", ".nii.gz")):
        return _nifti(found, root)
    if not found.place.container and PurePath(name).name.upper() == "DICOMDIR":
        _check_directory(found, limits)
    with found.open() as file, Bounded(file, limits.max_header_bytes) as bounded:
        if found.place.container and kind_of(bounded.read(HEAD)) in ("zip", "tar", "packed"):
            raise ValueError("an archive within an archive: unpack the outer one")
        bounded.seek(0)
        home = f"{found.place.container}/{PurePath(name).parent}"
        return read_facts(bounded, found.size, home)  # type: ignore[arg-type]


def _check_directory(found: Found, limits: SourceLimits) -> None:
    """Say how many files a DICOMDIR names that are not there: an export that was cut short."""
    folder = Path(found.place.name).parent
    with quiet_pydicom(), found.open() as file, Bounded(file, limits.max_header_bytes) as bounded:
        records = pydicom.dcmread(bounded).get("DirectoryRecordSequence") or []
    missing = 0
    for record in records:
        parts = np.atleast_1d(record.get("ReferencedFileID") or [])
        path = folder.joinpath(*map(str, parts))
        inside = path.resolve().is_relative_to(folder.resolve())
        missing += bool(len(parts)) and inside and not path.exists()
    if missing:
        raise ValueError(f"a DICOMDIR that names {missing} files that are not there")


def _nifti(found: Found, root: Path) -> Facts:
    """Read a NIfTI header; of a packed file no more than that is unpacked."""
    name = found.place.name
    stem = name[: -len(".nii.gz" if name.lower().endswith(".gz") else ".nii")]
    with found.open() as file:
        start = file.read(1 << 16)
    if start.startswith(b"\x1f\x8b"):
        start = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(start, 4096)
    second = start[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
    kind, size = (nib.Nifti2Header, 540) if second else (nib.Nifti1Header, 348)
    header = kind(start[:size], check=False)
    sidecar: dict[str, Any] = {}
    beside = Path(f"{stem}.json")
    if not found.place.container and beside.is_file() and beside.stat().st_size < _SIDECAR_BYTES:
        with suppress(ValueError):
            read = json.loads(beside.read_text(encoding="utf-8"))
            sidecar = read if isinstance(read, dict) else {}
    packed = found.place.container
    within = stem if packed else str(Path(stem).relative_to(root))
    facts = nifti_facts(within, header, sidecar)
    # files and subjects are called the same in many exports and archives
    where = PurePath(packed).name if packed else root.name
    return replace(facts, study="/".join((where, *_above_subject(within), facts.study)))


def _above_subject(name: str) -> tuple[str, ...]:
    """Return the folders above a BIDS subject, whose derivatives are its own."""
    parts = PurePath(name).parts
    at = next((n for n, part in enumerate(parts[:-1]) if part.startswith("sub-")), 0)
    above = parts[:at]
    return above[: above.index("derivatives")] if "derivatives" in above else above


def reason_of(error: Exception) -> str:
    """Return words of our own as they are; those of a library may quote what they read."""
    if isinstance(error, OSError) and not isinstance(error, EOFError):
        return NOT_OPENED
    text = str(error)
    ours = (
        "a DICOMDIR",
        "an archive within",
        "a header of an absurd",
        "a file that is packed",
    )
    return text if isinstance(error, ValueError) and text.startswith(ours) else "a damaged file"

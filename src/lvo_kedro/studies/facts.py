"""What a header says that the import needs: of the study, of the series, and of its one image."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lvo_kedro.imaging.frames import GROUPS, agent_of, frame_headers
from lvo_kedro.imaging.headers import open_header
from lvo_kedro.imaging.pixels import quiet_pydicom
from lvo_kedro.studies.deidentify import reasons_to_refuse
from lvo_kedro.studies.descriptions import words_in

if TYPE_CHECKING:
    import pydicom

OF_STUDY: Final = ("StudyInstanceUID", "AccessionNumber", "PatientID", "IssuerOfPatientID")
OF_SERIES: Final = (
    "SeriesNumber", "SeriesDescription", "ProtocolName", "StudyDescription", "BodyPartExamined",
    "Manufacturer", "ManufacturerModelName", "KVP", "Exposure", "ExposureInuAs",
    "XRayTubeCurrent", "ExposureTime", "GantryDetectorTilt", "PatientSex", "PatientAge",
    "PatientBirthDate", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime",
    "ContentDate", "ContentTime", "SeriesDate", "SeriesTime", "StudyDate", "StudyTime",
    "FrameOfReferenceUID", "ImageComments",
)  # fmt: skip
"""Kept once a series, of the first image that is met."""
OF_FORM: Final = (
    "Modality", "SOPClassUID", "ImageType", "ConvolutionKernel", "SliceThickness", "PixelSpacing",
    "Rows", "Columns", "ImageOrientationPatient", "ContrastBolusAgent", "AcquisitionNumber",
)  # fmt: skip
"""In what images of one series may differ where it holds several reconstructions."""
_OF_IMAGE: Final = (
    "SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber", "NumberOfFrames",
    "ImagePositionPatient",
)  # fmt: skip
_TELLING: Final = (
    "BurnedInAnnotation", "ConversionType", "SamplesPerPixel", "EncapsulatedDocument",
)  # fmt: skip
_OVERLAYS: Final = tuple(Tag(group, 0x10) for group in range(0x6000, 0x6020, 2))
_READ: Final = (
    *OF_STUDY, *OF_SERIES, *OF_FORM, *_OF_IMAGE, *_TELLING, *_OVERLAYS, *GROUPS,
)  # fmt: skip
_MAX_CHARACTERS: Final = 512
_MAX_UNPACKED: Final = 256 << 20
_NOBODY: Final = re.compile(r"(anon[a-z]*|unknown|none|n/?a|x+|0+|)", re.I)
"""What stands in PatientID where it is nobody's: such studies are each a patient's of their own."""
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_MAX_FRAMES: Final = 20_000


@dataclass(frozen=True)
class Facts:
    """What one file of the export is, by its header."""

    study: str
    series: str
    accession: str = ""
    patient: str = ""
    """Key of the patient: id and issuer, or the study where nobody is named."""
    header: dict[str, str] = field(default_factory=dict)
    """:data:`OF_SERIES`, keyword to text, several values joined by a backslash."""
    form: dict[str, str] = field(default_factory=dict)
    """:data:`OF_FORM`, likewise."""
    image: str = ""
    """SOPInstanceUID."""
    number: int = 0
    places: tuple[tuple[float, float, float], ...] = ()
    """ImagePositionPatient (mm), of each frame."""
    refused: tuple[str, ...] = ()
    """Why it may identify the patient."""


def read_facts(file: BinaryIO, size: int, home: str) -> Facts | None:
    """Read what a DICOM file is.

    Args:
        file: At its begin.
        size: Bytes.
        home: What stands for the study where the header names none.

    Returns:
        The facts, or None for what is no image of a study: no DICOM, or a DICOMDIR.

    Raises:
        ValueError: It unpacks to an absurd size.
        Exception: Whatever pydicom raises on a damaged file.
    """
    _check_deflated(file, size)
    with quiet_pydicom():
        header = open_header(file, _READ)
        if header is None or header.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
            return None
        return _facts(header, home)


def _facts(header: pydicom.FileDataset, home: str) -> Facts:
    values = {name: text_of(header, name) for name in (*OF_STUDY, *OF_SERIES, *OF_FORM, *_OF_IMAGE)}
    if not values["Modality"] and not values["StudyInstanceUID"]:
        raise ValueError("a header that ends early")
    count = values["NumberOfFrames"]
    several = count.isdigit() and int(count) > 1
    frames = list(islice(frame_headers(header), _MAX_FRAMES)) if several else []
    if frames:
        for name in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            values[name] = values[name] or text_of(frames[0], name)
        values["ConvolutionKernel"] = values["ConvolutionKernel"] or text_of(
            frames[0], "ConvolutionKernel"
        )
        values["ImageType"] = text_of(frames[0], "FrameType") or values["ImageType"]
        values["ContrastBolusAgent"] = values["ContrastBolusAgent"] or agent_of(header)
    spots = [text_of(frame, "ImagePositionPatient") for frame in frames or [header]]
    study = values["StudyInstanceUID"] or home
    values["ImageOrientationPatient"] = rounded(values["ImageOrientationPatient"])
    return Facts(
        study=study,
        series=values["SeriesInstanceUID"] or f"{study}/{values['SeriesNumber']}",
        accession=values["AccessionNumber"],
        patient=patient_key(values["PatientID"], values["IssuerOfPatientID"]) or study,
        header={name: values[name] for name in OF_SERIES if values[name]},
        form={name: values[name] for name in OF_FORM if values[name]},
        image=values["SOPInstanceUID"],
        number=int(number) if (number := values["InstanceNumber"]).lstrip("-").isdigit() else 0,
        places=tuple(spot for text in spots if (spot := _triple(text)) is not None),
        refused=tuple(reasons_to_refuse(header)),
    )


def _check_deflated(file: BinaryIO, size: int) -> None:
    """Refuse a deflated file that unpacks to an absurd size: pydicom unpacks it as a whole."""
    start = file.read(2048)
    file.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in start[:1024]:
        return
    at = start.find(b"\x02\x00\x00\x00UL\x04\x00")
    if at < 0:
        return
    begin = at + 12 + int.from_bytes(start[at + 8 : at + 12], "little")
    file.seek(begin)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = 0
    while content := unpacker.unconsumed_tail or file.read(min(size, 1 << 20)):
        unpacked += len(unpacker.decompress(content, 1 << 20))
        if unpacked > _MAX_UNPACKED:
            raise ValueError("a file that is packed too well to be an image")
    file.seek(0)


def patient_key(patient: str, issuer: str) -> str:
    """Return what stands for a patient; nothing where the id is nobody's.

    Args:
        patient: PatientID.
        issuer: IssuerOfPatientID.
    """
    if _NOBODY.fullmatch(patient.strip()):
        return ""
    return f"{patient.strip()}\\{issuer.strip()}" if issuer.strip() else patient.strip()


def text_of(header: pydicom.Dataset, name: str) -> str:
    """Return an attribute as text, several values joined by a backslash; nothing if unreadable.

    Args:
        header: Any.
        name: Its keyword.
    """
    try:
        value: Any = header.get(name)
    except MemoryError:
        raise
    except Exception:  # whatever pydicom raises on a damaged value
        return ""
    if value is None:
        return ""
    parts = [value] if isinstance(value, str) else np.atleast_1d(np.asarray(value, dtype=object))
    return "\\".join(str(part).strip(" \0") for part in parts)[:_MAX_CHARACTERS]


def rounded(text: str, digits: int = 3) -> str:
    """Return numbers with fewer digits, so that what differs by rounding is the same.

    Args:
        text: Joined by backslashes.
        digits: Behind the point.
    """
    try:
        return "\\".join(f"{round(float(part), digits) + 0.0:g}" for part in text.split("\\"))
    except ValueError:
        return ""


def _triple(text: str) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return (x, y, z) if np.isfinite([x, y, z]).all() else None


_BIDS: Final = re.compile(r"(sub-[A-Za-z0-9-]+?)(?:_(ses-[A-Za-z0-9-]+?))?(?:_(.*))?")
_SIDECAR: Final = {"ManufacturersModelName": "ManufacturerModelName", "XRayExposure": "Exposure"}


def nifti_facts(name: str, header: Any, sidecar: dict[str, Any]) -> Facts:
    """Return what a NIfTI file is, by its name, its header and the file beside it.

    In BIDS a study is a session of a subject. Elsewhere it is the folder where the file is called
    by what it shows, such as ``plain``, and the file alone where it is not.

    Args:
        name: Path within the export, without ending.
        header: nibabel's.
        sidecar: What the JSON file beside it says, by DICOM keywords as dcm2niix writes them.
    """
    path = PurePath(name)
    match = _BIDS.fullmatch(path.name)
    if match:
        subject, session, rest = match[1], match[2] or "", match[3] or ""
        study, patient = "/".join(filter(None, (subject, session))), subject
    else:
        shared = len(path.parts) > 1 and bool(words_in(path.name))
        study = str(path.parent) if shared else name
        patient, rest = study, path.name
    derived = "derivatives" in {part.lower() for part in path.parts}
    facts = {_SIDECAR.get(key, key): value for key, value in sidecar.items()}
    known = {
        key: "\\".join(map(str, value if isinstance(value, list) else [value]))[:_MAX_CHARACTERS]
        for key, value in facts.items()
        if key in (*OF_SERIES, *OF_FORM) and not isinstance(value, dict)
    }
    known.setdefault("SeriesDescription", rest)
    shape, zooms = header.get_data_shape(), header.get_zooms()
    form: dict[str, str] = {key: known.pop(key) for key in OF_FORM if key in known}
    form |= {"Modality": form.get("Modality", "CT"), "Nifti": json.dumps([int(n) for n in shape])}
    form["PixelSpacing"] = "\\".join(f"{float(v):g}" for v in zooms[1::-1])
    if derived:
        form["ImageType"] = "DERIVED\\SECONDARY\\REGISTERED"
    affine = header.get_best_affine()
    form["NiftiAffine"] = json.dumps([[round(float(v), 4) for v in row] for row in affine[:3]])
    return Facts(study, name, patient=patient, header=known, form=form)

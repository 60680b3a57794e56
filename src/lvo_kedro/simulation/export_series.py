"""Series of DICOM files as scanners write them, from simulated heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SIMULATED: Final = "SIMULATED HEAD, NO PATIENT"
"""Stands in ImageComments of every file."""
_OFFSET: Final = 1024
PRIVATE_GROUP: Final = 0x0029


def uid(*parts: object) -> UID:
    """Return a UID that follows from what it names.

    Args:
        parts: What it names.
    """
    return generate_uid(entropy_srcs=["lvo_kedro export", *map(str, parts)])


@dataclass
class Series:
    """One series of slices.

    Attributes:
        number: In the study.
        description: As technologists write it.
        hu: Densities (columns to the left, rows to the back, slices), HU.
        affine: Voxel to RAS+ world, mm.
        study: Attributes of patient and study, the same in all of its series.
        positions: First pixel of each slice (RAS+ mm) where steps are uneven.
        order: Places of the slices in the order in which they were scanned.
        thickness: Of each slice, mm, where steps are uneven.
        fields: Further attributes.
        private: Text in a private attribute of each file.
    """

    number: int
    description: str
    hu: NDArray[np.generic]
    affine: NDArray[np.float64]
    study: dict[str, Any]
    positions: NDArray[np.float64] | None = None
    order: list[int] | None = None
    thickness: list[float] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    private: str = ""

    @property
    def uid(self) -> UID:
        """SeriesInstanceUID."""
        return uid(self.study["StudyInstanceUID"], self.number)

    def files(self) -> Iterator[FileDataset]:
        """Yield one file per slice, in the order in which they were scanned."""
        places = self.order or list(range(self.hu.shape[2]))
        for instance, k in enumerate(places, start=1):
            data = _file(CTImageStorage, uid(self.uid, instance))
            pixels = self._pixels(k)
            common = self._common() | self._plane(k) | _stored(pixels)
            _fill(data, {**common, "InstanceNumber": instance, **self.fields})
            if self.private:
                block = data.private_block(PRIVATE_GROUP, "SIMULATED VENDOR 1.0", create=True)
                block.add_new(0x10, "LO", self.private)
            yield data

    def enhanced(self) -> FileDataset:
        """Return all slices as one enhanced multi-frame file."""
        data = _file(EnhancedCTImageStorage, uid(self.uid, "enhanced"))
        planes = [self._plane(k) for k in range(self.hu.shape[2])]
        pixels = np.stack([self._pixels(k) for k in range(self.hu.shape[2])])
        fields = self.fields
        common = self._common() | _stored(pixels) | fields | {"NumberOfFrames": len(planes)}
        for name in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ConvolutionKernel"):
            common.pop(name, None)
        _fill(data, {**common, "InstanceNumber": 1})
        first = planes[0]
        data.SharedFunctionalGroupsSequence = [
            _group(
                PixelMeasuresSequence={n: first[n] for n in ("PixelSpacing", "SliceThickness")},
                PlaneOrientationSequence={n: first[n] for n in ("ImageOrientationPatient",)},
                PixelValueTransformationSequence=_rescale(),
                CTReconstructionSequence={"ConvolutionKernel": fields.get("ConvolutionKernel", "")},
                CTImageFrameTypeSequence={"FrameType": fields["ImageType"]},
            )
        ]
        data.PerFrameFunctionalGroupsSequence = [
            _group(
                FrameContentSequence={"FrameAcquisitionNumber": 1},
                PlanePositionSequence={"ImagePositionPatient": plane["ImagePositionPatient"]},
            )
            for plane in planes
        ]
        return data

    def _pixels(self, k: int) -> NDArray[np.uint16]:
        return np.asarray(np.clip(self.hu[:, :, k].T + _OFFSET, 0, 4095), dtype=np.uint16)

    def _common(self) -> dict[str, Any]:
        return {
            **self.study,
            "Modality": "CT",
            "SeriesInstanceUID": self.uid,
            "SeriesNumber": self.number,
            "SeriesDescription": self.description,
            "ImageComments": SIMULATED,
        }

    def _plane(self, k: int) -> dict[str, Any]:
        """Place of a slice, in DICOM's LPS."""
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        axes = self.affine[:3, :2] / spacing[:2] * [[-1], [-1], [1]]
        origin = self.affine[:3, 3] + self.affine[:3, 2] * k
        if self.positions is not None:
            origin = self.positions[k]
        thickness = spacing[2] if self.thickness is None else self.thickness[k]
        return {
            "PixelSpacing": [f"{spacing[1]:.6f}", f"{spacing[0]:.6f}"],
            "SliceThickness": f"{thickness:.4f}",
            "ImageOrientationPatient": [f"{v:.9f}" for v in [*axes[:, 0], *axes[:, 1]]],
            "ImagePositionPatient": [f"{v:.6f}" for v in origin * [-1, -1, 1]],
        }


def dose_report(study: dict[str, Any], number: int) -> FileDataset:
    """Return a picture of a screen, as scanners send it with every study.

    Args:
        study: Attributes of patient and study.
        number: Of the series.
    """
    series = uid(study["StudyInstanceUID"], number)
    data = _file(SecondaryCaptureImageStorage, uid(series, 1))
    pixels = np.zeros((128, 128), np.uint8)
    pixels[16:112:12, 8:100] = 255  # lines where words stand
    fields = {
        **study,
        "Modality": "CT",
        "SeriesInstanceUID": series,
        "SeriesNumber": number,
        "SeriesDescription": "Dose Report",
        "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"],
        "ConversionType": "WSD",
        "BurnedInAnnotation": "YES",
        "InstanceNumber": 1,
        "ImageComments": SIMULATED,
    }
    stored = _stored(pixels) | {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    for name in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        stored.pop(name)
    _fill(data, fields | stored)
    return data


def compress(data: FileDataset) -> FileDataset:
    """Return a file with run-length encoded pixels.

    Args:
        data: An uncompressed file; it is changed.
    """
    data.compress(RLELossless, generate_instance_uid=False)
    return data


def _file(kind: UID, instance: UID) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = kind
    data.SOPInstanceUID = instance
    return data


def _rescale() -> dict[str, str]:
    return {"RescaleSlope": "1", "RescaleIntercept": str(-_OFFSET), "RescaleType": "HU"}


def _stored(pixels: NDArray[np.generic]) -> dict[str, Any]:
    """Attributes of pixels (..., rows, columns)."""
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        **_rescale(),
        "PixelData": pixels.tobytes(),
    }


def _fill(data: Dataset, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(data, name, value)


def _group(**sequences: dict[str, Any]) -> Dataset:
    """Return a functional group: sequences of one item."""
    group = Dataset()
    for name, fields in sequences.items():
        item = Dataset()
        _fill(item, fields)
        setattr(group, name, [item])
    return group

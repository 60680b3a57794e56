"""A phantom head whose parts are known in world millimetres, and a writer of DICOM series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lvo_kedro.imaging.geometry import Grid, world_axis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

PATIENT_NAME = "Secret^Person"
PATIENT_ID = "MRN-424242"


def ellipsoid(points: list[NDArray], centre: tuple, radii: tuple) -> NDArray[np.bool_]:
    total = sum(((p - c) / r) ** 2 for p, c, r in zip(points, centre, radii, strict=True))
    return np.asarray(total < 1)


def phantom_head(grid: Grid, noise: float = 4.0, craniectomy: bool = False) -> tuple:
    """Head CT (HU) and the inside of its skull: scalp, skull, brain, orbits, neck.

    A dense ball of 20 mm lies in the patient's left frontal brain.
    """
    points = [world_axis(grid, axis) for axis in range(3)]
    x, y, z = points
    hu = np.full(grid.shape, -1000.0, dtype=np.float32)
    neck = ellipsoid([x, y, 0 * z], (0, -15, 0), (55, 60, 1)) & (z < -45)
    face = ellipsoid(points, (0, 35, -60), (60, 62, 75)) & (z < -20)
    hu[ellipsoid(points, (0, 0, 0), (80, 100, 80)) | neck | face] = -90.0  # fat
    hu[ellipsoid(points, (0, 0, 0), (77, 97, 77))] = 50.0  # galea and muscle
    hu[(neck | face) & ~ellipsoid(points, (0, 0, 0), (80, 100, 80))] = 55.0
    skull = ellipsoid(points, (0, 0, 0), (72, 92, 72))
    hu[skull] = 950.0
    hu[ellipsoid(points, (0, -20, -75), (26, 26, 20)) & ~skull] = 700.0  # vertebra, occiput
    for side in (-1, 1):
        hu[ellipsoid(points, (32 * side, 75, -48), (22, 32, 20)) & ~skull] = -90.0  # orbit
        hu[ellipsoid(points, (32 * side, 90, -48), (12, 12, 12)) & ~skull] = 15.0  # globe
    brain = ellipsoid(points, (0, 0, 0), (66, 86, 66))
    canal = ellipsoid([x, y, 0 * z], (0, -20, 0), (11, 12, 1)) & (z < -55)
    hu[canal] = 25.0
    if craniectomy:
        flap = ellipsoid(points, (-72, 10, 20), (35, 35, 35))
        hu[flap & skull & ~brain] = 50.0
    hu[brain] = 34.0
    hu[ellipsoid(points, (0, -10, 10), (16, 36, 12))] = 8.0  # ventricles
    hu[ellipsoid(points, (9, -30, 10), (5, 5, 5))] = 400.0  # calcified plexus
    hu[ellipsoid(points, (-35, 45, 10), (10, 10, 10))] = 75.0  # marker, patient's left front
    rng = np.random.default_rng(0)
    hu += rng.normal(0, noise, grid.shape).astype(np.float32)
    return hu.round(), brain


def head_grid(
    spacing: tuple[float, float, float] = (1.5, 1.5, 3.0), z: tuple[float, float] = (-75.0, 90.0)
) -> Grid:
    shape = (round(186 / spacing[0]), round(220 / spacing[1]), round((z[1] - z[0]) / spacing[2]))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-93.0, -108.0, z[0]]
    return Grid(shape, affine)


@dataclass
class Series:
    """A DICOM series of ``head``'s geometry; change its fields, then write it."""

    folder: Path
    hu: NDArray
    affine: NDArray
    """Voxel (column, row, slice) to RAS+ world; the slice column is used as it is."""
    positions: NDArray | None = None
    """First pixel of each slice in RAS+ world, where steps are uneven."""
    number: int = 3
    uid: str = field(default_factory=generate_uid)
    kinds: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")
    modality: str = "CT"
    suffix: str = ".dcm"
    changes: dict[str, Any] = field(default_factory=dict)
    study: str = field(default_factory=generate_uid)

    def write(self, change: Callable[[int, FileDataset], None] | None = None) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        for k in range(self.hu.shape[2]):
            dataset = self._dataset(k)
            if change:
                change(k, dataset)
            # names in no order of the slices
            name = f"s{self.number}_{(7 * k) % self.hu.shape[2]:03d}{self.suffix}"
            dataset.save_as(self.folder / name, enforce_file_format=True)
        return self.folder

    def _dataset(self, k: int) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        axes = self.affine[:3, :3] / spacing * [[-1], [-1], [1]]  # to DICOM's LPS
        origin = self.affine[:3, 3] + self.affine[:3, 2] * k
        if self.positions is not None:
            origin = self.positions[k]
        pixels = (self.hu[:, :, k].T + 1024).astype(np.uint16)
        fields = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": self.study,
            "SeriesInstanceUID": self.uid,
            "FrameOfReferenceUID": self.study,
            "PatientName": PATIENT_NAME,
            "PatientID": PATIENT_ID,
            "Modality": self.modality,
            "Manufacturer": "Phantom",
            "ImageType": list(self.kinds),
            "SeriesNumber": self.number,
            "InstanceNumber": k + 1,
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "PixelSpacing": [f"{spacing[1]:.6f}", f"{spacing[0]:.6f}"],
            "SliceThickness": f"{spacing[2]:.4f}",
            "ImageOrientationPatient": [f"{v:.9f}" for v in [*axes[:, 0], *axes[:, 1]]],
            "ImagePositionPatient": [f"{v:.6f}" for v in origin * [-1, -1, 1]],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "RescaleSlope": "1",
            "RescaleIntercept": "-1024",
            "RescaleType": "HU",
            **self.changes,
        }
        for name, value in fields.items():
            if value is not None:
                setattr(data, name, value)
        data.PixelData = pixels.tobytes()
        return data


def dicom_layout(grid: Grid) -> Grid:
    """Turn ``grid`` (RAS+) so that columns run to the left and rows to the back, as scanners do."""
    affine = grid.affine.copy()
    corner = np.array([grid.shape[0] - 1, grid.shape[1] - 1, 0, 1])
    affine[:3, 3] = (affine @ corner)[:3]
    affine[:3, :2] *= -1
    return Grid(grid.shape, affine)


def marker_position(image: nib.Nifti1Image) -> NDArray[np.float64]:
    """World position of the bright ball in the phantom's left frontal brain: (-35, 45, 10)."""
    data = np.asarray(image.dataobj)
    grid = Grid(image.shape, image.affine)
    near = [world_axis(grid, a) for a in range(3)]
    ball = (data > 58) & (data < 100) & ellipsoid(near, (-35, 45, 10), (16, 16, 16))
    return nib.affines.apply_affine(image.affine, np.argwhere(ball)).mean(axis=0)

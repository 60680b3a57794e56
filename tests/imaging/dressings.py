"""One head in many dressings: what archives do to a scan without, and with, changing its meaning.

A dressing writes the head below a folder and returns what to read. Each takes a random generator,
so that one kind has many forms.
"""

from __future__ import annotations

import gzip
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
from imaging_phantoms import Series
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from lvo_kedro.imaging.geometry import Grid, grid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Head(NamedTuple):
    """A simulated head in RAS+ and its arteries on the same grid."""

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    arteries: NDArray[np.bool_]


Change = "Callable[[int, pydicom.Dataset], None]"


# ------------------------------------------------------------------ DICOM: the same volume


def as_series(head: Head, folder: Path, rng: np.random.Generator) -> Series:
    """The head as a scanner stores it: one of the directions that rows, columns, slices may have."""
    turned = nib.orientations.apply_orientation
    flips = [rng.choice([-1, 1]) for _ in range(3)]
    ornt = np.array([[0, flips[0]], [1, flips[1]], [2, flips[2]]])
    hu = turned(head.hu, ornt)
    affine = head.affine @ nib.orientations.inv_ornt_aff(ornt, head.hu.shape)
    return Series(folder, np.asarray(hu), affine)


def setting(**values: Any) -> Callable[[Series, np.random.Generator], Change]:
    def dress(series: Series, rng: np.random.Generator) -> Change:
        def change(k: int, dataset: Dataset) -> None:
            for name, value in values.items():
                new = value(k, series, rng) if callable(value) else value
                if new is None:
                    delattr(dataset, name)
                else:
                    setattr(dataset, name, new)

        return change

    return dress


def signed(series: Series, rng: np.random.Generator) -> Change:
    def change(k: int, dataset: Dataset) -> None:
        dataset.PixelRepresentation, dataset.RescaleIntercept = 1, "0"
        dataset.PixelData = np.ascontiguousarray(series.hu[:, :, k].T.astype(np.int16)).tobytes()

    return change


def twelve_bits(series: Series, rng: np.random.Generator) -> Change:
    """Signed pixels in the lower 12 bits, the sign not carried on into the upper ones."""
    signed_change = signed(series, rng)

    def change(k: int, dataset: Dataset) -> None:
        signed_change(k, dataset)
        stored = np.frombuffer(dataset.PixelData, np.uint16)
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = (stored & 0x0FFF).tobytes()

    return change


def steep(series: Series, rng: np.random.Generator) -> Change:
    """A slope of 0.5, as files of 16 bits have."""

    def change(k: int, dataset: Dataset) -> None:
        dataset.RescaleSlope = "0.5"
        dataset.PixelData = ((series.hu[:, :, k].T + 1024) * 2).astype(np.uint16).tobytes()

    return change


def few_bits_where_few_are_needed(series: Series, rng: np.random.Generator) -> Change:
    def change(k: int, dataset: Dataset) -> None:
        top = int((series.hu[:, :, k] + 1024).max())
        dataset.BitsStored = max(1, top.bit_length())
        dataset.HighBit = dataset.BitsStored - 1

    return change


def blank_slices_of_8_bits(series: Series, rng: np.random.Generator) -> Change:
    def change(k: int, dataset: Dataset) -> None:
        stored = (series.hu[:, :, k].T + 1024).astype(np.uint16)
        if stored.max() < 256:
            dataset.BitsAllocated = dataset.BitsStored = 8
            dataset.HighBit = 7
            content = stored.astype(np.uint8).tobytes()
            dataset.PixelData = content + b"\0" * (len(content) % 2)
            dataset["PixelData"].VR = "OB"

    return change


def padded(value: int, tag: int | None) -> Callable[[Series, np.random.Generator], Change]:
    """Corners outside the field of view hold ``value`` as stored, which the header names."""

    def dress(series: Series, rng: np.random.Generator) -> Change:
        def change(k: int, dataset: Dataset) -> None:
            stored = (series.hu[:, :, k].T + 1024).astype(np.int32)
            stored[:4, :4] = stored[-4:, -4:] = stored[:4, -4:] = stored[-4:, :4] = value
            dataset.PixelData = (stored % 65536).astype(np.uint16).tobytes()
            dataset.PixelRepresentation = 1 if value < 0 else 0
            if tag is not None:
                dataset.PixelPaddingValue = tag
                dataset["PixelPaddingValue"].VR = "SS" if tag < 0 else "US"

        return change

    return dress


def compressed(syntax: str, encode: Callable) -> Callable[[Series, np.random.Generator], Change]:
    def dress(series: Series, rng: np.random.Generator) -> Change:
        def change(k: int, dataset: Dataset) -> None:
            stored = (series.hu[:, :, k].T + 1024).astype(np.uint16)
            dataset.file_meta.TransferSyntaxUID = syntax
            if syntax == RLELossless:
                dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                dataset.compress(RLELossless)
                return
            dataset.PixelData = encapsulate([encode(stored)])
            dataset["PixelData"].VR = "OB"

        return change

    return dress


IN_THE_HEADERS: dict[str, Callable[[Series, np.random.Generator], Change]] = {
    "as it is": setting(),
    "numbers from the vertex": setting(InstanceNumber=lambda k, s, _: s.hu.shape[2] - k),
    "no numbers": setting(InstanceNumber=None),
    "one number": setting(InstanceNumber=1),
    "numbers in no order": setting(InstanceNumber=lambda k, s, _: (7 * k) % s.hu.shape[2]),
    "no thickness": setting(SliceThickness=None),
    "time by slice": setting(
        StudyTime=lambda k, *_: f"{100000 + k}", StudyDate=lambda k, *_: f"{20200101 + k % 9}"
    ),
    "series number by slice": setting(SeriesNumber=lambda k, *_: k + 1),
    "image type by slice": setting(
        ImageType=lambda k, *_: ["ORIGINAL", "PRIMARY", "AXIAL", *["ADD"] * (k % 2)]
    ),
    "image type of one word": setting(ImageType="ORIGINAL"),
    "no image type": setting(ImageType=None),
    "one instance UID": setting(SOPInstanceUID="1.2.3"),
    "empty instance UID": setting(SOPInstanceUID=""),
    "no instance UID": setting(SOPInstanceUID=None),
    "no series UID": setting(SeriesInstanceUID=None),
    "series UID by slice": setting(SeriesInstanceUID=lambda *_: generate_uid()),
    "frame of reference by slice": setting(FrameOfReferenceUID=lambda *_: generate_uid()),
    "slopes but for rounding": setting(RescaleSlope=lambda k, *_: ["1", "1.000001"][k % 2]),
    "no contrast, in words": setting(ContrastBolusAgent=lambda k, *_: ["NONE", "", "no"][k % 3]),
    "no rescale type": setting(RescaleType=None),
    "no bits stored": setting(BitsStored=None),
    "foreign letters": setting(
        SpecificCharacterSet="ISO_IR 100", SeriesDescription="Sch\u00e4del nativ"
    ),
    "signed": signed,
    "signed in 12 bits": twelve_bits,
    "a slope of a half": steep,
    "bits by slice": few_bits_where_few_are_needed,
    "8 bits where blank": blank_slices_of_8_bits,
    "padding of -2000": padded(-2000, -2000),
    "padding unsigned in the tag": padded(-2000, 63536),
    "padding unsigned": padded(63536, 63536),
    "padding unsigned, not named": padded(63536, None),
    "RLE": compressed(RLELossless, bytes),
    "JPEG": compressed(JPEGLosslessSV1, lambda a: imagecodecs.ljpeg_encode(a)),
    "JPEG-LS": compressed(JPEGLSLossless, lambda a: imagecodecs.jpegls_encode(a)),
    "JPEG 2000": compressed(
        JPEG2000Lossless,
        lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", level=0, reversible=True),
    ),
}


def as_syntax(syntax: str) -> Callable[[Path, np.random.Generator], None]:
    def dress(folder: Path, rng: np.random.Generator) -> None:
        for path in dicom_files(folder):
            dataset = pydicom.dcmread(path)
            if not dataset.file_meta.TransferSyntaxUID.is_compressed:
                if syntax == ExplicitVRBigEndian:
                    size = int(dataset.BitsAllocated) // 8
                    pixels = np.frombuffer(dataset.PixelData, f"<u{size}")
                    dataset.PixelData = pixels.astype(f">u{size}").tobytes()
                dataset.file_meta.TransferSyntaxUID = syntax
                content = Dataset(dataset)
                content.file_meta = dataset.file_meta
                content.save_as(path, enforce_file_format=True)

    return dress


def without_preamble(part: float, meta: bool) -> Callable[[Path, np.random.Generator], None]:
    def dress(folder: Path, rng: np.random.Generator) -> None:
        for path in dicom_files(folder):
            dataset = pydicom.dcmread(path)
            if rng.random() < part and not dataset.file_meta.TransferSyntaxUID.is_compressed:
                content = path.read_bytes()
                length = struct.unpack("<I", content[140:144])[0]
                path.write_bytes(content[132:] if meta else content[144 + length :])

    return dress


def trailing(folder: Path, rng: np.random.Generator) -> None:
    for path in dicom_files(folder):
        path.write_bytes(path.read_bytes() + b"\0" * 6000)


def no_delimiter(folder: Path, rng: np.random.Generator) -> None:
    for path in dicom_files(folder):
        content = path.read_bytes()
        if content.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0"):
            path.write_bytes(content[:-8])


def other_names(folder: Path, rng: np.random.Generator) -> None:
    inner = folder / "inner"
    inner.mkdir()
    for number, path in enumerate(rng.permutation(dicom_files(folder))):
        target = [folder, inner][number % 2] / f"{rng.integers(1 << 40):x}"
        shutil.move(path, target)


def shadows(folder: Path, rng: np.random.Generator) -> None:
    for path in dicom_files(folder):
        shadow = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + b"\0" * int(rng.choice([104, 4080]))
        path.with_name(f"._{path.name}").write_bytes(shadow)


def other_files(folder: Path, rng: np.random.Generator) -> None:
    (folder / "report.txt").write_text("words")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 50)
    (folder / "preview.jpg").write_bytes(b"\xff\xd8\xff\xe0" * 50)


def copies(folder: Path, rng: np.random.Generator) -> None:
    for number, path in enumerate(rng.permutation(dicom_files(folder))[:5]):
        dataset = pydicom.dcmread(path)
        if number % 2:
            dataset.SOPInstanceUID = generate_uid()
        dataset.save_as(folder / f"copy{number}.dcm")


def beside(kind: str) -> Callable[[Path, np.random.Generator], None]:
    """Put an image beside the series that is none of it."""

    def dress(folder: Path, rng: np.random.Generator) -> None:
        for number in range(int(rng.integers(1, 4))):
            dataset = pydicom.dcmread(dicom_files(folder)[0])
            dataset.SOPInstanceUID = generate_uid()
            dataset.SeriesInstanceUID = generate_uid()
            _BESIDE[kind](dataset)
            dataset.save_as(folder / f"{kind[:4]}{number}.dcm")

    return dress


def _dose_report(dataset: Dataset) -> None:
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing


def _summary(dataset: Dataset) -> None:
    _dose_report(dataset)
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]


def _survey(dataset: Dataset) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "REF_SURVIEW"]


def _scout(dataset: Dataset) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def _colour(dataset: Dataset) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_FULL"
    dataset.PlanarConfiguration, dataset.BitsAllocated, dataset.BitsStored = 0, 8, 8
    dataset.HighBit = 7
    dataset.PixelData = b"\x80" * (int(dataset.Rows) * int(dataset.Columns) * 3)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _monitor(dataset: Dataset) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesNumber = 77


def _structured_report(dataset: Dataset) -> None:
    dataset.Modality, dataset.SOPClassUID = "SR", "1.2.840.10008.5.1.4.1.1.88.67"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    for name in ("Rows", "Columns", "PixelData"):
        delattr(dataset, name)


_BESIDE = {
    "dose report": _dose_report,
    "exam summary": _summary,
    "reference survey": _survey,
    "scout": _scout,
    "colour capture": _colour,
    "monitoring slice": _monitor,
    "structured report": _structured_report,
}

OF_THE_FILES: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "implicit": as_syntax(ImplicitVRLittleEndian),
    "big endian": as_syntax(ExplicitVRBigEndian),
    "deflated": as_syntax(DeflatedExplicitVRLittleEndian),
    "some without preamble": without_preamble(0.3, meta=True),
    "none with preamble": without_preamble(1.0, meta=True),
    "none with preamble or meta": without_preamble(1.0, meta=False),
    "bytes behind": trailing,
    "no last delimiter": no_delimiter,
    "other names": other_names,
    "shadows of a Mac": shadows,
    "other files": other_files,
    "copies": copies,
    **{kind: beside(kind) for kind in _BESIDE},
}


def dicom_files(folder: Path) -> list[Path]:
    """The slices, as they were written first."""
    return sorted(folder.glob("s3_*.dcm"))


# ------------------------------------------------------------------ NIfTI: the same volume


def write_nifti(image: nib.Nifti1Image, folder: Path, rng: np.random.Generator) -> Path:
    path = folder / str(rng.choice(["scan.nii", "scan.nii.gz", "SCAN.NII.GZ"]))
    nib.save(image, folder / "plain.nii")
    content = (folder / "plain.nii").read_bytes()
    (folder / "plain.nii").unlink()
    path.write_bytes(gzip.compress(content, 1) if path.name.lower().endswith(".gz") else content)
    return path


def as_image(head: Head, rng: np.random.Generator, dtype: Any = np.int16) -> nib.Nifti1Image:
    """The head with its axes in one of 48 orders and directions."""
    ornt = np.stack([rng.permutation(3), rng.choice([-1, 1], 3)], axis=1)
    hu = nib.orientations.apply_orientation(head.hu, ornt)
    affine = head.affine @ nib.orientations.inv_ornt_aff(ornt, head.hu.shape)
    image = nib.Nifti1Image(np.asarray(hu).astype(dtype), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    return image


def _unsigned(image: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
    raw = nib.Nifti1Image((image.get_fdata() + 1024).astype(np.uint16), image.affine, image.header)
    raw.header.set_data_dtype(np.uint16)
    raw.header.set_slope_inter(1, -1024)
    return raw


def _bad_quaternion(image: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
    image.header["quatern_b"], image.header["quatern_c"] = 0.0, 1.0000005
    image.header["quatern_d"] = 0.0
    return image


def _form(q: int, s: int) -> Callable[[nib.Nifti1Image, np.random.Generator], nib.Nifti1Image]:
    def dress(image: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
        affine = image.affine.copy()
        image.set_qform(affine, q)
        image.set_sform(affine if s else None, s)
        return image

    return dress


def _typed(dtype: Any) -> Callable[[nib.Nifti1Image, np.random.Generator], nib.Nifti1Image]:
    def dress(image: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
        return nib.Nifti1Image(image.get_fdata().astype(dtype), image.affine)

    return dress


def _header(**fields: Any) -> Callable[[nib.Nifti1Image, np.random.Generator], nib.Nifti1Image]:
    def dress(image: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
        for name, value in fields.items():
            image.header[name] = value
        return image

    return dress


def _rounded(image: nib.Nifti1Image, rng: np.random.Generator) -> nib.Nifti1Image:
    affine = image.affine + rng.normal(0, 1e-5, (4, 4)) * np.array([[1], [1], [1], [0]])
    image.set_sform(affine, 1)
    return image


NIFTI: dict[str, Callable[[nib.Nifti1Image, np.random.Generator], nib.Nifti1Image]] = {
    "as it is": lambda image, _: image,
    "float32": _typed(np.float32),
    "float64": _typed(np.float64),
    "int32": _typed(np.int32),
    "unsigned with intercept": _unsigned,
    "big endian": lambda i, _: nib.Nifti1Image(
        i.get_fdata().astype(">i2"), i.affine, nib.Nifti1Header(endianness=">")
    ),
    "NIfTI-2": lambda i, _: nib.Nifti2Image(i.get_fdata().astype(np.int16), i.affine),
    "4D of one": lambda i, _: nib.Nifti1Image(i.get_fdata().astype(np.int16)[..., None], i.affine),
    "qform alone": _form(1, 0),
    "sform alone": _form(0, 1),
    "scanner and aligned": _form(1, 2),
    "bad quaternion": _bad_quaternion,
    "rounded": _rounded,
    "no units": _header(xyzt_units=0),
    "described": _header(descrip=b"Secret^Person", aux_file=b"none"),
}


def straight(head: Head) -> Grid:
    return Grid(head.hu.shape, head.affine)


def head_of(image: nib.Nifti1Image, arteries: nib.Nifti1Image) -> Head:
    """A head from images in any axis order."""
    ras, inside = nib.as_closest_canonical(image), nib.as_closest_canonical(arteries)
    hu = np.asarray(ras.dataobj).astype(np.int16)
    return Head(hu, grid_of(ras).affine, np.asarray(inside.dataobj) > 0)


def renamed(series: Series, **fields: Any) -> Series:
    return replace(series, **fields)

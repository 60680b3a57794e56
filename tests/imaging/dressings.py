"""One head in many dressings: what archives do to a scan without, and with, changing its meaning.

A dressing writes the head below a folder and returns what to read. Each takes a random generator,
so that one kind has many forms.
"""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import imagecodecs
import nibabel as nib
import numpy as np
import pydicom
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

from lvo_kedro.imaging.geometry import grid_of
from tests.imaging.phantoms import Series

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Head(NamedTuple):
    """A simulated head in RAS+ and its arteries on the same grid."""

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    arteries: NDArray[np.bool_]


Change = "Callable[[int, pydicom.Dataset], None]"
Generator = np.random.Generator


# ------------------------------------------------------------------ DICOM: the same volume


def as_series(head: Head, folder: Path, rng: np.random.Generator) -> Series:
    """The head with rows, columns and slices in one of the eight directions that they may have."""
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
    "JPEG": compressed(JPEGLosslessSV1, imagecodecs.ljpeg_encode),
    "JPEG-LS": compressed(JPEGLSLossless, imagecodecs.jpegls_encode),
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


def head_of(image: nib.Nifti1Image, arteries: nib.Nifti1Image) -> Head:
    """A head from images in any axis order."""
    ras, inside = nib.as_closest_canonical(image), nib.as_closest_canonical(arteries)
    hu = np.asarray(ras.dataobj).astype(np.int16)
    return Head(hu, grid_of(ras).affine, np.asarray(inside.dataobj) > 0)


# ------------------------------------------------------------------ another meaning


def without(*chosen: str) -> Callable[[Head, Path, Generator], Path]:
    """Slices are missing: which ones, as a slice of their numbers from the foot."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        numbered = bool(rng.random() < 0.5) or chosen == ("1::2",)
        series = as_series(head, folder / "dicom", rng)
        path = series.write(None if numbered else IN_THE_HEADERS["one number"](series, rng))
        files = sorted(path.iterdir(), key=lambda p: height(pydicom.dcmread(p)))
        for part in chosen:
            bounds = [int(v) if v else None for v in part.split(":")]
            for file in files[slice(*bounds)] if len(bounds) > 1 else [files[bounds[0]]]:
                file.unlink()
        return path

    return dress


def height(dataset: Dataset) -> float:
    return float(dataset.ImagePositionPatient[2])


def values(change: Callable) -> Callable[[Head, Path, Generator], Path]:
    """The values are no HU any more, in DICOM (by turns) or NIfTI."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        other = head._replace(hu=np.rint(change(head.hu.astype(np.float32))).astype(np.int16))
        if rng.random() < 0.5:
            return write_nifti(as_image(other, rng), folder, rng)
        series = as_series(other, folder / "dicom", rng)
        return series.write(signed(series, rng))

    return dress


def with_padding(change: Callable) -> Callable[[NDArray], NDArray]:
    """Change all but the padding around a round field of view."""

    def apply(hu: NDArray) -> NDArray:
        x, y = (np.linspace(-1, 1, n) for n in hu.shape[:2])
        outside = x[:, None] ** 2 + y**2 > 1.3
        return np.where(outside[..., None], -2000, change(hu))

    return apply


def in_nifti(change: Callable) -> Callable[[Head, Path, Generator], Path]:
    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        image = nib.Nifti1Image(head.hu, head.affine)
        image.set_sform(head.affine, 1)
        image.set_qform(head.affine, 1)
        return write_nifti(change(image, rng), folder, rng)

    return dress


def _affine(*matrices: Any) -> Callable[[nib.Nifti1Image, Generator], nib.Nifti1Image]:
    def dress(image: nib.Nifti1Image, rng: Generator) -> nib.Nifti1Image:
        changed = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
        for matrix, setter in zip(matrices, (changed.set_sform, changed.set_qform), strict=False):
            setter(matrix(image.affine), 1)
        return changed

    return dress


def _unit(signs: tuple[int, int, int]) -> Callable:
    matrix = np.diag([*signs, 1.0])
    return _affine(lambda _: matrix, lambda _: matrix)


def _spacing_lost(affine: NDArray) -> NDArray:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    return affine @ np.diag([*(1 / spacing), 1.0])


def _turn(degrees: float, axis: int) -> Callable[[NDArray], NDArray]:
    a, b = [k for k in range(3) if k != axis]
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return lambda affine: matrix @ affine


def _turned(degrees: float, axis: int) -> Callable:
    turn = _turn(degrees, axis)
    return _affine(turn, turn)


def in_header(**fields: Any) -> Callable[[Head, Path, Generator], Path]:
    """The header of a written file says something else; nibabel would put it right."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        content = bytearray(as_image(head, rng).to_bytes())
        header = nib.Nifti1Header(bytes(content[:348]))
        for name, value in fields.items():
            header[name] = value
        content[:348] = header.binaryblock
        path = folder / "scan.nii"
        path.write_bytes(content)
        return path

    return dress


def swapped(axis: int) -> Callable[[Head, Path, Generator], Path]:
    """The two halves along an axis change places."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        half = head.hu.shape[axis] // 2
        other = head._replace(hu=np.roll(head.hu, half, axis=axis))
        return write_nifti(as_image(other, rng), folder, rng)

    return dress


def contrast(hu: float, named: bool) -> Callable[[Head, Path, Generator], Path]:
    """Contrast medium in the arteries."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        other = head._replace(hu=np.where(head.arteries, head.hu + hu, head.hu).astype(np.int16))
        series = as_series(other, folder / "dicom", rng)
        agent = setting(ContrastBolusAgent="Iomeprol 400") if named else setting()
        return series.write(agent(series, rng))

    return dress


def in_dicom(change: Callable) -> Callable[[Head, Path, Generator], Path]:
    """A header, or some of them, say something else: ``change(k, dataset, generator)``."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        series = as_series(head, folder / "dicom", rng)
        return series.write(lambda k, dataset: change(k, dataset, rng))

    return dress


def putting(at: Callable[[int], bool], **fields: Any) -> Callable[[Head, Path, Generator], Path]:
    def change(k: int, dataset: Dataset, rng: Generator) -> None:
        if at(k):
            for name, value in fields.items():
                if name == "raw":
                    tag, text = value
                    dataset[tag] = pydicom.dataelem.RawDataElement(
                        pydicom.tag.Tag(tag), "DS", len(text), text, 0, False, True
                    )
                elif value is None:
                    delattr(dataset, name)
                else:
                    setattr(dataset, name, value)

    return in_dicom(change)


def two_series(**fields: Any) -> Callable[[Head, Path, Generator], Path]:
    """Every other slice is of another reconstruction, or the whole series is there twice."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        series = as_series(head, folder / "dicom", rng)
        path = series.write()
        noise = rng.normal(0, 20, series.hu.shape)
        other = Series(path, np.rint(series.hu + noise), series.affine, changes=fields, number=4)
        if "SeriesInstanceUID" in fields:
            other.changes = {**fields, "SeriesInstanceUID": series.uid}
        other.write()
        return path

    return dress


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Head, Path, Generator], Path]:
    """One file of the series ends early, or is another thing."""

    def dress(head: Head, folder: Path, rng: Generator) -> Path:
        path = as_series(head, folder / "dicom", rng).write()
        file = rng.choice(dicom_files(path))
        file.write_bytes(change(file.read_bytes()))
        return path

    return dress


def _always(_: int) -> bool:
    return True


def _one(k: int) -> bool:
    return k == 20


CHANGED: dict[str, Callable[[Head, Path, Generator], Path]] = {
    "second slice missing": without("1"),
    "last but one missing": without("-2"),
    "one missing": without("20"),
    "two missing": without("20", "21"),
    "two apart missing": without("20", "22"),
    "every second missing in the upper half": without("25::2"),
    "every second missing": without("1::2"),
    "intercept lost": values(with_padding(lambda hu: hu + 1024)),
    "intercept lost, padding too": values(lambda hu: hu + 1024),
    "shifted by 1000": values(with_padding(lambda hu: hu + 1000)),
    "intercept twice": values(lambda hu: hu - 1024),
    "half": values(lambda hu: hu / 2),
    "double": values(lambda hu: hu * 2),
    "tenfold": values(lambda hu: hu * 10),
    "brain window": values(lambda hu: np.clip(hu, -20, 100)),
    "wide window": values(lambda hu: np.clip(hu, -400, 1000)),
    "8 bits": values(lambda hu: np.clip(hu + 60, 0, 255)),
    "no rescale in one": putting(_one, RescaleIntercept=None),
    "another slope in one": putting(_one, RescaleSlope="2"),
    "slope of 0": putting(_always, RescaleSlope="0"),
    "identity": in_nifti(_unit((1, 1, 1))),
    "SimpleITK's identity": in_nifti(_unit((-1, -1, 1))),
    "spacing lost": in_nifti(_affine(_spacing_lost, _spacing_lost)),
    "spacing lost in one": in_nifti(_affine(_spacing_lost, lambda affine: affine)),
    "two directions": in_nifti(_affine(_turn(10, 2), lambda affine: affine)),
    "two axis orders": in_nifti(_affine(lambda a: np.diag([-1, 1, 1, 1]) @ a, lambda a: a)),
    "NaN in the affine": in_header(srow_x=np.nan),
    "no orientation": in_header(qform_code=0, sform_code=0),
    "in metres": in_header(xyzt_units=1),
    "turned to the left": in_nifti(_turned(90, 2)),
    "turned to the right": in_nifti(_turned(-90, 2)),
    "prone": in_nifti(_turned(180, 2)),
    "chin up": in_nifti(_turned(90, 0)),
    "upside down": in_nifti(_turned(180, 0)),
    "on its ear": in_nifti(_turned(90, 1)),
    "halves swapped, left and right": swapped(0),
    "halves swapped, front and back": swapped(1),
    "halves swapped, head and foot": swapped(2),
    "contrast": contrast(300, named=False),
    "contrast, named": contrast(300, named=True),
    "contrast named": putting(_always, ContrastBolusAgent="Iomeprol 400"),
    "two kernels, one series": two_series(SeriesInstanceUID="", ConvolutionKernel="BONE"),
    "two series": two_series(ConvolutionKernel="BONE"),
    "kernel changes": putting(lambda k: k > 25, ConvolutionKernel="BONE"),
    "spacing changes": putting(lambda k: k > 25, PixelSpacing=["1.9", "1.9"]),
    "direction changes": putting(_one, ImageOrientationPatient=[1, 0, 0, 0, 0.98, 0.2]),
    "no position in one": putting(_one, ImagePositionPatient=None),
    "position not a number": putting(_one, raw=("ImagePositionPatient", b"nan\\nan\\nan ")),
    "decimal commas": putting(_always, raw=("PixelSpacing", b"2,000\\2,000 ")),
    "text for a number": putting(_one, raw=("RescaleSlope", b"one ")),
    "no rows": putting(_one, Rows=None),
    "another modality in the last": putting(lambda k: k == 51, Modality="OT"),
    "no pixels in the last": putting(
        lambda k: k == 51, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67"
    ),
    "multi-frame": putting(_always, NumberOfFrames=3),
    "series of more": putting(_always, NumberOfSeriesRelatedInstances=60),
    "truncated": damaged(lambda content: content[: len(content) // 2]),
    "ends in its header": damaged(lambda content: content[:400]),
    "a web page": damaged(lambda _: b"<!DOCTYPE html><title>404</title>" + b" " * 900),
    "empty": damaged(lambda _: b""),
}

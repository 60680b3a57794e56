"""Geometry that tools lose or write twice, and headers that are damaged."""

from __future__ import annotations

import gzip
from itertools import permutations, product
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import read_labels, read_ncct, read_scan
from lvo_kedro.imaging.geometry import Grid, make_image
from tests.imaging.phantoms import head_grid, marker_position, phantom_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKER = (-35, 45, 10)


@pytest.fixture(scope="module")
def small() -> nib.Nifti1Image:
    grid = head_grid((3.0, 3.0, 4.0))
    return make_image(phantom_head(grid)[0].astype(np.int16), grid.affine)


@pytest.fixture(scope="module")
def drawn(small: nib.Nifti1Image) -> nib.Nifti1Image:
    labels = np.zeros(small.shape, np.uint8)
    labels[20:30, 30:40, 10:20] = 1
    return make_image(labels, small.affine)


def both(
    small: nib.Nifti1Image, drawn: nib.Nifti1Image, folder: Path, change: Callable, words: str
) -> None:
    """Change the header of a scan and of labels; both must be refused in the same words."""
    for image, name in ((small, "scan.nii"), (drawn, "labels.nii")):
        copy = make_image(np.asarray(image.dataobj), image.affine)
        nib.save(change(copy) or copy, folder / name)
    with pytest.raises(ScanError, match=words):
        read_ncct(folder / "scan.nii")
    with pytest.raises(ScanError, match=words) as caught:
        read_labels(folder / "labels.nii", small, allowed=(1,), role="vessel_labels")
    assert "vessel_labels" in str(caught.value)


AFFINES = [
    np.eye(3)[list(order)] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("columns", AFFINES[::5], ids=str)
@pytest.mark.parametrize("flipped", [False, True])
def test_affines_that_tools_make_up(
    small: nib.Nifti1Image,
    drawn: nib.Nifti1Image,
    tmp_path: Path,
    columns: np.ndarray,
    flipped: bool,
) -> None:
    def change(image: nib.Nifti1Image) -> nib.Nifti1Image:
        made_up = make_image(np.asarray(image.dataobj), nib.affines.from_matvec(columns))
        return nib.as_closest_canonical(made_up) if flipped else made_up

    both(small, drawn, tmp_path, change, "no patient orientation")


def test_a_bare_array_written_by_simpleitk(tmp_path: Path, small: nib.Nifti1Image) -> None:
    image = sitk.GetImageFromArray(np.asarray(small.dataobj).T)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    with pytest.raises(ScanError, match=r"axes LPS.*no patient orientation or spacing"):
        read_ncct(tmp_path / "scan.nii.gz")


def test_a_scan_of_1_mm_that_lies_somewhere_is_read(tmp_path: Path) -> None:
    grid = head_grid((1.0, 1.0, 1.0))
    nib.save(make_image(phantom_head(grid)[0], grid.affine), tmp_path / "scan.nii")
    assert read_ncct(tmp_path / "scan.nii").shape == grid.shape


def turned(affine: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:2, :2] = turn
    return matrix @ affine


def set_qform(image: nib.Nifti1Image, affine: np.ndarray, code: int = 1) -> None:
    image.header.set_qform(affine, code)
    image.header["qform_code"] = code


TWO: dict[str, tuple[Callable[[nib.Nifti1Image], None], str]] = {
    "size": (
        lambda i: set_qform(i, i.affine @ np.diag([1.02, 1, 1, 1])),
        r"3\.06 x 3 x 4 mm but an sform .* 3 x 3 x 4 mm",
    ),
    "size, qform_code 0": (
        lambda i: set_qform(i, i.affine @ np.diag([0.5, 0.5, 1, 1]), 0),
        r"a qform with a spacing of 1\.5 x 1\.5 x 4 mm but an sform",
    ),
    "turned": (lambda i: set_qform(i, turned(i.affine, 2)), r"2\.0 degrees between"),
    "sides": (lambda i: set_qform(i, np.diag([-1, 1, 1, 1]) @ i.affine), "axes LAS .* axes RAS"),
}


@pytest.mark.parametrize("name", TWO)
def test_two_geometries(
    small: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path, name: str
) -> None:
    both(small, drawn, tmp_path, *TWO[name])


def test_rounding_between_qform_and_sform_is_no_contradiction(
    small: nib.Nifti1Image, tmp_path: Path
) -> None:
    for change in (
        lambda i: set_qform(i, turned(i.affine, 0.5)),
        lambda i: set_qform(i, i.affine @ np.diag([1.005, 1, 1, 1])),
        lambda i: set_qform(i, i.affine, 0),
    ):
        image = make_image(small.dataobj, small.affine)
        change(image)
        nib.save(image, tmp_path / "scan.nii")
        assert read_scan(tmp_path / "scan.nii").findings == ()


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("slices_kept", [False, True])
def test_a_sheared_sform_beside_right_angles(
    tmp_path: Path, planes: bool, slices_kept: bool
) -> None:
    """Converters write the nearest rotation, or that of the slices, and either spacing."""
    upright = head_grid((3.0, 3.0, 4.0))
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(22))
    grid = Grid((upright.shape[0], upright.shape[1] + 30, upright.shape[2]), shear @ upright.affine)
    image = make_image(phantom_head(grid)[0], grid.affine)
    if slices_kept:
        image.header.set_qform(upright.affine, 1)
    distances = nib.affines.voxel_sizes(grid.affine)
    image.header["pixdim"][1:4] = (3.0, 3.0, 4.0) if planes else distances
    nib.save(image, tmp_path / "tilted.nii")
    assert marker_position(read_ncct(tmp_path / "tilted.nii")) == pytest.approx(MARKER, abs=1)


def write_header(image: nib.Nifti1Image, path: Path, changes: dict) -> Path:
    """Change numbers of the header in the file's bytes, for nibabel writes no such file itself."""
    content = bytearray(image.to_bytes())
    header = np.frombuffer(content, nib.Nifti1Header.template_dtype, count=1)
    for name, value in changes.items():
        header[name] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["srow_x", "qoffset_y", "quatern_b", "pixdim"])
def test_geometry_that_is_not_finite(
    small: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path, name: str, value: float
) -> None:
    changes = {name: value}
    words = f"NaN, infinite or absurd numbers in .*{name}"
    with pytest.raises(ScanError, match=words):
        read_ncct(write_header(small, tmp_path / "scan.nii", changes))
    with pytest.raises(ScanError, match=words):
        read_labels(write_header(drawn, tmp_path / "labels.nii", changes), small, allowed=(1,))


def write_quaternion(image: nib.Nifti1Image, path: Path, length: float, sform: bool) -> Path:
    changes = {"quatern_b": length, "quatern_c": 0, "quatern_d": 0, "sform_code": int(sform)}
    return write_header(image, path, changes)


def upside_down(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Turn the axes by 180 degrees about x, so that the quaternion is (0, 1, 0, 0)."""
    turned = image.as_reoriented([[0, 1], [1, -1], [2, -1]])
    return make_image(turned.dataobj, turned.affine)


@pytest.mark.parametrize("sform", [True, False])
def test_a_quaternion_that_rounding_made_too_long(
    small: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path, sform: bool
) -> None:
    scan = write_quaternion(upside_down(small), tmp_path / "scan.nii", 1.0000005, sform)
    labels = write_quaternion(upside_down(drawn), tmp_path / "labels.nii", 1.0000005, sform)
    read = read_scan(scan)
    assert read.findings == ()
    assert np.array_equal(read.ncct.get_fdata(), small.get_fdata())
    assert np.allclose(read.ncct.affine, small.affine, atol=1e-4)
    arrived = read_labels(labels, read.ncct, allowed=(1,))
    assert np.array_equal(arrived.get_fdata(), drawn.get_fdata())


@pytest.mark.parametrize("length", [1.0000005, 1.4])
def test_a_quaternion_that_is_no_rotation_beside_a_right_sform(
    small: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path, length: float
) -> None:
    read = read_scan(write_quaternion(small, tmp_path / "scan.nii", length, True))
    assert np.array_equal(read.ncct.get_fdata(), small.get_fdata())
    assert read.findings == (
        f"the qform is no rotation (a quaternion of length {length:.8g}): the sform is taken",
    )
    labels = write_quaternion(drawn, tmp_path / "labels.nii", length, True)
    arrived = read_labels(labels, read.ncct, allowed=(1,))
    assert np.array_equal(arrived.get_fdata(), drawn.get_fdata())


def test_a_quaternion_that_is_no_rotation_alone(
    small: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path
) -> None:
    scan = write_quaternion(small, tmp_path / "scan.nii", 1.4, False)
    labels = write_quaternion(drawn, tmp_path / "labels.nii", 1.4, False)
    with pytest.raises(ScanError, match=r"a quaternion of length 1\.4"):
        read_ncct(scan)
    with pytest.raises(ScanError, match=r"a quaternion of length 1\.4"):
        read_labels(labels, small, allowed=(1,))


FIELDS = [
    (name, index)
    for name, (dtype, *_) in nib.Nifti1Header.template_dtype.fields.items()
    for index in range(int(np.prod(dtype.shape)) or 1)
    if dtype.base.kind in "iuf"
    # beside its diagonal and its last column, any number makes an sform that is sheared
    and (name, index) not in {("srow_x", 1), ("srow_x", 2), ("srow_y", 0), ("srow_y", 2)}
    and (name, index) not in {("srow_z", 0), ("srow_z", 1)}
]


def damaged(block: bytes, name: str, index: int, value: float) -> bytes:
    header = np.frombuffer(block, nib.Nifti1Header.template_dtype).copy()
    flat = header[name].reshape(-1)
    kind = flat.dtype.kind
    if kind == "f":
        largest = float(np.finfo(flat.dtype).max)
    else:
        largest = np.iinfo(flat.dtype).max
    flat[index] = largest if value == np.inf else value
    return header.tobytes()


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan])
def test_no_field_of_a_header_makes_a_library_raise(
    small: nib.Nifti1Image, tmp_path: Path, value: float
) -> None:
    """Each number of the header in turn: the scan is refused in words, or read as it was."""
    content = small.to_bytes()
    path = tmp_path / "scan.nii"
    refused = set()
    for name, index in FIELDS:
        dtype = nib.Nifti1Header.template_dtype[name].base
        if np.isnan(value) and dtype.kind != "f":
            continue
        if value == -1 and dtype.kind == "u":
            continue
        path.write_bytes(damaged(content[:348], name, index, value) + content[348:])
        try:
            scan = read_ncct(path)
        except ScanError as error:
            assert error.expected and error.remedy
            assert "scan.nii" not in str(error)
            refused.add(name)
        else:
            off = np.abs(scan.get_fdata() - small.get_fdata()).max()
            assert off <= (1 if name == "scl_inter" else 0), (name, index)
            # the place of the whole is what the header says
            moved = np.abs(scan.affine - small.affine)
            assert moved[:, :3].max() < 1e-4, (name, index)
            assert moved.max() < (110 if name.startswith("srow") else 1e-4), (name, index)
    assert "pixdim" in refused


def test_a_header_that_promises_more_than_the_memory_holds(
    small: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path
) -> None:
    for ending, pack in ((".nii", bytes), (".nii.gz", gzip.compress)):
        content = bytearray(small.to_bytes())
        content[40:56] = np.array([3, *[32767] * 3, *[1] * 4], np.int16).tobytes()
        (tmp_path / f"scan{ending}").write_bytes(pack(bytes(content)))
        with pytest.raises(ScanError, match="truncated or damaged file for ncct"):
            read_ncct(tmp_path / f"scan{ending}")


def test_text_in_place_of_numbers(tmp_path: Path, small: nib.Nifti1Image) -> None:
    content = small.to_bytes()
    for number, damage in enumerate((b"a web page" * 40, content[:40] + b"words " * 90)):
        path = tmp_path / f"{number}.nii"
        path.write_bytes(damage + content[len(damage) :])
        with pytest.raises(ScanError, match=r"not NIfTI, or whose header is damaged|truncated"):
            read_ncct(path)


def test_compression_and_name_that_contradict_one_another(
    small: nib.Nifti1Image, tmp_path: Path
) -> None:
    plain, packed = tmp_path / "scan.nii", tmp_path / "scan.nii.gz"
    plain.write_bytes(gzip.compress(small.to_bytes(), 1))
    packed.write_bytes(small.to_bytes())
    with pytest.raises(ScanError, match=r"a gzip-compressed file that is named \.nii") as caught:
        read_ncct(plain)
    assert caught.value.remedy == "rename it to .nii.gz"
    with pytest.raises(ScanError, match=r"an uncompressed file that is named \.nii\.gz") as caught:
        read_ncct(packed)
    assert caught.value.remedy == "rename it to .nii"


def test_nifti_2_big_endian_and_capitals(small: nib.Nifti1Image, tmp_path: Path) -> None:
    second = nib.Nifti2Image(np.asarray(small.dataobj), small.affine)
    nib.save(second, tmp_path / "second.nii.gz")
    big = nib.Nifti1Image(small.dataobj, small.affine, small.header.as_byteswapped(">"))
    (tmp_path / "big.NII").write_bytes(big.to_bytes())
    (tmp_path / "big.NII.GZ").write_bytes(gzip.compress(big.to_bytes(), 1))
    for name in ("second.nii.gz", "big.NII", "big.NII.GZ"):
        assert np.array_equal(read_ncct(tmp_path / name).get_fdata(), small.get_fdata())


@pytest.mark.shared
def test_shared_samples(shared: Path) -> None:
    faults = shared / "data" / "faults"
    for folder, words in (
        ("04_geometry_lost_by_simpleitk", "no patient orientation or spacing"),
        ("05_sform_and_pixdim_disagree", r"1\.484 x 1\.484 x 2 mm but an sform .* 1 x 1 x 1 mm"),
    ):
        with pytest.raises(ScanError, match=words):
            read_ncct(faults / folder / "scan.nii.gz")
    scan = read_scan(faults / "06_bad_quaternion" / "scan.nii.gz")
    assert scan.ncct.shape == (128, 128, 91)
    assert len(scan.findings) == 1

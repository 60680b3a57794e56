"""NIfTI in, straight RAS+ HU out; what is refused and with which words."""

from __future__ import annotations

import gzip
import pickle
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import ScanLimits, read_labels, read_mask, read_ncct
from lvo_kedro.imaging.geometry import Grid, grid_of, is_sheared, make_image
from lvo_kedro.imaging.resampling import resample
from tests.imaging.phantoms import head_grid, marker_position, phantom_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKER = (-35, 45, 10)


def write(image: nib.Nifti1Image, path: Path) -> Path:
    nib.save(image, path)
    return path


def changed(head: nib.Nifti1Image, data: np.ndarray) -> nib.Nifti1Image:
    return make_image(data, head.affine)


def test_reads_hounsfield_units_as_stored(head: nib.Nifti1Image, tmp_path: Path) -> None:
    stored = nib.Nifti1Image((head.get_fdata() + 1024).astype(np.int16), head.affine)
    stored.header.set_slope_inter(1, -1024)
    scan = read_ncct(write(stored, tmp_path / "scan.nii.gz"))
    assert scan.get_data_dtype() == np.float32
    assert np.array_equal(scan.get_fdata(), head.get_fdata())
    assert np.allclose(scan.affine, head.affine)


@pytest.mark.parametrize("codes", ["LPS", "LAS", "SPL", "PIR", "ILA"])
def test_any_axis_order_becomes_ras(head: nib.Nifti1Image, tmp_path: Path, codes: str) -> None:
    start = nib.orientations.io_orientation(head.affine)
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(tuple(codes)))
    scan = read_ncct(write(head.as_reoriented(turn), tmp_path / "scan.nii.gz"))
    assert np.array_equal(scan.get_fdata(), head.get_fdata())
    assert np.allclose(scan.affine, head.affine)


def test_a_tilt_in_the_affine_is_straightened(tmp_path: Path) -> None:
    upright = head_grid()
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(18))
    grid = Grid((upright.shape[0], upright.shape[1] + 60, upright.shape[2]), shear @ upright.affine)
    path = write(make_image(phantom_head(grid)[0], grid.affine), tmp_path / "tilted.nii.gz")
    scan = read_ncct(path)
    assert not is_sheared(scan.affine)
    assert marker_position(scan) == pytest.approx(MARKER, abs=0.5)


def test_padding_is_air_and_a_fourth_axis_of_one_is_dropped(
    head: nib.Nifti1Image, tmp_path: Path
) -> None:
    data = np.array(head.dataobj)
    data[0], data[-1] = -3024, -2000
    scan = read_ncct(write(changed(head, data[..., None]), tmp_path / "padded.nii"))
    assert scan.shape == head.shape
    assert scan.get_fdata().min() == -1024


def test_nothing_of_the_header_but_geometry_is_kept(head: nib.Nifti1Image, tmp_path: Path) -> None:
    named = nib.Nifti1Image(head.get_fdata(dtype=np.float32), head.affine)
    named.header["descrip"] = b"Secret^Person"
    named.header["intent_name"] = b"Secret"
    named.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Secret^Person"))
    scan = read_ncct(write(named, tmp_path / "named.nii"))
    assert b"Secret" not in scan.to_bytes()


REFUSED: dict[str, tuple[Callable[[nib.Nifti1Image], nib.Nifti1Image], str]] = {
    "4D": (
        lambda h: make_image(np.stack([h.get_fdata(dtype=np.float32)] * 2, -1), h.affine),
        r"shape \(124, 147, 55, 2\)",
    ),
    "one slice": (
        lambda h: make_image(h.get_fdata(dtype=np.float32)[..., :1], h.affine),
        r"shape \(124, 147, 1\)",
    ),
    "2D": (
        lambda h: make_image(h.get_fdata(dtype=np.float32)[..., 9], h.affine),
        r"shape \(124, 147\)",
    ),
    "NaN": (
        lambda h: changed(h, np.where(h.get_fdata() > 900, np.nan, h.get_fdata())),
        "voxels that are NaN",
    ),
    "geometry lost": (
        lambda h: make_image(h.get_fdata(dtype=np.float32), np.eye(4)),
        "an identity affine: no patient orientation",
    ),
    "infinite": (
        lambda h: changed(h, np.where(h.get_fdata() > 900, np.inf, h.get_fdata())),
        "NaN or infinite",
    ),
    "8 bits": (
        lambda h: changed(h, np.clip(h.get_fdata() + 60, 0, 255).astype(np.uint8)),
        "values from 0 to 255 .8 bits",
    ),
    "0 to 1": (
        lambda h: changed(h, (np.clip(h.get_fdata() / 80, 0, 1)).astype(np.float32)),
        "values from 0 to 1 .scaled",
    ),
    "no intercept": (
        lambda h: changed(h, (h.get_fdata() + 1024).astype(np.float32)),
        "without the rescale intercept",
    ),
    "window": (
        lambda h: changed(h, np.clip(h.get_fdata(), -100, 200)),
        "values from -100 to 200",
    ),
    "wrapped": (
        lambda h: changed(h, h.get_fdata().astype(np.int16).astype(np.uint16)),
        "above 10000 HU",
    ),
    "constant": (lambda h: changed(h, np.zeros(h.shape, np.float32)), "the same value 0"),
    "skull stripped": (
        lambda h: changed(h, np.where(np.abs(h.get_fdata() - 34) < 60, h.get_fdata(), -1000)),
        "values from -1000",
    ),
    "colour": (
        lambda h: nib.Nifti1Image(
            np.zeros(h.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]), h.affine
        ),
        "voxels of type",
    ),
    "fine spacing": (
        lambda h: make_image(h.dataobj, h.affine @ np.diag([0.001, 0.001, 0.001, 1])),
        "spacing of 0.0015 x 0.0015 x 0.003 mm",
    ),
    "coarse spacing": (
        lambda h: make_image(h.dataobj, h.affine @ np.diag([1, 1, 5, 1])),
        "spacing of 1.5 x 1.5 x 15 mm",
    ),
    "small field": (
        lambda h: make_image(h.dataobj, h.affine @ np.diag([0.3, 0.3, 1, 1])),
        "field of view",
    ),
    "few slices": (
        lambda h: make_image(h.get_fdata(dtype=np.float32)[..., 20:30], h.affine),
        r"coverage of 30 mm \(10 slices\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(head: nib.Nifti1Image, tmp_path: Path, name: str) -> None:
    change, words = REFUSED[name]
    with pytest.raises(ScanError, match=words) as caught:
        read_ncct(write(change(head), tmp_path / "scan.nii.gz"))
    assert caught.value.expected
    assert caught.value.remedy


def test_a_degenerate_affine_is_refused(head: nib.Nifti1Image, tmp_path: Path) -> None:
    flat = nib.Nifti1Image(head.get_fdata(dtype=np.float32), head.affine)
    affine = head.affine.copy()
    affine[:3, 2] = affine[:3, 1]
    flat.set_sform(affine, 1)
    flat.set_qform(None, 0)
    with pytest.raises(ScanError, match=r"spacing|degenerate"):
        read_ncct(write(flat, tmp_path / "flat.nii"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i: i.header.set_xyzt_units("micron"), "lengths in micron"),
        (lambda i: (i.set_sform(None, 0), i.set_qform(None, 0)), "no patient orientation"),
        (
            lambda i: i.set_qform(np.diag([-1, 1, 1, 1]) @ i.affine, 1, update_affine=False),
            "a qform with axes LAS .* but an sform with axes RAS",
        ),
    ],
)
def test_headers_that_do_not_tell_the_sides_or_units(
    head: nib.Nifti1Image, tmp_path: Path, change: Callable, words: str
) -> None:
    image = make_image(head.dataobj, head.affine)
    change(image)
    with pytest.raises(ScanError, match=words):
        read_ncct(write(image, tmp_path / "scan.nii"))


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.95])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_truncated_files(head: nib.Nifti1Image, tmp_path: Path, part: float, ending: str) -> None:
    path = write(head, tmp_path / f"scan{ending}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ScanError, match=r"empty|truncated|not NIfTI"):
        read_ncct(path)


def test_a_compressed_file_whose_checksum_is_wrong(head: nib.Nifti1Image, tmp_path: Path) -> None:
    content = bytearray(gzip.compress(head.to_bytes(), compresslevel=0))
    content[len(content) // 2] ^= 0xFF  # stored as it is, so that it can still be unpacked
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ScanError, match="truncated or damaged file for ncct"):
        read_ncct(path)


def test_files_that_are_no_scans(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG....")
    words = tmp_path / "words.nii.gz"
    words.write_bytes(gzip.compress(b"not an image" * 100))
    empty = tmp_path / "folder"
    empty.mkdir()
    for path, found in (
        (picture, "ends in neither .nii nor"),
        (words, "not NIfTI"),
        (tmp_path / "absent.nii", "no file or folder for ncct"),
        (empty, "no DICOM image in the folder"),
    ):
        with pytest.raises(ScanError, match=found):
            read_ncct(path)


def test_limits_can_be_changed(head: nib.Nifti1Image, tmp_path: Path) -> None:
    few = make_image(head.get_fdata(dtype=np.float32)[..., 20:30], head.affine)
    path = write(few, tmp_path / "few.nii")
    assert read_ncct(path, ScanLimits(min_coverage_mm=20)).shape == few.shape


def test_errors_survive_the_way_back_from_a_worker(tmp_path: Path) -> None:
    with pytest.raises(ScanError) as caught:
        read_ncct(tmp_path / "absent.nii")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (again.found, again.remedy) == (caught.value.found, caught.value.remedy)


@pytest.fixture(scope="module")
def drawn(head: nib.Nifti1Image) -> nib.Nifti1Image:
    labels = np.zeros(head.shape, np.uint8)
    labels[30:40, 70:90, 20:24] = 1
    labels[60:70, 70:90, 20:24] = 4
    return make_image(labels, head.affine)


def test_labels_come_onto_the_scan_by_world_coordinates(
    head: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path
) -> None:
    turned = drawn.as_reoriented([[1, -1], [0, 1], [2, -1]])
    cropped = turned.slicer[20:, :, 5:]
    for number, image in enumerate((drawn, turned, cropped)):
        path = write(image, tmp_path / f"labels{number}.nii.gz")
        labels = read_labels(path, head, allowed=(1, 2, 3, 4))
        assert labels.get_data_dtype() == np.uint8
        assert grid_of(labels).shape == head.shape
        assert np.array_equal(labels.get_fdata(), drawn.get_fdata())


def test_labels_of_another_resolution(
    head: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path
) -> None:
    fine = resample(drawn, Grid((372, 441, 55), drawn.affine @ np.diag([1 / 3, 1 / 3, 1, 1])), 0)
    labels = read_labels(write(fine, tmp_path / "fine.nii.gz"), head, allowed=(1, 4))
    agree = np.asarray(labels.dataobj) == np.asarray(drawn.dataobj)
    assert agree[drawn.get_fdata() > 0].mean() > 0.85
    assert agree.mean() > 0.999


def test_labels_that_cannot_be_used(
    head: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path
) -> None:
    away = drawn.affine.copy()
    away[0, 3] += 500
    data = drawn.get_fdata(dtype=np.float32)
    for image, words in (
        (make_image(data * 2, drawn.affine), "values 8 in"),
        (make_image(data + 0.5 * (data > 0), drawn.affine), r"values 1\.5, 4\.5 in"),
        (make_image(data * 0, drawn.affine), "no label in"),
        (make_image(data, away), r"0\.00 of .* ml labels .*\(0% of its box\)"),
        (make_image(np.where(data > 0, np.nan, 0), drawn.affine), "values nan in"),
    ):
        with pytest.raises(ScanError, match=words):
            read_labels(write(image, tmp_path / "labels.nii"), head, allowed=(1, 2, 3, 4))


def test_labels_are_not_asked_for_as_a_series(head: nib.Nifti1Image, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("words")
    for name in ("labels.txt", "absent.nii"):
        with pytest.raises(ScanError) as caught:
            read_labels(tmp_path / name, head, allowed=(1,), role="vessel_labels")
        assert "vessel_labels" in str(caught.value)
        assert "DICOM" not in str(caught.value) and "series" not in str(caught.value)


def test_a_brain_mask_of_another_tool(
    head: nib.Nifti1Image, drawn: nib.Nifti1Image, tmp_path: Path
) -> None:
    binary = make_image((drawn.get_fdata() > 0).astype(np.float32), drawn.affine)
    mask = read_mask(write(binary, tmp_path / "mask.nii"), head)
    assert np.array_equal(mask.get_fdata(), binary.get_fdata())
    with pytest.raises(ScanError, match="values 4 in"):
        read_mask(write(drawn, tmp_path / "labels.nii"), head)

"""Files of an export: found wherever they lie, and nothing that leads astray is followed."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from lvo_kedro.studies.archives import Reader
from lvo_kedro.studies.index import Index
from lvo_kedro.studies.sources import Bounded, SourceLimits, kind_of, members, walk

DICOM = b"\0" * 128 + b"DICM" + b"rest"


def found_in(root: Path, limits: SourceLimits = SourceLimits()) -> dict[str, str]:
    return {Path(one.place.name).name: one.problem for one in walk(root, limits)}


def listed(path: Path, kind: str, limits: SourceLimits = SourceLimits()) -> dict[str, str]:
    (archive,) = walk(path)
    return {one.place.name: one.problem for one in members(archive, kind, limits)}


def tar_of(path: Path, mode: str, content: dict[str, bytes]) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_folders_are_walked_and_the_system_s_files_passed_over(tmp_path: Path) -> None:
    for name in ("a/b/c/IM1", "a/IM2", ".git/x", "__MACOSX/y", "Thumbs.db", "a/._IM2"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DICOM)
    assert found_in(tmp_path) == {"IM1": "", "IM2": ""}


def test_a_dicomdir_stands_for_its_folder(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(DICOM)
    (tmp_path / "IM1").write_bytes(DICOM)
    assert found_in(tmp_path / "DICOMDIR") == {"DICOMDIR": "", "IM1": ""}


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    inside, outside = tmp_path / "export", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(DICOM)
    (inside / "real").write_bytes(DICOM)
    (inside / "within").symlink_to(inside / "real")
    (inside / "out").symlink_to(outside / "secret")
    (inside / "folder").symlink_to(outside)
    (inside / "circle").symlink_to(inside)
    (inside / "nowhere").symlink_to(inside / "gone")
    (inside / "self").symlink_to(inside / "self")
    found = found_in(inside)
    assert found["real"] == found["within"] == ""
    assert "out of the export" in found["out"]
    assert "out of the export" in found["folder"]
    assert found["circle"] == "a link to a folder"
    assert found["nowhere"] == found["self"] == "a file that cannot be opened"
    assert "secret" not in found


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would never end
    assert found_in(tmp_path) == {"pipe": "no regular file"}


def test_folders_too_deep_and_files_too_large_are_passed_over(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "IM1").write_bytes(DICOM)
    (tmp_path / "large").write_bytes(DICOM)
    os.truncate(tmp_path / "large", 1 << 40)  # takes no space
    found = found_in(tmp_path, SourceLimits(max_depth=3))
    assert found["large"] == "a file of an absurd size"
    assert "too deep" in found["c"]


@pytest.mark.parametrize(("mode", "kind"), [("w", "tar"), ("w:gz", "packed"), ("w:xz", "packed")])
def test_tar_archives_are_listed_and_read_by_place(tmp_path: Path, mode: str, kind: str) -> None:
    content = {"a/IM1": DICOM, "b/IM2": DICOM * 900, "c": b""}
    path = tar_of(tmp_path / "x", mode, content)
    assert kind_of(path.read_bytes()[:264]) == kind
    (archive,) = walk(path)
    reader = Reader()
    places = {one.place.name: one for one in members(archive, kind)}
    assert set(places) == set(content)
    for name in ("b/IM2", "a/IM1"):  # backwards, too
        to, one = io.BytesIO(), places[name]
        reader.read(path, name, one.place.offset, one.size, to)
        assert to.getvalue() == content[name]
    reader.close()


def test_names_in_archives_are_never_paths(tmp_path: Path) -> None:
    work = tmp_path / "work"
    bad = {"../../escaped": DICOM, f"{tmp_path.parent}/escaped_too": DICOM}
    zipped = tmp_path / "x.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for name, data in bad.items():
            archive.writestr(name, data)
    tar_of(tmp_path / "x.tar", "w", bad)
    index = Index(work / "index.sqlite")
    index.add([zipped, tmp_path / "x.tar"])
    index.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work", "x.tar", "x.zip"]
    assert not (tmp_path.parent / "escaped_too").exists()
    assert not (tmp_path.parent / "escaped").exists()


def test_a_zip_bomb_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bomb", "w", force_zip64=True) as file:
            for _ in range(65):
                file.write(bytes(1 << 20))
        archive.writestr("IM1", DICOM)
    problems = listed(path, "zip")
    assert "packed too well" in problems["bomb"]
    assert problems["IM1"] == ""


def test_a_zip_that_lies_about_its_list_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("IM1", DICOM)
    content = bytearray(path.read_bytes())
    at = content.rfind(b"PK\x05\x06")
    content[at + 12 : at + 16] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)
    assert listed(path, "zip") == {"": "an archive with an absurd number of files"}


def test_a_tar_bomb_ends(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=9) as archive:
        info = tarfile.TarInfo("bomb")
        info.size = 20 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    # nothing smaller than 64 MB counts as a bomb: here two times that are too much
    problems = listed(path, "packed", SourceLimits(max_ratio=0.2))
    assert problems[""] == "an archive that is packed too well to hold images"


def test_an_archive_within_an_archive_is_not_opened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("IM1", DICOM)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    index = Index(tmp_path / "work" / "index.sqlite")
    index.add([tmp_path / "x.zip"])
    assert index.problems() == {"an archive within an archive: unpack the outer one": 1}
    index.close()


@pytest.mark.parametrize("kind", ["zip", "tar", "packed"])
def test_a_damaged_archive_is_a_problem_of_its_own(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("IM1", os.urandom(5000))
    else:
        tar_of(path, "w" if kind == "tar" else "w:gz", {"IM1": os.urandom(5000)})
    path.write_bytes(path.read_bytes()[:2000])
    assert any(problem for problem in listed(path, kind).values())


def test_devices_and_links_in_archives_are_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    assert listed(tmp_path / "x.tar", "tar") == {"link": "a link or device within an archive"}


def test_no_more_than_a_header_is_read() -> None:
    file = Bounded(io.BytesIO(bytes(1000)), 100)
    assert len(file.read(60)) == 60
    with pytest.raises(ValueError, match="absurd"):
        file.read(60)

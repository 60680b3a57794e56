"""Every file of an export, in folders and archives, one after the other.

Nothing of an export is changed, nothing is unpacked beside it, and names within it are never paths
that are written to. What could lead out of it, or never end, is passed over with a reason: links,
folders within themselves, archives within archives, files and archives of absurd sizes.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from lvo_kedro.options import Options
from lvo_kedro.studies import archives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEAD: Final = 264
"""Bytes at a file's begin that tell what it is."""
_OF_THE_SYSTEM: Final = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


class SourceLimits(Options):
    """Beyond which sizes a file or an archive is passed over."""

    max_file_bytes: int = 4 << 30
    """Of one file, also within an archive."""
    max_header_bytes: int = 64 << 20
    """Of one header: no more is read of a file when it is listed."""
    max_ratio: float = 200.0
    """How many times its own size an archive, or a large member of it, may be when unpacked."""
    max_directory_bytes: int = 256 << 20
    """Of the list of contents that a zip archive holds, about 2 million files."""
    max_depth: int = 40
    """Of folders within folders."""


class Place(NamedTuple):
    """Where a file of the export lies."""

    container: str
    """Path of the archive that holds it; empty for a file in a folder."""
    name: str
    """Path of the file, or its name within the archive."""
    offset: int = -1
    """First byte within the unpacked tar archive; -1 for others."""


class Found(NamedTuple):
    """A file of the export, or what is there instead of one."""

    place: Place
    size: int
    changed_ns: int
    problem: str = ""
    """Why it is not read; in words that quote nothing."""
    open: Callable[[], BinaryIO] = io.BytesIO
    """Opens it; of an archive, only until the next file is asked for."""


def walk(root: Path, limits: SourceLimits = SourceLimits()) -> Iterator[Found]:
    """Yield the files below a folder, or the one file, in the order of their names.

    Hidden files and folders are passed over. A link to a file is followed within the folder alone,
    a link to a folder never.

    Args:
        root: What the user named; a DICOMDIR stands for its folder.
        limits: Beyond these a file is passed over.

    Yields:
        Files; archives as the files that they are.
    """
    root = root.resolve()
    if root.is_file() and root.name.upper() != "DICOMDIR":
        yield _file(root, root.parent, limits)
        return
    root = root.parent if root.is_file() else root
    yield from _walk(root, root, frozenset(), limits)


def kind_of(head: bytes) -> str:
    """Tell from a file's begin what it is: ``dicom``, ``zip``, ``tar``, ``packed`` or nothing.

    Args:
        head: Its first :data:`HEAD` bytes. ``packed`` is gzip, bzip2 or xz: tar or NIfTI.
    """
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head[257:262] == b"ustar":
        return "tar"
    return "packed" if head.startswith(archives.PACKED) else ""


def members(found: Found, kind: str, limits: SourceLimits = SourceLimits()) -> Iterator[Found]:
    """Yield the files within an archive; where it is damaged, what is wrong as the last one.

    Args:
        found: The archive.
        kind: As :func:`kind_of` says.
        limits: Beyond these a member is passed over, or the archive ends.

    Yields:
        Its files. A member that says that it is packed 200 times or more smaller is passed over.
    """
    path = Path(found.place.name)
    listed = archives.zip_members if kind == "zip" else archives.tar_members
    count = 0
    try:
        for member in listed(path, limits.max_ratio, limits.max_directory_bytes):
            count += 1
            if _of_the_system(member.name):
                continue
            place = Place(str(path), member.name, member.offset)
            problem = member.problem
            if not problem and member.size > limits.max_file_bytes:
                problem = "a file of an absurd size"
            yield Found(place, member.size, found.changed_ns, problem, member.open)
    except MemoryError:
        raise
    except Exception as error:  # whatever the three libraries raise on a damaged archive
        reason = "a damaged archive" if count else "a damaged archive, or none"
        if isinstance(error, archives.ArchiveError):
            reason = str(error)
        yield Found(Place(str(path), ""), 0, found.changed_ns, reason)


class Bounded(archives.Wrapped):
    """A file of which no more than a number of bytes is read.

    Args:
        file: The file.
        limit: Bytes; reading more is an error. Going elsewhere counts nothing.
    """

    def __init__(self, file: BinaryIO, limit: int) -> None:
        super().__init__(file)
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        """Read; more than what is left is an error."""
        wanted = self._left + 1 if size is None or size < 0 else size
        content = self._file.read(min(wanted, self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise ValueError("a header of an absurd size")
        return content

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()


def _walk(
    folder: Path, root: Path, above: frozenset[tuple[int, int]], limits: SourceLimits
) -> Iterator[Found]:
    try:
        here = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield Found(Place("", str(folder)), 0, 0, "a folder that cannot be opened")
        return
    if (here.st_dev, here.st_ino) in above or len(above) >= limits.max_depth:
        yield Found(Place("", str(folder)), 0, 0, "a folder within itself, or too deep")
        return
    above = above | {(here.st_dev, here.st_ino)}
    for entry in entries:
        if _of_the_system(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), root, above, limits)
        else:
            yield _file(Path(entry.path), root, limits)


def _file(path: Path, root: Path, limits: SourceLimits) -> Found:
    place = Place("", str(path))
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            return Found(place, 0, 0, "a link that leads out of the export")
        status = path.stat()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return Found(place, 0, 0, "a file that cannot be opened")
    if stat.S_ISDIR(status.st_mode):
        return Found(place, 0, 0, "a link to a folder")
    if not stat.S_ISREG(status.st_mode):
        return Found(place, 0, 0, "no regular file")
    problem = ""
    if status.st_size > limits.max_file_bytes and not _is_archive(path):
        problem = "a file of an absurd size"
    return Found(place, status.st_size, status.st_mtime_ns, problem, lambda: path.open("rb"))


def _is_archive(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return kind_of(file.read(HEAD)) in ("zip", "tar", "packed")
    return False


def _of_the_system(name: str) -> bool:
    parts = name.replace("\\", "/").lower().split("/")
    return any(part in _OF_THE_SYSTEM or part.startswith("._") for part in parts) or any(
        part.startswith(".") and part not in (".", "..") for part in parts
    )

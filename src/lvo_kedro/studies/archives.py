"""Files within zip and tar archives: listed in one pass, and read again by their place."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
"""How gzip, bzip2 and xz begin."""
_LARGE: Final = 64 << 20
"""A smaller member may be packed as well as it can: slices of air are."""
_MOST_AT_ONCE: Final = 128 << 20
"""No name and no header of an archive is longer."""
_END_OF_ZIP: Final = b"PK\x05\x06"


class ArchiveError(Exception):
    """Why an archive is not read any further, in words that quote nothing."""


class Member(NamedTuple):
    """A file within an archive."""

    name: str
    size: int
    offset: int
    """First byte in the unpacked tar archive; -1 in a zip archive."""
    problem: str
    open: Callable[[], BinaryIO]


def zip_members(path: Path, max_ratio: float, max_directory: int) -> Iterator[Member]:
    """Yield the files of a zip archive.

    Args:
        path: The archive.
        max_ratio: A large member that says that it is packed better is named a problem.
        max_directory: Bytes of the list of contents, which is read at once.

    Raises:
        ArchiveError: The list is longer.
    """
    if _directory_bytes(path) > max_directory:
        raise ArchiveError("an archive with an absurd number of files")
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            problem = ""
            if info.flag_bits & 1:
                problem = "an encrypted file within an archive"
            elif (info.external_attr >> 28) == 0o12:
                problem = "a link within an archive"
            elif info.file_size > max(_LARGE, max_ratio * info.compress_size):
                problem = "a file within an archive that is packed too well to be an image"
            yield Member(info.filename, info.file_size, -1, problem, _opener(archive, info))


def _opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", archive.open(info))


def _directory_bytes(path: Path) -> int:
    """Return how long the list of contents says that it is."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 65_557))
        tail = file.read()
    at = tail.rfind(_END_OF_ZIP)
    if at < 0 or len(tail) < at + 22:
        return 0  # zipfile says what is wrong
    return int(struct.unpack("<I", tail[at + 12 : at + 16])[0])


def tar_members(path: Path, max_ratio: float, _: int) -> Iterator[Member]:
    """Yield the files of a tar archive, packed or not, in their order.

    Args:
        path: The archive.
        max_ratio: Where it unpacks to more times its size, it ends.

    Raises:
        ArchiveError: It unpacks to too much, or holds a name of an absurd length.
    """
    most = max_ratio * max(path.stat().st_size, _LARGE)
    with unpacked(path) as stream, tarfile.open(fileobj=_Short(stream), mode="r:") as archive:
        while (info := archive.next()) is not None:
            vars(archive)["members"] = []  # or it would keep them all
            if info.offset_data + info.size > most:
                raise ArchiveError("an archive that is packed too well to hold images")
            if info.isdir():
                continue
            plain = info.isreg() and not info.issparse()
            problem = "" if plain else "a link or device within an archive"
            yield Member(info.name, info.size, info.offset_data, problem, _extractor(archive, info))


def _extractor(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", archive.extractfile(info))


def unpacked(path: Path) -> BinaryIO:
    """Open a file, unpacking it where it is packed."""
    with path.open("rb") as file:
        head = file.read(8)
    opens: tuple[Callable[[Path], Any], ...] = (gzip.open, bz2.open, lzma.open)
    for begin, unpack in zip(PACKED, opens, strict=True):
        if head.startswith(begin):
            return cast("BinaryIO", unpack(path))
    return path.open("rb")


class Wrapped(io.RawIOBase):
    """A file of which not everything is read; kinds of it say what.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Say where it is."""
        return self._file.tell()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether it can go elsewhere."""
        return True


class _Short(Wrapped):
    """A stream that reads no absurd amount at once, which a tar header may ask for."""

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0 or size > _MOST_AT_ONCE:
            raise ArchiveError("an archive with a header of an absurd size")
        return self._file.read(size)


class Reader:
    """Reads files of archives by their place; the archive read last stays open.

    A packed tar archive can only be read forwards: files are best asked for in their order.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._zip: zipfile.ZipFile | None = None
        self._stream: BinaryIO | None = None

    def read(self, path: Path, name: str, offset: int, size: int, to: BinaryIO) -> None:
        """Copy a file of an archive.

        Args:
            path: The archive.
            name: Of the file, where the archive is a zip archive.
            offset: In the unpacked tar archive; -1 in a zip archive.
            size: Bytes; no more are written.
            to: Where they go.

        Raises:
            EOFError: The file is shorter.
        """
        if path != self._path:
            self.close()
            self._path = path
        if offset < 0:
            self._zip = self._zip or zipfile.ZipFile(path)
            with self._zip.open(name) as member:
                _copy(cast("BinaryIO", member), to, size)
            return
        self._stream = self._stream or unpacked(path)
        self._stream.seek(offset)
        _copy(self._stream, to, size)

    def close(self) -> None:
        """Close what is open."""
        for opened in (self._zip, self._stream):
            if opened is not None:
                opened.close()
        self._path = self._zip = self._stream = None


def _copy(source: BinaryIO, to: BinaryIO, size: int) -> None:
    while size > 0:
        block = source.read(min(size, 1 << 20))
        if not block:
            raise EOFError("a file that ends early")
        to.write(block)
        size -= len(block)

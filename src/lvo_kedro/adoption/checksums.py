"""Downloads compared with the checksums that their publisher lists."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from lvo_kedro.adoption.source import AdoptionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHECKSUMS: Final = "checksums.md5"
_LINE: Final = re.compile(r"([0-9a-fA-F]{32})\s+\*?(\S.*)")


def verify_checksums(
    folder: Path, told: Callable[[str], None] = lambda _name: None
) -> tuple[str, ...]:
    """Compare files with ``checksums.md5`` in a folder, if somebody has put one there.

    MD5 is what Zenodo lists for each file; it finds damage, not malice.

    Args:
        folder: With files and perhaps the list, in the form of ``md5sum``.
        told: Is called with the name of each file before it is read.

    Returns:
        Names of the files that are as listed; nothing where there is no list.

    Raises:
        AdoptionError: A line that is no checksum, a file that is missing, or one that differs.
    """
    path = folder / CHECKSUMS
    if not path.is_file():
        return ()
    listed = _listed(path)
    for name, expected in listed.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise AdoptionError(
                f"no file {name}, which {CHECKSUMS} lists",
                "every listed file beside the list",
                "download it, or take its line away once it has been unpacked and verified",
            )
        told(name)
        found = _md5(file)
        if found != expected:
            raise AdoptionError(
                f"{name} with MD5 {found}", f"{expected}, as {CHECKSUMS} says", "download it again"
            )
    return tuple(listed)


def _listed(path: Path) -> dict[str, str]:
    listed = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise AdoptionError(
                f"line {number} of {CHECKSUMS}, which is no checksum",
                "32 hexadecimal digits, blanks, and the name of a file beside the list",
                "write it as md5sum does",
            )
        listed[match[2]] = match[1].lower()
    return listed


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

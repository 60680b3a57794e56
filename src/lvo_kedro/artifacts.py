"""Files that are there whole or not at all, and the digests by which they are known.

Whoever computes for hours is stopped at some time, and a file that is half written then looks like
a result. So everything that another run reads is written beside its place and moved there, which
file systems do in one step (``os.replace``, on Windows as well).
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PART = ".part"
"""Ending of a file that is being written; its name begins with a dot."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the block a path to write a file to, which takes the place of ``path`` at its end.

    Until then, and for good where the block raises, ``path`` is what it was. Of two writers the
    one that ends last wins, for each has a temporary file of its own. Only a process that is
    killed leaves that file behind: see :func:`clear_parts`.

    Args:
        path: In a folder that is there.

    Yields:
        A file beside it, to be written and closed within the block.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    try:
        yield part
        with part.open("rb+") as file:  # open for writing, as Windows wants it for flushing
            os.fsync(file.fileno())  # or a power cut could leave the new name with nothing behind
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text (UTF-8) whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write what JSON can express, whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV table whole or not at all; a row that lacks a column leaves its cell empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def clear_parts(folder: Path) -> None:
    """Remove what killed writers left in a folder; for whoever has the folder to himself."""
    for part in folder.glob(f".*{PART}"):
        if part.is_file():
            part.unlink()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of(content: object) -> str:
    """Return the SHA-256 of anything that JSON can express, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

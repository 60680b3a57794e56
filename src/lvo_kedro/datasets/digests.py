"""SHA-256 of files and folders that a user gave, which are read again only where they changed."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

from lvo_kedro.artifacts import digest_of, sha256_of, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTLED = 2.0
"""Seconds since its last change after which a file's time tells whether it changes once more."""

Known = dict[str, list[str]]
"""State (digest of names, sizes and times) and content digest, by a digest of the path."""

_known: ContextVar[Known | None] = ContextVar("known", default=None)


@contextmanager
def remembered_in(file: Path, *, write: bool = True) -> Iterator[None]:
    """Take content digests from a file as long as nothing changed, and keep new ones there.

    Args:
        file: Names no path, which may be a patient's name.
        write: Whether new ones are kept.
    """
    known: Known = {}
    with suppress(OSError, ValueError):
        known = dict(json.loads(file.read_text(encoding="utf-8")))
    before, token = dict(known), _known.set(known)
    try:
        yield
    finally:
        _known.reset(token)
        if write and known != before:
            write_json(file, known)


def content_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file, or of all files of a folder with their names.

    Raises:
        OSError: It cannot be read.
    """
    known = _known.get()
    if known is None:
        return _read(path)
    key, (state, latest) = digest_of(str(path.absolute())), _state(path)
    if known.get(key, ["", ""])[0] == state:
        return known[key][1]
    digest = _read(path)
    if 0 <= latest <= time.time() - SETTLED and _state(path)[0] == state:
        known[key] = [state, digest]
    return digest


def _state(path: Path) -> tuple[str, float]:
    """Return a digest of names, sizes and times of change, and the latest of these (s)."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    found = [(str(file), file.stat()) for file in files]
    # st_ctime: a file that took the place of another of its size may have kept a time of its own
    lines = [f"{name} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for name, s in found]
    return digest_of(lines), max((status.st_mtime for _, status in found), default=0.0)


def _read(path: Path) -> str:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        lines = [f"{file.relative_to(path)} {sha256_of(file)}" for file in files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return sha256_of(path)

"""Looks for what must not leave a hospital in everything that a program has written."""

from __future__ import annotations

import gzip
import io
import itertools
import sqlite3
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

MIN_LENGTH = 5
"""Shorter secrets are found by chance."""


def secrets_of(truth: Iterable[Mapping[str, object]]) -> list[str]:
    """Return what identifies patients in the rows of a simulated export's truth.

    Args:
        truth: Rows of :func:`lvo_kedro.simulation.write_export`.
    """
    secrets: set[str] = set()
    for row in truth:
        for day in (str(row["PatientBirthDate"]), str(row["StudyDate"])):
            year, month, date = day[:4], day[4:6], day[6:]
            secrets |= {day, f"{year}-{month}-{date}", f"{date}.{month}.{year}"}
        name = str(row["PatientName"])
        secrets |= {name, name.partition("^")[0]}
        secrets |= {str(row["PatientID"]), str(row["PatientID"]).lstrip("0")}
        secrets |= {str(row["AccessionNumber"]), str(row["StudyInstanceUID"])}
        secrets.add(str(row["StudyInstanceUID"]).rsplit(".", 1)[-1])
    secrets |= {"Ueberweisner", "Theofrast", "Hinterdupfelbach"}
    return sorted(secret for secret in secrets if len(secret) >= MIN_LENGTH)


def find_leaks(folder: Path, secrets: Iterable[str]) -> list[str]:
    """Find secrets in names and contents of all files below a folder, also of packed ones.

    Looked through are bytes as UTF-8, Latin-1 and UTF-16, in any case of plain letters, what gzip,
    zip (Excel, too) and tar files hold, and every cell of SQLite databases.

    Args:
        folder: Outputs, logs, an MLflow store. Links are not followed.
        secrets: Text.

    Returns:
        ``place: secret`` for each that was found.
    """
    patterns = _patterns(secrets)
    found = []
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        found += [f"name of {place}: {s}" for s in _in(place.encode(), patterns)]
        if path.is_file() and not path.is_symlink():
            for inner, data in _contents(place, path.read_bytes(), path):
                found += [f"{inner}: {secret}" for secret in _in(data, patterns)]
    return found


def _patterns(secrets: Iterable[str]) -> dict[str, list[bytes]]:
    """Bytes of each secret, of which one in UTF-16 is the same in both orders but for its ends."""
    return {
        secret: list(
            {
                secret.encode("utf-8").lower(),
                secret.encode("latin-1", "replace").lower(),
                secret.encode("utf-16-le").lower().rstrip(b"\0"),
            }
        )
        for secret in secrets
    }


def _in(data: bytes, patterns: Mapping[str, list[bytes]]) -> list[str]:
    lower = data.lower()
    return [secret for secret, codes in patterns.items() if any(code in lower for code in codes)]


def _contents(place: str, data: bytes, path: Path | None = None) -> Iterator[tuple[str, bytes]]:
    yield place, data
    if data.startswith(b"\x1f\x8b"):
        yield from _contents(f"{place}!", gzip.decompress(data))
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield f"{place}!{name} (name)", name.encode()
                yield from _contents(f"{place}!{name}", archive.read(name))
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for item in archive:
                yield f"{place}!{item.name} (name)", item.name.encode()
                if (file := archive.extractfile(item)) is not None:
                    yield from _contents(f"{place}!{item.name}", file.read())
    elif path is not None and data.startswith(b"SQLite format 3\0"):
        yield f"{place} (rows)", _rows(path)


def _rows(path: Path) -> bytes:
    """Every cell: a long one may lie in pages that follow no order."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        rows = itertools.chain.from_iterable(
            database.execute(f'select * from "{name}"').fetchall()  # noqa: S608 - own test's tables
            for (name,) in tables
        )
        return b"\n".join(
            cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row
        )

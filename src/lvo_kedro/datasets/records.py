"""What lies beside a case's files: what they came from, how it ended, and what each of them holds.

A run that is killed, a full disk or a power cut may leave a file that is cut, empty or missing. So
a case counts as done only as long as its files are those that its record lists.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lvo_kedro.artifacts import sha256_of, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

RECORD: Final = "case.json"
DONE, FAILED, RUNNING = "done", "failed", "running"

Record = dict[str, Any]
"""``fingerprint``, ``inputs`` (digests by argument), ``options``, ``state``; when it has ended
``seconds``, and ``written`` or ``error``, ``refused`` and, where its process was lost, ``lost``."""


def read_record(folder: Path) -> Record:
    """Return a case's record; empty where there is none, or none that was written to its end."""
    try:
        record: Record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write a case's record whole or not at all."""
    write_json(folder / RECORD, record)


def all_files(folder: Path) -> list[str]:
    """Return what a training left in its folder, but for the record and what is hidden."""
    names = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    shown = (name for name in names if not any(part.startswith(".") for part in name.parts))
    return sorted(name.as_posix() for name in shown if name.as_posix() != RECORD)


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return size, time of change (ns) and SHA-256 of files, by name."""
    return {name: _describe(folder / name) | {"sha256": sha256_of(folder / name)} for name in names}


def _describe(file: Path) -> dict[str, int]:
    status = file.stat()
    return {"bytes": status.st_size, "modified": status.st_mtime_ns}


class Check(NamedTuple):
    """What was found of a finished case's files.

    Attributes:
        damage: In words, which of them is not what the record says; empty if all are.
        touched: Whether the time of change of one differs though its content does not.
    """

    damage: str = ""
    touched: bool = False


def check_files(folder: Path, record: Mapping[str, Any]) -> Check:
    """Compare a finished case's files with its record.

    A file whose size and time of change are those that were written down is not read. Where only
    the time differs, as in a copied folder, its content decides.
    """
    touched = False
    for name, known in record["written"].items():
        try:
            found = _describe(folder / name)
        except OSError:
            return Check(f"{name} is missing")
        if found["bytes"] != known["bytes"]:
            return Check(f"{name} has {found['bytes']} bytes instead of {known['bytes']}")
        if found["modified"] != known["modified"]:
            if sha256_of(folder / name) != known["sha256"]:
                return Check(f"{name} was changed")
            touched = True
    return Check("", touched)


def renew_times(folder: Path) -> None:
    """Note the times of change of files that are as they were, so that they are not read again."""
    record = read_record(folder)
    written = {name: known | _describe(folder / name) for name, known in record["written"].items()}
    write_record(folder, record | {"written": written})

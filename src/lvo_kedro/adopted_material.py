"""Public data that are no cohort, written for their purpose: files, table, ``source.json``.

As of a cohort, the archive is only read, and the same command again does only what has changed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lvo_kedro import __version__
from lvo_kedro.adopted_cohort import SOURCES, write_source
from lvo_kedro.adoption import AdoptionError, LeftOut
from lvo_kedro.artifacts import digest_of, replacing, write_json, write_rows
from lvo_kedro.errors import CaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    import nibabel as nib

    from lvo_kedro.adoption import Collection, Material

RECORDS: Final = "adopted"
"""Folder of what each piece was made of."""


@dataclass
class Gathered:
    """What became of the data."""

    rows: list[dict[str, str]] = field(default_factory=list)
    """Of the table."""
    failed: dict[str, str] = field(default_factory=dict)
    """By subject, why it could not be used."""
    left_out: dict[str, str] = field(default_factory=dict)
    """By subject, what keeps it out by the rules."""
    kept: int = 0
    """Pieces of an earlier call for which nothing had to be done."""


def gather_material(
    material: Material,
    collection: Collection,
    options: Any,
    out: Path,
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> Gathered:
    """Write public data that are no cohort.

    Args:
        material: Knows licence and table.
        collection: The folder in which they were found.
        options: With which they were found.
        out: Folder to write to.
        told: Is called with how many subjects are done, and of how many.

    Returns:
        What was written; a subject that cannot be used is listed with its reason.

    Raises:
        AdoptionError: No subject could be used, or the folder has no fitting name.
    """
    collection.check_place(out)
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    result = Gathered()
    for done, subject in enumerate(collection.subjects, start=1):
        stats = [(str(path), path.stat()) for path in collection.files(subject)]
        files = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
        name = material.source.name
        mark = digest_of([__version__, name, subject, files, options.model_dump(mode="json")])
        record = out / RECORDS / f"{hashlib.sha256(subject.encode()).hexdigest()[:16]}.json"
        former = _former(record, mark, out)
        try:
            row = former or _write(collection, subject, mark, record, out)
        except LeftOut as error:
            result.left_out[subject] = error.found
        except CaseError as error:
            result.failed[subject] = str(error)
        else:
            result.rows.append(row | {"source": name})
            result.kept += former is not None
        told(done, len(collection.subjects))
    if not result.rows:
        reasons = [*result.failed.values(), *result.left_out.values(), "the folder holds none"]
        raise AdoptionError(
            f"{len(collection.subjects)} subjects, none of which can be used ({reasons[0]})",
            "at least one",
            "see the reason, and unpack the archive again",
        )
    for file, content in collection.summary(result.rows).items():
        write_json(out / file, content)
    write_source(out / SOURCES, material.source)
    write_rows(out / material.table, result.rows)
    return result


def _former(record: Path, mark: str, out: Path) -> dict[str, str] | None:
    """Return the row of a piece that is there already, made of the same."""
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        same = kept["mark"] == mark and all((out / file).is_file() for file in kept["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(kept["row"]) if same else None


def _write(
    collection: Collection, subject: str, mark: str, record: Path, out: Path
) -> dict[str, str]:
    record.unlink(missing_ok=True)
    piece = collection.piece(subject)
    for file, content in piece.files.items():
        target = out / file
        if not target.resolve().is_relative_to(out.resolve()):
            raise AdoptionError("a name that leaves the folder", "a plain name", "report it")
        target.parent.mkdir(parents=True, exist_ok=True)
        _place(content, target)
    write_json(record, {"mark": mark, "row": dict(piece.row), "files": sorted(piece.files)})
    return dict(piece.row)


def _place(content: Path | nib.Nifti1Image, target: Path) -> None:
    with replacing(target) as part:
        if isinstance(content, Path):
            shutil.copyfile(content, part)
        else:
            part.write_bytes(gzip.compress(content.to_bytes(), mtime=0))

"""What an export holds, in a small database: one pass over headers, none over pixels.

The database names patients and files. It lies outside the data folder, readable by its owner alone,
and a second pass reads what has changed since the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lvo_kedro.studies.reading import NOT_OPENED, facts_of, kind_of_file, reason_of
from lvo_kedro.studies.sources import (
    Found,
    Place,
    SourceLimits,
    members,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lvo_kedro.studies.facts import Facts

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS export (id INTEGER PRIMARY KEY, path TEXT UNIQUE, size INTEGER,
  changed INTEGER, seen INTEGER);
CREATE TABLE IF NOT EXISTS study (id INTEGER PRIMARY KEY, uid TEXT UNIQUE, accession TEXT,
  patient TEXT);
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, study INTEGER, uid TEXT, header TEXT,
  UNIQUE (study, uid));
CREATE TABLE IF NOT EXISTS form (id INTEGER PRIMARY KEY, series INTEGER, facts TEXT,
  UNIQUE (series, facts));
CREATE TABLE IF NOT EXISTS file (id INTEGER PRIMARY KEY, archive TEXT, name TEXT, start INTEGER,
  size INTEGER, changed INTEGER, seen INTEGER, form INTEGER, image BLOB, number INTEGER,
  places TEXT, problem TEXT, UNIQUE (archive, name));
CREATE TABLE IF NOT EXISTS outcome (study TEXT PRIMARY KEY, mark TEXT, content TEXT);
CREATE INDEX IF NOT EXISTS file_of_form ON file (form);
CREATE INDEX IF NOT EXISTS form_of_series ON form (series);
"""
_COMMIT_EVERY: Final = 2000


def _with_plain_name(found: Found) -> Found:
    """Return a file as it is, or, where its name is no text, one that is passed over."""
    container, name = (
        part.encode("utf-8", "backslashreplace").decode() for part in found.place[:2]
    )
    if (container, name) == found.place[:2]:
        return found
    place = Place(container, name, found.place.offset)
    return found._replace(place=place, problem="a file name that is not UTF-8")


class File(NamedTuple):
    """A file of a series."""

    place: Place
    size: int
    changed_ns: int
    image: bytes
    """Digest of its SOPInstanceUID; empty where it has none."""
    number: int
    places: tuple[tuple[float, float, float], ...]
    """Where each of its frames lies (DICOM's ImagePositionPatient, mm)."""
    problem: str
    form: dict[str, str]
    """What may differ within a series (:data:`~lvo_kedro.studies.facts.OF_FORM`)."""


class Series(NamedTuple):
    """A series of the export as its headers describe it."""

    uid: str
    header: dict[str, str]
    files: list[File]


class Study(NamedTuple):
    """A study of the export."""

    uid: str
    accession: str
    patient: str
    series: list[Series]


class Index:
    """The database of an export.

    Args:
        path: Its file, in a folder that only the owner may read; it is made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._base = sqlite3.connect(path)
        self._base.execute("PRAGMA synchronous = OFF")  # it can be made again
        self._base.executescript(SCHEMA)
        (self._seen,) = self._base.execute("SELECT IFNULL(MAX(seen), 0) FROM file").fetchone()
        self._ids: dict[tuple[str, ...], int] = {}

    def close(self) -> None:
        """Close the database."""
        self._base.commit()
        self._base.close()

    def add(
        self,
        exports: Sequence[Path],
        limits: SourceLimits = SourceLimits(),
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Read the headers of everything in exports that is new or has changed.

        Args:
            exports: Folders and files; what earlier calls found elsewhere is forgotten.
            limits: Beyond these a file is passed over.
            told: Is called with the number of files that were looked at.
        """
        count = 0
        self._seen += 1
        for export in exports:
            root = export.resolve()
            root = root if root.is_dir() else root.parent
            for found in map(_with_plain_name, walk(export, limits)):
                for one in self._files(found, limits):
                    self._note(_with_plain_name(one), root, limits)
                    count += 1
                    if count % _COMMIT_EVERY == 0:
                        self._base.commit()
                        told(count)
        self._forget()
        told(count)

    def _files(self, found: Found, limits: SourceLimits) -> Iterator[Found]:
        """Yield the file, or what an archive holds unless that is known already."""
        name = found.place.name
        directory = PurePath(name).name.upper() == "DICOMDIR"  # what it names may come and go
        if not found.problem and not directory and self._known(found):
            return
        nifti = name.lower().endswith((".nii", ".nii.gz"))
        kind = "" if found.problem or nifti else kind_of_file(found)
        if kind not in ("zip", "tar", "packed"):
            yield found
            return
        known = self._base.execute(
            "SELECT 1 FROM export WHERE path = ? AND size = ? AND changed = ?",
            (name, found.size, found.changed_ns),
        ).fetchone()
        if known:
            self._base.execute("UPDATE file SET seen = ? WHERE archive = ?", (self._seen, name))
        else:
            self._base.execute("DELETE FROM file WHERE archive = ?", (name,))
            yield from members(found, kind, limits)
        self._base.execute(
            "INSERT OR REPLACE INTO export (path, size, changed, seen) VALUES (?, ?, ?, ?)",
            (name, found.size, found.changed_ns, self._seen),
        )

    def _known(self, found: Found) -> bool:
        """Whether a file in a folder is what it was; then it is marked as there."""
        done = self._base.execute(
            "UPDATE file SET seen = ? WHERE archive = '' AND name = ? AND size = ? AND changed = ? "
            "AND problem != ?",  # which may be readable now
            (self._seen, found.place.name, found.size, found.changed_ns, NOT_OPENED),
        )
        return done.rowcount > 0

    def _note(self, found: Found, root: Path, limits: SourceLimits) -> None:
        facts, problem = None, found.problem
        if not problem:
            try:
                facts = facts_of(found, root, limits)
            except MemoryError:
                raise
            except Exception as error:  # whatever a damaged file makes its reader raise
                problem = reason_of(error)
        form = None if facts is None else self._form(facts)
        if facts is not None and facts.refused:
            problem = facts.refused[0]
        self._base.execute(
            "INSERT OR REPLACE INTO file (archive, name, start, size, changed, seen, form, image, "
            "number, places, problem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *found.place, found.size, found.changed_ns, self._seen, form,
                _digest(facts.image) if facts and facts.image else b"",
                facts.number if facts else 0,
                json.dumps(facts.places) if facts else "",
                problem,
            ),
        )  # fmt: skip

    def _form(self, facts: Facts) -> int:
        study = self._id("study", ("uid",), (facts.study,), facts.accession, facts.patient)
        series = self._id(
            "series", ("study", "uid"), (study, facts.series), json.dumps(facts.header)
        )
        return self._id("form", ("series", "facts"), (series, json.dumps(facts.form)))

    def _id(self, table: str, names: tuple[str, ...], values: tuple[Any, ...], *rest: str) -> int:
        """Return the row with these values, made where it is not there, with the rest."""
        key = (table, *map(str, values))
        if key not in self._ids:
            if len(self._ids) > 10_000:
                self._ids.clear()
            others = {"study": ("accession", "patient"), "series": ("header",)}.get(table, ())
            columns = ", ".join((*names, *others))
            marks = ", ".join("?" * (len(names) + len(others)))
            newer = ", ".join(f"{name} = excluded.{name}" for name in others)
            action = f"UPDATE SET {newer}" if newer else "NOTHING"  # a header may be corrected
            self._base.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({marks}) "  # noqa: S608
                f"ON CONFLICT ({', '.join(names)}) DO {action}",
                (*values, *rest),
            )
            where = " AND ".join(f"{name} = ?" for name in names)
            query = f"SELECT id FROM {table} WHERE {where}"  # noqa: S608 - names of our own
            (self._ids[key],) = self._base.execute(query, values).fetchone()
        return self._ids[key]

    def _forget(self) -> None:
        """Remove files that are no longer there, and what is then empty."""
        for query in (
            "DELETE FROM file WHERE seen < ?",
            "DELETE FROM export WHERE seen < ?",
        ):
            self._base.execute(query, (self._seen,))
        for query in (
            "DELETE FROM form WHERE id NOT IN (SELECT form FROM file WHERE form IS NOT NULL)",
            "DELETE FROM series WHERE id NOT IN (SELECT series FROM form)",
            "DELETE FROM study WHERE id NOT IN (SELECT study FROM series)",
        ):
            self._base.execute(query)
        self._ids.clear()
        self._base.commit()

    def study_uids(self) -> list[str]:
        """Return the studies in the order in which their first file lies in the export."""
        rows = self._base.execute(
            "SELECT study.uid FROM study JOIN series ON series.study = study.id "
            "JOIN form ON form.series = series.id JOIN file ON file.form = form.id "
            "GROUP BY study.id ORDER BY MIN(file.id)"
        )
        return [uid for (uid,) in rows]

    def study(self, uid: str) -> Study:
        """Return a study with everything that is known of its series.

        Args:
            uid: As :meth:`study_uids` names it.
        """
        row = self._base.execute(
            "SELECT id, accession, patient FROM study WHERE uid = ?", (uid,)
        ).fetchone()
        series = []
        for number, name, header in self._base.execute(
            "SELECT id, uid, header FROM series WHERE study = ? ORDER BY id", (row[0],)
        ).fetchall():
            series.append(Series(name, json.loads(header), self._files_of(number)))
        return Study(uid, row[1], row[2], series)

    def _files_of(self, series: int) -> list[File]:
        rows = self._base.execute(
            "SELECT archive, name, start, size, changed, image, number, places, problem, facts "
            "FROM file JOIN form ON file.form = form.id WHERE form.series = ? ORDER BY file.id",
            (series,),
        )
        return [
            File(
                Place(*row[:3]), row[3], row[4], row[5], row[6],
                tuple(map(tuple, json.loads(row[7]))), row[8], json.loads(row[9]),
            )
            for row in rows
        ]  # fmt: skip

    def series_uids(self) -> set[str]:
        """Return the SeriesInstanceUIDs of the export."""
        return {uid for (uid,) in self._base.execute("SELECT uid FROM series")}

    def kept(self, study: str, mark: str) -> dict[str, Any] | None:
        """Return what was kept of a study under this mark, if anything.

        Args:
            study: Its UID.
            mark: Digest of what the outcome depends on.
        """
        row = self._base.execute(
            "SELECT content FROM outcome WHERE study = ? AND mark = ?", (study, mark)
        ).fetchone()
        content: dict[str, Any] | None = json.loads(row[0]) if row else None
        return content

    def keep(self, study: str, mark: str, content: dict[str, Any]) -> None:
        """Keep what was made of a study.

        Args:
            study: Its UID.
            mark: Digest of what the outcome depends on.
            content: What JSON can hold.
        """
        self._base.execute(
            "INSERT OR REPLACE INTO outcome VALUES (?, ?, ?)", (study, mark, json.dumps(content))
        )
        self._base.commit()

    def problems(self) -> dict[str, int]:
        """Return why files were passed over, and how many."""
        rows = self._base.execute(
            "SELECT problem, COUNT(*) FROM file WHERE problem != '' GROUP BY problem ORDER BY 1"
        )
        return dict(rows.fetchall())

    def unread(self) -> Iterator[tuple[str, str, str]]:
        """Yield archive, name and problem of every file that was passed over."""
        yield from self._base.execute(
            "SELECT archive, name, problem FROM file WHERE problem != '' ORDER BY id"
        )


@contextmanager
def opened(path: Path) -> Iterator[Index]:
    """Open the database of an export, and close it at the end of the block.

    Args:
        path: Its file.
    """
    with closing(Index(path)) as index:
        yield index


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:8]

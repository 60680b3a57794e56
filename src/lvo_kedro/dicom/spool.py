"""Where studies wait that came by network: on the disk, so that nothing acknowledged is lost.

An object is written to ``arriving`` and moved once it is whole. Its study passes through folders of
the spool, each time by one rename: ``incoming`` (objects come), ``working`` (it is complete),
``results`` (its results wait to be sent), ``failed`` (nothing could be made of it; the reason lies
beside its images); ``begun`` counts how often it was tried. Names are digests: no peer says what a
file here is called, and no name tells whose study it is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from lvo_kedro.artifacts import sha256_of, write_json, write_text
from lvo_kedro.errors import ScanError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

INCOMING, WORKING, RESULTS, FAILED = "incoming", "working", "results", "failed"
ARRIVING, BEGUN = "arriving", "begun"
REASON: Final = "reason.json"
"""Beside the images of a study of which nothing could be made."""
MADE: Final = "made"
"""Beside a study's images: what was made of them, until it is all there."""


class Spool:
    """The folder in which studies wait.

    Args:
        folder: Made where there is none; only its owner may look into it.
        max_study_bytes: How large a study may become.
    """

    def __init__(self, folder: Path, max_study_bytes: int) -> None:
        self.folder = folder
        self._limit = max_study_bytes
        self._lock = threading.Lock()
        self.arriving = folder / ARRIVING
        """Where objects are written that were not acknowledged yet, and other temporary files."""
        shutil.rmtree(self.arriving, ignore_errors=True)  # of a receiver that was killed
        for name in (ARRIVING, INCOMING, WORKING, RESULTS, FAILED, BEGUN):
            (folder / name).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        for part in (folder / INCOMING).rglob("*.part"):  # never acknowledged
            part.unlink()

    def store(self, study: str, path: Path) -> None:
        """Take an object into its study; when this returns, it is on the disk.

        Args:
            study: UID of its study.
            path: A file with the object, which is moved away.

        Raises:
            ScanError: The study would become too large.
            OSError: It cannot be written.
        """
        with self._lock:  # or the study is taken away to be worked on meanwhile
            self._store(self.folder / INCOMING / _digest(study.encode()), path)

    def _store(self, place: Path, path: Path) -> None:
        if not place.exists():
            place.mkdir()
            _to_disk(place.parent)
        size = path.stat().st_size + sum(p.stat().st_size for p in place.iterdir())
        if size > self._limit:
            raise ScanError(
                f"a study of more than {self._limit / 1e6:.0f} MB",
                "a head CT",
                "send the one series that is to be scored, or raise receiver.max_study_mb",
            )
        name = sha256_of(path)[:32]
        part = place / f"{name}.part"
        shutil.move(path, part)
        _to_disk(part)
        part.replace(place / f"{name}.dcm")
        _to_disk(place)

    def complete(self, quiet_seconds: float, now: Callable[[], float] = time.time) -> list[Path]:
        """Return the studies that are to be worked on, oldest first.

        Those that were begun when a receiver was killed are among them, and those of which nothing
        has come for so many seconds.
        """
        with self._lock:
            self._begin(quiet_seconds, now)
        return self._in(WORKING)

    def _begin(self, quiet_seconds: float, now: Callable[[], float]) -> None:
        for study in sorted((self.folder / INCOMING).iterdir()):
            files = list(study.iterdir())
            latest = max((f.stat().st_mtime for f in [study, *files]), default=0.0)
            quiet = abs(now() - latest) >= quiet_seconds  # abs: a clock that was set back
            if files and quiet and not any(f.suffix == ".part" for f in files):
                study.replace(self._free(WORKING, study.name))

    def sweep(self, seconds: float, now: Callable[[], float] = time.time) -> None:
        """Delete objects that did not come to their end: nothing of them has come for so long."""
        for path in self.arriving.glob("*.dcm"):
            with suppress(FileNotFoundError):  # it came to its end meanwhile
                if now() - path.stat().st_mtime > seconds:
                    path.unlink()

    def begin(self, study: Path) -> int:
        """Note that a study is begun; return how often it was."""
        (study / REASON).unlink(missing_ok=True)  # it was put back
        note = self.folder / BEGUN / study.name
        count = int(note.read_text() or 0) + 1 if note.is_file() else 1
        write_text(note, str(count))
        return count

    def done(self, study: Path, results: Sequence[Path]) -> None:
        """Keep a study's results until they are sent; its images go."""
        made = study / MADE
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for number, path in enumerate(results):
            copy = made / f"{number:02d}.dcm"
            shutil.copyfile(path, copy)
            _to_disk(copy)
        made.replace(self._free(RESULTS, study.name))
        _to_disk(self.folder / RESULTS)
        gone = self._free(ARRIVING, study.name)  # in one step: half of it is never scored again
        study.replace(gone)
        self._ended(study)
        shutil.rmtree(gone, ignore_errors=True)

    def fail(self, study: Path, reason: str) -> None:
        """Put a study aside with the reason why nothing could be made of it."""
        write_json(study / REASON, {"reason": reason})
        study.replace(self._free(FAILED, study.name))
        self._ended(study)

    def _ended(self, study: Path) -> None:
        (self.folder / BEGUN / study.name).unlink(missing_ok=True)

    def unsent(self) -> list[Path]:
        """Return the folders of results that were not sent yet, oldest first."""
        return self._in(RESULTS)

    def sent(self, folder: Path) -> None:
        """Delete the results of a study: the archive has them."""
        shutil.rmtree(folder)

    def _in(self, name: str) -> list[Path]:
        return sorted((self.folder / name).iterdir(), key=lambda p: p.stat().st_mtime)

    def _free(self, name: str, study: str) -> Path:
        """Return a place for a study, of which there may be an earlier part."""
        places = (self.folder / name / f"{study}-{n}" for n in range(1_000_000))
        return next(place for place in places if not place.exists())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a power loss."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folder, and keeps names by itself
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

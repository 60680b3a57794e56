"""Who works on a data folder: a run that writes there has it to itself, runs that read share it.

Each run keeps a file of its own in ``<data>/.runs``, which the operating system holds locked for as
long as the process lives, and beside it a card that says what it is. Whoever starts looks at these
first. A file that nobody holds is that of a run that was killed, and is cleared away.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from click import ClickException
from filelock import FileLock, Timeout

from lvo_kedro.disk import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

RUNS = ".runs"
DOOR = ".door"
LOCKED = ".lock"
PATIENCE = 60
"""Seconds to wait while others look at the runs, which takes them none."""


@dataclass(frozen=True)
class Run:
    """What others are told about a run; nothing of it names a patient."""

    title: str
    writes: bool
    since: str
    process: int
    host: str

    def __str__(self) -> str:
        return f"{self.title}, since {self.since}, process {self.process} on {self.host}"


class BusyError(ClickException):
    """Another run is under way that this one must not meet; shown on the command line as it is."""

    def __init__(self, data: Path, title: str, others: list[Run]) -> None:
        listing = "\n".join(f"  {run}" for run in others)
        super().__init__(
            f"'{title}' cannot start: {data} is in use by\n\n{listing}\n\n"
            "  A run that writes to a data folder needs it for itself; 'kedro score' and 'kedro "
            "results' go side by side.\n"
            "  Wait until that has ended, or use another data folder ('data' in "
            "conf/local/globals.yml)."
        )
        self.others = others


class UnlockableError(ClickException):
    """A data folder in which runs cannot be told from one another."""

    def __init__(self, data: Path, error: OSError) -> None:
        super().__init__(
            f"no run can be locked in {data / RUNS}: {error.strerror or error}. "
            "Everybody who runs something on a data folder must be able to write to it and to all "
            "that is in this folder, and its file system must have locks (flock); correct that, or "
            "use another data folder ('data' in conf/local/globals.yml)"
        )


@contextmanager
def working_on(data: Path, title: str, *, writes: bool) -> Iterator[None]:
    """Work on a data folder, and keep those away who must not at the same time.

    Args:
        data: The data folder; made where there is none.
        title: What is done, as others are told.
        writes: Whether anything is written that others read. If not, any number of runs may.

    Raises:
        BusyError: Somebody else writes there, or reads what this run would write.
        StorageError: The disk is full or read-only.
        UnlockableError: Permissions or the file system do not allow to find out.
    """
    try:
        lock, card = _enter(data, title, writes=writes)
    except OSError as error:
        raise storage_error(error, data) or UnlockableError(data, error) from error
    try:
        yield
    finally:
        lock.release()
        _clear(card)


def _enter(data: Path, title: str, *, writes: bool) -> tuple[FileLock, Path]:
    """Lock a file for this run, after a look at the others; one at a time passes the door."""
    data.mkdir(parents=True, exist_ok=True)
    mode = _mode(data)
    folder = data / RUNS
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(mode)
    with one_at_a_time(folder):
        others = [run for run in _under_way(folder) if writes or run.writes]
        if others:
            raise BusyError(data, title, others)
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        run = Run(title, writes, now, os.getpid(), socket.gethostname())
        card = folder / f"{run.process}-{secrets.token_hex(4)}.json"
        card.write_text(json.dumps(asdict(run)), encoding="utf-8")
        card.chmod(mode & 0o666)
        lock = file_lock(card.with_suffix(LOCKED))
        lock.acquire()
    return lock, card


def _under_way(folder: Path) -> list[Run]:
    """Return the runs whose process lives, and clear away what others left."""
    runs = []
    for card in sorted(folder.glob("*.json")):
        lock = file_lock(card.with_suffix(LOCKED))
        try:
            lock.acquire()
        except Timeout:
            with suppress(FileNotFoundError):  # that run has just ended
                runs.append(Run(**json.loads(card.read_text(encoding="utf-8"))))
        else:
            lock.release()
            _clear(card)
    return runs


def _clear(card: Path) -> None:
    for path in (card.with_suffix(LOCKED), card):
        with suppress(OSError):  # somebody else was faster, or (Windows) is looking at it
            path.unlink()


def one_at_a_time(folder: Path) -> AbstractContextManager[object]:
    """Pass the door of a folder: whoever else wants to waits until the block ends."""
    return file_lock(folder / DOOR).acquire(timeout=PATIENCE)


def file_lock(path: Path) -> FileLock:
    """Return a lock that does not wait, for those who may use the folder of ``path``."""
    mode = _mode(path.parent) & 0o666
    return FileLock(path, timeout=0, mode=mode, fallback_to_soft=False)


def _mode(folder: Path) -> int:
    """Return who may do what in a folder: the same goes for locks in it, whatever the umask."""
    return folder.stat().st_mode & 0o2777

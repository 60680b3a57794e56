"""A drop folder: what is put there is scored once it is whole, once and no more.

What is done is known by content: a scan whose id has a result in the output folder is not scored
again, whatever it is called now and however often the watch was started.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lvo_kedro.cohort import scan_id
from lvo_kedro.errors import CaseError, ScanError
from lvo_kedro.scoring.batch import Scored, score_one
from lvo_kedro.scoring.scorer import WORK
from lvo_kedro.scoring.sources import find_sources
from lvo_kedro.scoring.writing import RESULT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lvo_kedro.scoring.scorer import Scorer

logger = logging.getLogger(__name__)

QUIET = 5.0
"""Seconds for which nothing of a scan may have changed before it is taken."""
INTERVAL = 1.0
"""Seconds between two looks."""

State = tuple[tuple[str, int, int], ...]


class DropFolder:
    """Follows what is put into a folder.

    Args:
        folder: Each file or folder in it is taken by itself. Hidden ones and links are left alone.
        out: Where results go, and by which those of earlier watches are known.
        quiet: Seconds without a change after which something is whole.
    """

    def __init__(self, folder: Path, out: Path, quiet: float = QUIET) -> None:
        self._folder, self._out, self._quiet = folder, out, quiet
        self._seen: dict[Path, tuple[State, float]] = {}
        self._taken: dict[Path, State] = {}
        self._unread: set[str] = set()
        self._away = False

    def ready(self) -> list[Path]:
        """Return what is whole and was not taken as it is now."""
        now, found = time.monotonic(), []
        try:
            entries = sorted(p for p in self._folder.iterdir() if not p.name.startswith("."))
        except OSError as error:  # a share that is away comes back
            if not self._away:
                logger.warning("the drop folder cannot be read: %s", error.strerror)
            self._away = True
            return []
        self._away = False
        for path in (p for p in entries if not p.is_symlink()):
            state = _state(path)
            if not state or self._taken.get(path) == state:
                continue
            before, since = self._seen.get(path, (None, now))
            if before != state:
                since = now
            self._seen[path] = state, since
            if now - since >= self._quiet:
                self._taken[path] = state
                found.append(path)
        return found

    def is_new(self, scan: Path) -> bool:
        """Tell whether nothing with this content has a result yet, or was tried by this watch."""
        try:
            case = scan_id(str(scan))
        except FileNotFoundError:
            return False  # taken away again
        except OSError as error:
            for path in [path for path in self._taken if scan.is_relative_to(path)]:
                del self._taken[path]  # it is looked at again
                self._seen.pop(path, None)
            raise ScanError(
                f"a scan that cannot be read ({error.strerror})", "a readable one", "allow it"
            ) from error
        new = case not in self._unread and not (self._out / case / RESULT).is_file()
        self._unread.add(case)
        return new


def watch(
    scorer: Scorer, folder: DropFolder, stop: threading.Event, interval: float = INTERVAL
) -> Iterator[Scored]:
    """Score what comes until told to stop.

    Args:
        scorer: With its models; what killed watches left in its output folder is cleared.
        folder: The drop folder.
        stop: Set to end; the scan that is being scored is finished first.
        interval: Seconds between two looks.

    Yields:
        Each scan as it ends.
    """
    for left in scorer.out.glob(f"{WORK}*"):
        shutil.rmtree(left, ignore_errors=True)
    while not stop.is_set():
        for path in folder.ready():
            for source in find_sources(path):
                if stop.is_set():
                    return
                try:
                    with source.scan() as scan:
                        done = score_one(scorer, scan) if folder.is_new(scan) else None
                except CaseError as error:
                    done = Scored(path, None, str(error))
                if done:
                    yield done._replace(scan=source.shown)
        stop.wait(interval)


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C or SIGTERM sets; a second one ends the process as usual."""
    stop = threading.Event()

    def note(number: int, _: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        logger.info("signal %d: the scan that is being scored is finished first", number)
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _state(path: Path) -> State:
    """Return name, size and time of change of all files of an entry; nothing where it is empty."""
    try:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        stats = [(str(p.relative_to(path)), p.stat()) for p in files]
    except OSError:  # it is being written, or taken away
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

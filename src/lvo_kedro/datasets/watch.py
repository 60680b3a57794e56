"""Follows the cases of one step while they are computed, in whichever process."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from lvo_kedro.progress import Told, clock, last_told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from typing_extensions import Self

logger = logging.getLogger(__name__)

LINES = 10
"""Into about so many lines a step's cases are summed up."""
SHORTEST, LONGEST = 5.0, 600.0
"""Seconds between two such lines, at least and at most."""
INTERVAL = 1.0
"""Seconds between two looks at what trainings tell."""


class Watch:
    """Logs how many cases are done, and what those tell that take long (the epochs of a training).

    Args:
        label: What is computed.
        folders: Of tasks that may tell how far they are (:func:`lvo_kedro.progress.tell`).
        due: Number of cases to compute.
        cases: Number of all cases.
    """

    def __init__(self, label: str, folders: Sequence[Path], due: int, cases: int) -> None:
        self.label = label
        self._due, self._computed = due, due / max(cases, 1)
        self._done = self._shown = 0
        self._when = time.monotonic()
        self._told: dict[Path, Told | None] = dict.fromkeys(folders)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look at the folders, if there are any."""
        clock().advance(0.0, self._computed)
        if self._told:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def count(self, name: str) -> None:
        """Count one more case as done."""
        with self._lock:
            self._done += 1
            self._told = {f: told for f, told in self._told.items() if f.name != name}
            self._advance()
        elapsed = time.monotonic() - self._when
        much = self._done - self._shown >= self._due / LINES and elapsed >= SHORTEST
        if self._done == self._due or much or elapsed >= LONGEST:
            self._shown, self._when = self._done, time.monotonic()
            logger.info("%s: %d of %d", self.label, self._done, self._due)

    def _look_on(self) -> None:
        while not self._ended.wait(INTERVAL):
            with self._lock:
                told = ((folder, last_told(folder)) for folder in self._told)
                news = {f: last for f, last in told if last and last != self._told[f]}
                self._told |= news
                self._advance()
            for folder, last in news.items():
                note = f", {last.note}" if last.note else ""
                logger.info("%s: epoch %d of %d%s", folder.name, last.done, last.of, note)

    def _advance(self) -> None:
        parts = sum(told.done / told.of for told in self._told.values() if told)
        clock().advance((self._done + parts) / max(self._due, 1), self._computed)

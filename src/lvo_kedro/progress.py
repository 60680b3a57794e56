"""How far a run is and how long it will still take: for each line of the log, and for a bar.

A run is a list of steps (nodes), each of a pipeline. What a step takes is known from an earlier
run; the steps of this run that have ended tell how much faster or slower it goes today. The
process of the run keeps one :class:`Clock`; a training in another process tells its epochs through
a file in its folder.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lvo_kedro.artifacts import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

TOLD = ".progress.json"
PRIOR = 0.1
"""Share of a run's expected time for which it is taken to be as fast as it was the last time."""


class Step(NamedTuple):
    """One node of a run."""

    pipeline: str
    node: str


class Left(NamedTuple):
    """Seconds that are left, where they can be told."""

    step: float | None
    pipeline: float | None
    run: float | None


@dataclass
class Clock:
    """Where a run is.

    Attributes:
        steps: What it does, in order.
        expected: Seconds of a step by its node, as far as they are known.
        now: Tells the time in seconds.
        measured: Seconds of each step that has ended.
    """

    steps: Sequence[Step] = ()
    expected: Mapping[str, float] = field(default_factory=dict)
    now: Callable[[], float] = time.monotonic
    measured: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._step: Step | None = None
        self._began = self.now()
        self._share = 0.0
        self._whole: dict[str, float] = {}

    @property
    def step(self) -> Step | None:
        """The step under way."""
        return self._step

    @property
    def number(self) -> int:
        """The position, from 1, of the step under way."""
        return self.steps.index(self._step) + 1 if self._step in self.steps else 0

    @property
    def share(self) -> float:
        """How much of the step under way is done, 0 to 1."""
        return self._share

    def begin(self, node: str) -> None:
        """Begin a step."""
        with self._lock:
            self._step = next((s for s in self.steps if s.node == node), Step("", node))
            self._began, self._share = self.now(), 0.0

    def advance(self, share: float, computed: float = 1.0) -> None:
        """Say how much of the step is done.

        Args:
            share: Of what is to be computed, 0 to 1.
            computed: Share of all its cases that had to be computed; the others were there.
        """
        with self._lock:
            self._share = min(max(share, 0.0), 1.0)
            if self._step and computed > 0:
                self._whole[self._step.node] = computed

    def end(self) -> None:
        """End the step under way."""
        with self._lock:
            if self._step:
                self.measured[self._step.node] = self.now() - self._began
            self._step = None

    def left(self) -> Left:
        """Return the seconds that are left of the step, of its pipeline and of the run."""
        with self._lock:
            current = self._left_of_step()
            later = list(self.steps[self.number :]) if self._step else []
            own = [s for s in later if self._step and s.pipeline == self._step.pipeline]
            return Left(current, self._sum(current, own), self._sum(current, later))

    def whole(self) -> float:
        """Return how much of the run is done, 0 to 1: by time, or by steps where it is unknown."""
        with self._lock:
            if not self.steps:
                return 0.0
            times = [self.expected.get(step.node) for step in self.steps]
            known = [1.0 if None in times else max(seconds or 0.0, 1e-3) for seconds in times]
            before = sum(known[: max(self.number - 1, 0)])
            current = known[self.number - 1] * self._share if self.number else 0.0
            return (before + current) / sum(known)

    def seconds(self) -> dict[str, float]:
        """Return what each step takes where everything has to be computed.

        Steps that had nothing to compute keep the time of an earlier run.
        """
        times = dict(self.expected)
        for node, seconds in self.measured.items():
            computed = self._whole.get(node)
            if computed is not None:
                times[node] = seconds / computed
            else:  # all of it was there, or it is no matter of cases
                times[node] = max(seconds, times.get(node, 0.0))
        return times

    def _left_of_step(self) -> float | None:
        if self._step is None:
            return None
        elapsed = self.now() - self._began
        if self._share > 0:
            return elapsed / self._share * (1 - self._share)
        known = self.expected.get(self._step.node)
        return None if known is None else max(0.0, known * self._speed() - elapsed)

    def _sum(self, current: float | None, later: Sequence[Step]) -> float | None:
        known = [self.expected.get(step.node) for step in later]
        if current is None or None in known:
            return None
        return current + self._speed() * sum(seconds or 0.0 for seconds in known)

    def _speed(self) -> float:
        """Return how many times longer steps take today than they were expected to."""
        ended = [node for node in self.measured if node in self.expected]
        weight = PRIOR * sum(self.expected.values())
        took = sum(self.measured[node] for node in ended)
        return (took + weight) / max(sum(self.expected[node] for node in ended) + weight, 1e-9)


_clock = Clock()
_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


def clock() -> Clock:
    """Return the clock of this process's run."""
    return _clock


def start(steps: Sequence[Step], expected: Mapping[str, float]) -> Clock:
    """Start the clock of a new run."""
    global _clock  # noqa: PLW0603 - a process has one run
    _clock = Clock(steps, expected)
    return _clock


@contextmanager
def told_in(folder: Path) -> Iterator[None]:
    """Let what this thread tells go to a file in ``folder``, as long as the block lasts."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)
        (folder / TOLD).unlink(missing_ok=True)


def tell(done: int, of: int, note: str = "") -> None:
    """Tell whoever follows this task that ``done`` of its ``of`` parts are done."""
    folder = _folder.get()
    if folder is None:
        return
    write_json(folder / TOLD, {"done": done, "of": of, "note": note})


class Told(NamedTuple):
    """What a task told last."""

    done: int
    of: int
    note: str


def last_told(folder: Path) -> Told | None:
    """Read what the task of ``folder`` told last, if anything."""
    with suppress(OSError, ValueError, TypeError):
        return Told(**json.loads((folder / TOLD).read_text(encoding="utf-8")))
    return None


def read_seconds(path: Path) -> dict[str, float]:
    """Read the seconds of each step that an earlier run took; nothing where none are known."""
    with suppress(OSError, ValueError):
        return {str(node): float(s) for node, s in json.loads(path.read_text()).items()}
    return {}


def write_seconds(path: Path, seconds: Mapping[str, float]) -> None:
    """Keep the seconds of each step for the next run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {node: round(value, 2) for node, value in seconds.items()})


def duration(seconds: float) -> str:
    """Write seconds as a person reads them: ``0:40``, ``12:05``, ``3:10:00``, ``2 d 04 h``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02d} h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

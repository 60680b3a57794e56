"""How far a run is, and how long it will still take."""

from __future__ import annotations

import io
import logging
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lvo_kedro import progress
from lvo_kedro.console import BarHandler, Log, WhereFormatter
from lvo_kedro.datasets import CaseDataset
from lvo_kedro.progress import Clock, Left, Step, duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEPS = [
    Step("preprocessing", "read"),
    Step("segmentation", "train"),
    Step("segmentation", "predict"),
    Step("evaluation", "report"),
]
KNOWN = {"read": 10.0, "train": 60.0, "predict": 20.0, "report": 10.0}


class Time:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def no_run_before_or_after() -> Iterator[None]:
    progress.start([], {})
    yield
    progress.start([], {})


def at(time: Time, known: dict[str, float]) -> Clock:
    return Clock(STEPS, known, time)


def test_what_is_left_is_the_rest_of_the_step_and_the_steps_to_come() -> None:
    now = Time()
    clock = at(now, KNOWN)
    clock.begin("read")
    assert clock.left() == Left(10, 10, 100)
    now.seconds = 10
    clock.end()
    clock.begin("train")
    assert clock.left() == Left(60, 80, 90)
    now.seconds = 40  # half of it took 30 s
    clock.advance(0.5)
    assert clock.left() == Left(30, 30 + 20, 30 + 20 + 10)


def test_a_run_that_is_slower_than_the_last_one_is_taken_to_stay_so() -> None:
    now = Time()
    clock = at(now, KNOWN)
    clock.begin("read")
    now.seconds = 90
    clock.end()
    clock.begin("train")
    assert clock.left().run == pytest.approx(90 * (90 + 10) / (10 + 10))


def test_nothing_is_foretold_where_nothing_is_known() -> None:
    now = Time()
    clock = at(now, {"read": 10.0})
    clock.begin("read")
    assert clock.left() == Left(10, 10, None)
    clock.end()
    clock.begin("train")
    assert clock.left() == Left(None, None, None)
    now.seconds = 5
    clock.advance(0.25)  # its own rest can be told, what follows cannot
    assert clock.left() == Left(15, None, None)
    assert clock.whole() == pytest.approx(1.25 / 4)


def test_a_run_with_nothing_to_compute_soon_says_so() -> None:
    now = Time()
    clock = at(now, KNOWN)
    for node in ("read", "train"):
        clock.begin(node)
        clock.advance(0.0, computed=0.0)
        now.seconds += 0.5
        clock.end()
    clock.begin("predict")
    run = clock.left().run
    assert run is not None and run < 6


def test_times_are_kept_for_the_next_run_as_if_all_cases_had_been_computed() -> None:
    now = Time()
    clock = at(now, KNOWN)
    for node, seconds, computed in (("read", 4, 0.25), ("train", 1, 0.0), ("report", 12, None)):
        clock.begin(node)
        if computed is not None:
            clock.advance(1.0, computed)
        now.seconds += seconds
        clock.end()
    assert clock.seconds() == {"read": 16, "train": 60, "predict": 20, "report": 12}


def test_seconds_come_back_from_their_file_and_a_broken_one_is_none(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "seconds.json"
    assert progress.read_seconds(file) == {}
    progress.write_seconds(file, KNOWN)
    assert progress.read_seconds(file) == KNOWN
    file.write_text("{")
    assert progress.read_seconds(file) == {}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05"), (200_000, "2 d 07 h")],
)
def test_durations_are_written_as_people_read_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def train(epochs: int, *, folder: Path) -> dict[str, Any]:
    for epoch in range(epochs):
        progress.tell(epoch + 1, epochs, "loss 0.50")
        time.sleep(1.2)
    return {}


@pytest.mark.long
@pytest.mark.parametrize("workers", [2, 1])
def test_epochs_of_trainings_are_told_from_any_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, workers: int
) -> None:
    caplog.set_level(logging.INFO, "lvo_kedro")
    clock = progress.start([Step("segmentation", "train")], {})
    clock.begin("train")
    dataset = CaseDataset(path=str(tmp_path / "models"), files={}, resumable=True, workers=workers)
    dataset.save({f"fold_{k}": partial(train, 2) for k in range(2)})
    for fold in range(2):
        assert f"fold_{fold}: epoch 1 of 2, loss 0.50" in caplog.messages
    assert caplog.messages[-1] == "models: 2 of 2"
    assert clock.share == 1
    assert not list((tmp_path / "models").rglob(progress.TOLD + "*"))


def test_outside_of_a_run_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    progress.tell(1, 2)
    assert not list(tmp_path.iterdir())


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("lvo_kedro", level, __file__, 1, text, (), None)


def test_every_line_says_where_the_run_is() -> None:
    line = WhereFormatter().format
    assert re.fullmatch(r"\d\d:\d\d:\d\d hello", line(record("hello")))
    progress.start(STEPS, KNOWN).begin("train")
    assert re.search(
        r" segmentation: fold_1: epoch 2 of 9 \(1:20 left, run 1:30\)$",
        line(record("fold_1: epoch 2 of 9")),
    )
    first, second = line(record("a\nb", logging.ERROR)).split("\n")
    assert first.endswith(" segmentation: ERROR: a (1:20 left, run 1:30)")
    assert second == "b"
    progress.start(STEPS, {}).begin("train")
    assert line(record("begins")).endswith(" segmentation: begins (step 2 of 4)")
    progress.clock().advance(0.5)
    assert line(record("half")).endswith(" half (step 2 of 4, 0:00 left of it)")


def test_a_terminal_shows_lines_above_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    progress.start(STEPS, KNOWN).begin("train")
    terminal = Terminal()
    handler = BarHandler(terminal)
    handler.setFormatter(WhereFormatter())
    handler.show()
    handler.emit(record("vessels: 12 of 72"))
    handler.hide()
    written = terminal.getvalue()
    assert "vessels: 12 of 72" in written
    assert "train (2 of 4)" in written


def test_a_log_goes_to_a_file_and_leaves_a_users_own_handlers_alone(tmp_path: Path) -> None:
    root = logging.getLogger()
    own = logging.NullHandler()
    before = list(root.handlers)
    root.addHandler(own)
    log = Log()
    try:
        log.take_over()
        log.begin(tmp_path / "logs")
        root.error("one")
        log.end()
        root.error("two")
        assert own in root.handlers
    finally:
        root.handlers = before
    text = (tmp_path / "logs" / "run.log").read_text()
    assert text.endswith("ERROR: one\n")

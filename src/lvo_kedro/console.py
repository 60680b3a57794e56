"""The log of a run: lines that say where it is and, where a person looks on, a bar below them."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lvo_kedro.progress import clock, duration

if TYPE_CHECKING:
    from pathlib import Path

LOG = "run.log"
SIZE, KEPT = 5_000_000, 3
"""Bytes of a log file and how many older ones are kept."""


class WhereFormatter(logging.Formatter):
    """``20:14:05 priors: 24 of 72 (0:40 left, run 6:10)``.

    Args:
        time: How the line begins, as for :func:`time.strftime`.
    """

    def __init__(self, time: str = "%H:%M:%S ") -> None:
        super().__init__("%(message)s", time)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what spans several lines has the times behind its first one."""
        level = "" if record.levelno < logging.WARNING else f"{record.levelname}: "
        first, *rest = super().format(record).split("\n")
        step = clock().step
        where = f"{step.pipeline}: " if step and step.pipeline else ""
        begin = self.formatTime(record, self.datefmt) if self.datefmt else ""
        line = f"{begin}{where}{level}{first}{_time_left()}"
        return "\n".join([line, *rest])


def _time_left() -> str:
    """Say how long pipeline and run will take, or where the run is while nobody knows."""
    now = clock()
    if not now.step or not now.steps:
        return ""
    left = now.left()
    if left.run is not None and left.pipeline is not None:
        return f" ({duration(left.pipeline)} left, run {duration(left.run)})"
    rest = f", {duration(left.step)} left of it" if left.step is not None else ""
    return f" (step {now.number} of {len(now.steps)}{rest})"


class BarHandler(logging.Handler):
    """Writes lines to a terminal, above a bar that shows the step and the run.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.console = Console(file=stream, highlight=False)
        self._live = Live(
            console=self.console,
            get_renderable=_bar,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            style = "red" if record.levelno >= logging.ERROR else None
            self.console.print(Text(self.format(record), style=style or ""))
        except Exception:
            self.handleError(record)

    def show(self) -> None:
        """Show the bar until :meth:`hide`."""
        self._live.start()

    def hide(self) -> None:
        """Take the bar away."""
        self._live.stop()


def _bar() -> Table | Text:
    now = clock()
    if not now.step or not now.steps:
        return Text("")
    row = Table.grid(padding=(0, 1))
    row.add_row(
        Text(f"{now.step.node} ({now.number} of {len(now.steps)})", overflow="ellipsis"),
        ProgressBar(total=1.0, completed=now.whole(), width=20),
        Text(_time_left(), no_wrap=True),
    )
    return row


class Log:
    """What of a run is seen: lines, a bar in a terminal, and a file.

    Takes the place of plain handlers of the root logger; where someone has set up a log of their
    own (``conf/logging.yml``, ``KEDRO_LOGGING_CONFIG``), that stays as it is.
    """

    def __init__(self) -> None:
        self._bar: BarHandler | None = None
        self._file: logging.Handler | None = None

    def take_over(self) -> None:
        """Write lines that say where the run is, from now on."""
        root = logging.getLogger()
        for handler in list(root.handlers):
            if type(handler) is not logging.StreamHandler:
                continue
            if handler.stream is sys.stderr and sys.stderr.isatty():
                root.removeHandler(handler)
                self._bar = BarHandler(handler.stream)
                self._bar.setFormatter(WhereFormatter(""))  # 80 columns are few
                root.addHandler(self._bar)
            else:
                handler.setFormatter(WhereFormatter())

    def begin(self, folder: Path | None) -> None:
        """Show the bar, and write to ``folder`` as well."""
        if self._bar:
            self._bar.show()
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = RotatingFileHandler(
                folder / LOG, maxBytes=SIZE, backupCount=KEPT, encoding="utf-8"
            )
            self._file.setFormatter(WhereFormatter("%Y-%m-%d %H:%M:%S "))
            logging.getLogger().addHandler(self._file)

    def end(self) -> None:
        """Take the bar away and close the file."""
        if self._bar:
            self._bar.hide()
        if self._file:
            logging.getLogger().removeHandler(self._file)
            self._file.close()
            self._file = None

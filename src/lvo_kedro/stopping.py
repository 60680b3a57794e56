"""A run that is told to stop (SIGTERM, Ctrl-C) ends within seconds and leaves nothing behind.

A Python signal handler runs between two bytecodes of the main thread, and a registration may stay
in compiled code for a minute without ever letting another thread run. So each run has a small
process beside it (:mod:`lvo_kedro.guard`). Signals reach it through a pipe that Python writes to
from its C handler (``signal.set_wakeup_fd``). Where the run cannot end by itself in time, or was
killed, the guard ends what is left of it.

All that a run starts has :func:`scratch` as its ``TMPDIR``: by this it is recognised, and temporary
files of whoever is killed are gone with one folder.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

POSIX = os.name == "posix"
DONE = b"\0"
"""What a run that has ended tells its guard; no signal has this number."""
LAST_WORD = "Stopped. Nothing that was finished is lost: the same command goes on from there."
TEMPORARY = "TMPDIR"

_runs = threading.local()


class Stoppable:
    """One run, from its first step until it has ended, however that comes.

    Signals are handled only where that is ours to do: in the main thread, where nobody else handles
    them, and Ctrl-C only of a command line. In a notebook it stays a ``KeyboardInterrupt``; what
    the run holds is then released when the next one starts or the process ends.

    Args:
        tracking: Folder of the embedded database, in which open runs are listed.
    """

    def __init__(self, tracking: Path) -> None:
        self._tracking = tracking
        self._actions: list[Callable[[], object]] = []
        self._handlers: dict[int, Any] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._word = -1
        self._temporary: tuple[str | None, str | None] = (None, None)
        self._open = self._told = False

    def begin(self) -> None:
        """Handle signals from now on, and set a guard."""
        _runs.current, self._open = self, True
        folder = scratch()
        atexit.register(self.clean_up)
        if POSIX:
            signals = self._signals()
            self._word = self._set_guard(folder, signals)
            self._handle(signals)
        self._temporary = (os.environ.get(TEMPORARY), tempfile.tempdir)
        os.environ[TEMPORARY] = tempfile.tempdir = str(folder)

    def end(self) -> None:
        """Put everything back as it was."""
        atexit.unregister(self.clean_up)
        _runs.current, self._open = None, False
        self._actions.clear()
        variable, tempfile.tempdir = self._temporary
        os.environ.pop(TEMPORARY, None)
        if variable is not None:
            os.environ[TEMPORARY] = variable
        if self._handlers:
            signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
        self._dismiss_guard()

    def clean_up(self) -> None:
        """Do what the hooks would have done, had Kedro told them that the run was interrupted."""
        if not self._open:
            return
        end_processes(scratch())
        while self._actions:
            try:
                self._actions.pop()()
            except Exception as error:  # the rest must be done all the same
                logger.warning("while stopping: %s", type(error).__name__)
        told = self._told
        self.end()
        if told:
            click.echo(LAST_WORD, err=True)

    def when_stopped(self, action: Callable[[], object]) -> None:
        """Call ``action`` if the run is stopped, the latest first."""
        self._actions.append(action)

    def _signals(self) -> list[int]:
        """Return the signals that are ours to handle."""
        if threading.current_thread() is not threading.main_thread():
            return []
        ours = [signal.SIGTERM] if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else []
        python = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        command_line = click.get_current_context(silent=True) is not None
        return [*ours, signal.SIGINT] if python and command_line else [*ours]

    def _handle(self, signals: list[int]) -> None:
        for number in signals:
            self._handlers[number] = signal.signal(number, self._stop)
            _default_afterwards(number)
        if signals:
            before = signal.set_wakeup_fd(self._word, warn_on_full_buffer=False)
            if before != -1:  # an event loop's; our handler writes to the guard as well
                signal.set_wakeup_fd(before)

    def _stop(self, number: int, _: object) -> NoReturn:
        self._told = True
        os.write(self._word, bytes([number]))
        raise SystemExit(128 + number)

    def _set_guard(self, folder: Path, signals: list[int]) -> int:
        """Start the guard; return the descriptor by which it is told."""
        reader, word = os.pipe()
        os.set_blocking(word, False)
        numbers = ",".join(str(int(number)) for number in signals)
        command = [sys.executable, "-m", "lvo_kedro.guard", str(os.getpid()), numbers]
        self._guard = subprocess.Popen(  # noqa: S603
            [*command, str(folder), str(self._tracking)],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is not for it
        )
        os.close(reader)
        return word

    def _dismiss_guard(self) -> None:
        if self._guard:
            with suppress(OSError):  # somebody has killed it
                os.write(self._word, DONE)
            os.close(self._word)
            self._guard.wait()
            self._guard = None


def when_stopped(action: Callable[[], object]) -> None:
    """Call ``action`` if this thread's run is stopped; nothing is noted where there is none."""
    current: Stoppable | None = vars(_runs).get("current")
    if current:
        current.when_stopped(action)


def leave_to_the_run() -> None:
    """Let a worker ignore Ctrl-C, which a terminal sends to it as well: its run ends it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def scratch() -> Path:
    """Return the folder of this process for temporary files, which is gone when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="lvo-run-"))
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not in a process that was forked
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def end_processes(folder: Path) -> None:
    """End all processes whose temporary files go to ``folder``, but not this one.

    Left alone are those that clear away shared memory and semaphores: they end when all others
    have, once that is done.
    """
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(TEMPORARY) == str(folder)
            if ours and process.pid != os.getpid():
                if not any("resource_tracker" in part for part in process.cmdline()):
                    process.kill()
                    found.append(process)
        except psutil.Error:  # somebody else's, or it has just ended
            continue
    psutil.wait_procs(found, timeout=2)


def _default_afterwards(number: int) -> None:
    """Let a second signal end the process at once, also while it is in compiled code.

    The status is then that of the signal. Where the C library cannot do it, the guard kills.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "sysv_signal"):
        return
    for function in (library.signal, library.sysv_signal):
        function.argtypes, function.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    library.sysv_signal(number, library.signal(number, None))

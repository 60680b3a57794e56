"""Work on one case, so that it is done to the end or not at all, and whatever happens is told."""

from __future__ import annotations

import logging
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from lvo_kedro.artifacts import PART, clear_parts
from lvo_kedro.datasets.fields import write_fields
from lvo_kedro.datasets.fingerprint import arguments_of
from lvo_kedro.datasets.names import withhold_names
from lvo_kedro.datasets.records import (
    DONE,
    FAILED,
    RUNNING,
    all_files,
    describe_files,
    read_record,
    write_record,
)
from lvo_kedro.errors import CaseError
from lvo_kedro.options import Options
from lvo_kedro.progress import told_in

logger = logging.getLogger(__name__)

Task = Callable[..., Mapping[str, Any]]
"""What a node returns for a case: called without arguments, gives the case's files by field."""


class Outcome(NamedTuple):
    """How one case ended."""

    name: str
    state: str
    error: str = ""


class Job(NamedTuple):
    """One case to compute.

    Attributes:
        folder: Where its files go; named by the case.
        task: What is computed.
        fingerprint: Digest of all that goes into it.
        inputs: Digests of the code and of each argument.
        files: Dataset of each file.
        resumable: The task works in its folder and goes on from what an earlier attempt left there.
        attempt: Tells the attempts at a case apart.
    """

    folder: Path
    task: Task
    fingerprint: str
    inputs: Mapping[str, str]
    files: Mapping[str, Any]
    resumable: bool
    attempt: str

    @property
    def name(self) -> str:
        """The case."""
        return self.folder.name

    @property
    def place(self) -> Path:
        """Where it is computed: beside its folder, so that this is never half, unless resumed."""
        return self.folder if self.resumable else part_of(self.folder)

    def begun(self, attempt: str | None = None) -> bool:
        """Tell whether an attempt at it was begun and did not end; of these inputs, by default."""
        record = read_record(self.place)
        known = record.get("attempt") == attempt if attempt else True
        same = record.get("fingerprint") == self.fingerprint
        return record.get("state") == RUNNING and same and known

    def is_risky(self) -> bool:
        """Tell whether it may have taken down the process of an earlier attempt.

        A training that was begun and did not end is as good as any.
        """
        record = read_record(self.folder)
        same = record.get("fingerprint") == self.fingerprint
        return (same and bool(record.get("lost"))) or (not self.resumable and self.begun())

    def outcome(self) -> Outcome | None:
        """Return how it ended, if it has ended."""
        record = read_record(self.folder)
        ended = record.get("state") in (DONE, FAILED) and record.get("attempt") == self.attempt
        return Outcome(self.name, record["state"], record.get("error", "")) if ended else None


def part_of(folder: Path) -> Path:
    """Return where the case of a folder is computed before it takes its place."""
    return folder.with_name(f".{folder.name}{PART}")


def compute(job: Job) -> Outcome:
    """Compute one case; an error is its outcome.

    A cluster asks once more for what has ended where it lost the answer: then that is given again.
    """
    ended = job.outcome()
    if ended:
        return ended
    start, record = time.monotonic(), _begin(job)
    try:
        with told_in(job.place) if job.resumable else nullcontext():
            fields = job.task(folder=job.place) if job.resumable else job.task()
        written = write_fields(job.place, fields, job.files)
        names = all_files(job.place) if job.resumable else written
        record |= {"state": DONE, "written": describe_files(job.place, names)}
    except Exception as error:
        record |= _failure(job, error)
    except BaseException:
        if not job.resumable:  # stopped on purpose: nothing for a later run to wonder about
            shutil.rmtree(job.place, ignore_errors=True)
        raise
    return _end(job, record, time.monotonic() - start)


def give_up(job: Job, error: str) -> Outcome:
    """Record a case that ended without a word of its own; the next run tries it again."""
    record = _begin(job) | {"state": FAILED, "error": error, "refused": False}
    record["lost"] = True
    return _end(job, record, 0.0)


def _begin(job: Job) -> dict[str, Any]:
    work = job.place
    if work.exists() and not (
        job.resumable and read_record(work).get("fingerprint") == job.fingerprint
    ):
        # nothing of other inputs may stay for the task to go on from; the record goes first, lest a
        # folder that is half cleared when the run is stopped pass for one that is done
        write_record(work, {})
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    clear_parts(work)
    record = {
        "fingerprint": job.fingerprint,
        "inputs": dict(job.inputs),
        "attempt": job.attempt,
        "state": RUNNING,
        "options": options_of(job.task),
    }
    write_record(work, record)
    return record


def _failure(job: Job, error: Exception) -> dict[str, Any]:
    refused, message = isinstance(error, CaseError) and error.of_case, str(error)
    if not isinstance(error, CaseError):
        message = withhold_names(message, job.task, job.folder)
        logger.debug("%s", withhold_names(traceback.format_exc(), job.task, job.folder))
        message = f"{type(error).__name__}: {message} ({_origin(error)})"
    return {"state": FAILED, "error": message, "refused": refused}


def _end(job: Job, record: dict[str, Any], seconds: float) -> Outcome:
    write_record(job.place, record | {"seconds": round(seconds, 2)})
    if not job.resumable:
        shutil.rmtree(job.folder, ignore_errors=True)
        job.place.rename(job.folder)
    return Outcome(job.name, record["state"], record.get("error", ""))


def _origin(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def options_of(task: Task) -> dict[str, Any]:
    """Return the options among what a task was given, by the names of its function's arguments."""
    return {
        name: value.model_dump(mode="json")
        for name, value in arguments_of(task).items()
        if isinstance(value, Options)
    }

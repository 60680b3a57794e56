"""One folder per case, computed in parallel, resumed, and never silently incomplete."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
from kedro.io import AbstractDataset, DatasetError

from lvo_kedro.artifacts import PART, clear_parts, digest_of, write_json
from lvo_kedro.datasets import workers
from lvo_kedro.datasets.digests import remembered_in
from lvo_kedro.datasets.fields import dataset_at, field_of, typed_files
from lvo_kedro.datasets.fingerprint import inputs_of
from lvo_kedro.datasets.names import CASE_NAME
from lvo_kedro.datasets.records import (
    DONE,
    FAILED,
    Check,
    check_files,
    read_record,
    renew_times,
)
from lvo_kedro.datasets.watch import Watch
from lvo_kedro.datasets.work import Job, Outcome, Task

logger = logging.getLogger(__name__)

INDEX = "cases.json"
DIGESTS = "digests.json"


class Case(Mapping[str, Any]):
    """One computed case: its fields are read from their files when asked for.

    Attributes:
        name: The case's id (or the fold's).
        folder: Where its files lie.
        fingerprint: Digest of all that went into it.
    """

    def __init__(self, name: str, folder: Path, files: Mapping[str, Any], digest: str) -> None:
        self.name, self.folder, self.fingerprint = name, folder, digest
        self._files = {field_of(file): (file, kind) for file, kind in files.items()}

    def __getitem__(self, field: str) -> Any:
        if field not in self:
            raise KeyError(
                f"case {self.name} has no '{field}', only {', '.join(self) or 'nothing'}"
            )
        file, kind = self._files[field]
        return dataset_at(kind, self.folder / file).load()

    def __contains__(self, field: object) -> bool:
        return field in self._files and (self.folder / self._files[str(field)][0]).exists()

    def __iter__(self) -> Iterator[str]:
        return (field for field in self._files if field in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def options(self) -> dict[str, Any]:
        """The options that it was computed with, by the names of the function's arguments."""
        options: dict[str, Any] = read_record(self.folder).get("options", {})
        return options

    def path(self, field: str) -> Path:
        """Return the file behind ``field``, for readers that map it into memory."""
        return self.folder / self._files[field][0]


class Cases(dict[str, Case]):
    """The cases that were computed, by id, and beside them those that failed.

    Attributes:
        failed: Id and error message of every case that could not be computed.
    """

    def __init__(self, done: Mapping[str, Case], failed: Mapping[str, str]) -> None:
        super().__init__(done)
        self.failed = dict(failed)

    def records(self, field: str) -> dict[str, Any]:
        """Return one (small) field of every case that has it, by case id."""
        return {name: case[field] for name, case in self.items() if field in case}


class End(NamedTuple):
    """What is kept in memory of a record: that of thousands of cases would take too much.

    Attributes:
        failed: Whether the case could not be computed.
        says: The error of one that failed, the digest of one that is done.
    """

    failed: bool
    says: str


def _end(record: Mapping[str, Any]) -> End:
    failed = record["state"] == FAILED
    return End(failed, record["error" if failed else "fingerprint"])


class CaseDataset(AbstractDataset[Mapping[str, Task], Cases]):
    """A folder per case, each with the files that ``files`` names.

    Args:
        path: The folder of all cases.
        files: File names, whose suffix tells the type
            (:data:`~lvo_kedro.datasets.fields.TYPES`), or dataset type (or definition) by file
            name. A field is the name up to its first dot; a task may leave fields out.
        workers: Worker processes; 1 runs the cases in this process, one after the other (needed
            where they share a GPU or a model in memory).
        threads: Threads that each of them computes on. Sums of many floats, and with them what a
            network learns, differ in their last digits with the number of threads, never with that
            of workers. By default one per worker, and all cores where there is one worker; the
            workers of a Dask cluster have their own.
        scheduler: Address of a Dask scheduler (extra ``dask``) on whose workers the cases run
            instead. They must see the same files under the same paths.
        resumable: The task gets its ``folder`` and works in it; what it left there when it was
            stopped is kept for the next attempt, unless its inputs have changed. A task need not
            find out whether what it finds is out of date: then it finds nothing.
        stop_on_error: End the run with the first failure instead of recording it. For folds: a
            cross-validation with a fold missing is none.
        metadata: Ignored here; kedro-viz reads it.

    Raises:
        DatasetError: On load, when nothing was computed yet; on save, when no case succeeded.
    """

    def __init__(
        self,
        *,
        path: str,
        files: Sequence[str] | Mapping[str, Any] = (),
        workers: int = 1,
        threads: int | None = None,
        scheduler: str | None = None,
        resumable: bool = False,
        stop_on_error: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._files = typed_files(files)
        self._workers = workers
        self._threads = threads
        self._scheduler = scheduler
        self._resumable = resumable
        self._stop_on_error = stop_on_error
        self._known: tuple[int, dict[str, End]] | None = None
        self.metadata = metadata

    def load(self) -> Cases:
        """Return the expected cases that are done, and the errors of those that failed.

        Their files are looked at by the first of a run's nodes that asks for them.
        """
        if self._known is None or self._known[0] != self._version():
            ends = {name: self._end_of(name) for name in self._expected()}
            self._known = (self._version(), ends)
        done, failed = {}, {}
        for name, end in self._known[1].items():
            if end.failed:
                failed[name] = end.says
            else:
                done[name] = Case(name, self._path / name, self._files, end.says)
        return Cases(done, failed)

    def _end_of(self, name: str) -> End:
        record = read_record(self._path / name)
        if record.get("state") != FAILED:
            there = record.get("state") == DONE
            check = check_files(self._path / name, record) if there else Check("not finished")
            if check.damage:
                raise DatasetError(
                    f"case {name} of {self._path}: {check.damage}; run its pipeline again, which "
                    "computes what is missing"
                )
        return _end(record)

    def _version(self) -> int:
        """Return when the list of cases was last written, as every run does that saves them."""
        index = self._path / INDEX
        return index.stat().st_mtime_ns if index.is_file() else 0

    def save(self, data: Mapping[str, Task]) -> None:
        """Run the tasks of all cases that are missing or whose inputs have changed."""
        for name in data:
            if not CASE_NAME.fullmatch(name):
                raise DatasetError(f"'{name}' cannot name a case: letters, digits, '.', '_', '-'")
        self._path.mkdir(parents=True, exist_ok=True)
        write_json(self._path / INDEX, {"expected": sorted(data)})
        jobs = self.jobs(data)
        checks = {job.name: self._check(job) for job in jobs}
        due = [job for job in jobs if checks[job.name].damage]
        for job in jobs:
            if checks[job.name].touched:
                renew_times(job.folder)
        self._clear_parts({job.place for job in due})
        label = self._path.name
        if due:
            logger.info("%s: %d of %d due", label, len(due), len(data))
        folders = [job.folder for job in due] if self._resumable else []
        with Watch(label, folders, len(due), len(data)) as watch:
            self._follow(watch, self._outcomes(due))
        # what was not due has just been checked
        ends = {name: _end(read_record(self._path / name)) for name in sorted(data)}
        self._known = (self._version(), ends)
        if data and all(end.failed for end in ends.values()):
            first = next(iter(ends.values()))
            raise DatasetError(f"{label}: every case failed, the first with: {first.says}")

    def _clear_parts(self, wanted: Collection[Path]) -> None:
        """Remove what killed runs left, but for cases that are computed next."""
        clear_parts(self._path)
        for work in self._path.glob(f".*{PART}"):
            if work not in wanted:
                shutil.rmtree(work)

    def jobs(self, data: Mapping[str, Task], *, remember: bool = True) -> list[Job]:
        """Return what there is to compute, all of it, with the digests of what goes into it.

        Args:
            data: A task for each case.
            remember: Keep the digests of a user's files, so that they are not read every time.
        """
        attempt, files = secrets.token_hex(8), digest_of(self._files)
        with remembered_in(self._path / DIGESTS, write=remember):
            inputs = {name: inputs_of(task) for name, task in data.items()}
        digests = {name: digest_of([parts, files]) for name, parts in inputs.items()}
        return [
            Job(
                *(self._path / name, task, digests[name], inputs[name]),
                *(self._files, self._resumable, attempt),
            )
            for name, task in data.items()
        ]

    def reason(self, job: Job) -> str:
        """Return in words why a case is to be computed; nothing where it is there, or refused."""
        return self._check(job).damage

    def _check(self, job: Job) -> Check:
        record = read_record(job.folder)
        if not record:
            return Check("was begun" if job.begun() else "new")
        if record.get("fingerprint") != job.fingerprint:
            before = record.get("inputs", {})
            changed = [name for name, digest in job.inputs.items() if before.get(name) != digest]
            return Check(f"changed: {', '.join(changed)}" if changed else "changed: files")
        if record["state"] == DONE:
            return check_files(job.folder, record)
        if record["state"] == FAILED:
            # the same data give the same refusal; anything else (memory, disk) may pass next time.
            # A run that ended with a failure must not go on without that case the second time
            settled = record["refused"] and not self._stop_on_error
            return Check() if settled else Check("failed the last time")
        return Check("was begun")

    def _outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        if self._scheduler and jobs:
            return workers.on_cluster(jobs, self._scheduler)
        count = min(self._workers if self._workers > 0 else joblib.cpu_count(), len(jobs))
        if count <= 1:
            return workers.in_this_process(jobs, self._threads)
        return workers.in_processes(jobs, count, self._threads)

    def _follow(self, watch: Watch, outcomes: Iterator[Outcome]) -> None:
        """Count the cases that are done, and log every failure as it happens."""
        for outcome in outcomes:
            if outcome.state == FAILED:
                logger.error("%s: case %s failed: %s", watch.label, outcome.name, outcome.error)
                if self._stop_on_error:
                    raise DatasetError(f"{watch.label}: {outcome.name} failed: {outcome.error}")
            watch.count(outcome.name)

    def _expected(self) -> list[str]:
        index = self._path / INDEX
        if not index.is_file():
            raise DatasetError(f"nothing was computed in {self._path} yet")
        expected: list[str] = json.loads(index.read_text(encoding="utf-8"))["expected"]
        return expected

    def _exists(self) -> bool:
        try:
            names = self._expected()
        except DatasetError:
            return False
        return all(read_record(self._path / n).get("state") in (DONE, FAILED) for n in names)

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "files": list(self._files)}


class FoldDataset(CaseDataset):
    """A folder per fold: trainings, which are resumed where they were stopped.

    A training gets its ``folder`` and writes what it likes there. The run ends with the first that
    fails: a cross-validation with a fold missing is none.

    Args:
        path: The folder of all folds.
        workers: Folds that train side by side, and likewise all others.
    """

    def __init__(
        self,
        *,
        path: str,
        workers: int = 1,
        threads: int | None = None,
        scheduler: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            path=path,
            workers=workers,
            threads=threads,
            scheduler=scheduler,
            resumable=True,
            stop_on_error=True,
            metadata=metadata,
        )

"""One folder per case, computed in parallel, resumed, and never silently incomplete."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import multiprocessing
import os
import re
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import joblib
from joblib.externals.loky import process_executor
from kedro.io import AbstractDataset, DatasetError
from threadpoolctl import threadpool_limits

from lvo_kedro.artifacts import PART, clear_parts, write_json
from lvo_kedro.datasets.fingerprint import fingerprint
from lvo_kedro.datasets.names import withhold_names
from lvo_kedro.datasets.watch import Watch
from lvo_kedro.errors import CaseError
from lvo_kedro.options import Options
from lvo_kedro.progress import told_in
from lvo_kedro.stopping import leave_to_the_run

logger = logging.getLogger(__name__)

Task = Callable[..., Mapping[str, Any]]
"""What a node returns for a case: called without arguments, gives the case's files by field."""

RECORD = "case.json"
INDEX = "cases.json"
DONE, FAILED, RUNNING = "done", "failed", "running"
WORKER_GROWTH = 1_000_000_000
"""Bytes by which a worker may grow; loky replaces it then, since it takes it for leaking."""
TYPES: Mapping[str, Any] = {
    ".nii.gz": "lvo_kedro.datasets.NiftiDataset",
    ".json": "json.JSONDataset",
    ".csv": {"type": "pandas.CSVDataset", "save_args": {"index": False}},
    ".png": {"type": "lvo_kedro.datasets.FigureDataset", "svg": False},
    ".safetensors": {
        "type": "kedro_datasets_experimental.safetensors.SafetensorsDataset",
        "backend": "torch",
    },
    ".html": "text.TextDataset",
    ".md": "text.TextDataset",
}
"""Dataset of a file by its suffix, where the catalog names none."""
CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Case(Mapping[str, Any]):
    """One computed case: its fields are read from their files when asked for.

    Attributes:
        name: The case's id (or the fold's).
        folder: Where its files lie.
        fingerprint: Digest of all that went into it.
    """

    def __init__(self, name: str, folder: Path, files: Mapping[str, Any], digest: str) -> None:
        self.name, self.folder, self.fingerprint = name, folder, digest
        self._files = {file.split(".")[0]: (file, kind) for file, kind in files.items()}

    def __getitem__(self, field: str) -> Any:
        if field not in list(self):
            raise KeyError(
                f"case {self.name} has no '{field}', only {', '.join(self) or 'nothing'}"
            )
        file, kind = self._files[field]
        return _dataset(kind, self.folder / file).load()

    def __iter__(self) -> Iterator[str]:
        return (f for f, (file, _) in self._files.items() if (self.folder / file).exists())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def options(self) -> dict[str, Any]:
        """The options that it was computed with, by the names of the function's arguments."""
        options: dict[str, Any] = _read_record(self.folder).get("options", {})
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
        return {name: case[field] for name, case in self.items() if field in list(case)}


class Outcome(NamedTuple):
    """How one case ended."""

    name: str
    state: str
    error: str = ""


class CaseDataset(AbstractDataset[Mapping[str, Task], Cases]):
    """A folder per case, each with the files that ``files`` names.

    Args:
        path: The folder of all cases.
        files: File names, whose suffix tells the type (:data:`TYPES`), or dataset type (or
            definition) by file name. A field is the name up to its first dot; a task may leave
            fields out.
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
        self.metadata = metadata

    def load(self) -> Cases:
        """Return the expected cases that are done, and the errors of those that failed."""
        done, failed = {}, {}
        for name in self._expected():
            record = _read_record(self._path / name)
            if record.get("state") == DONE:
                folder = self._path / name
                done[name] = Case(name, folder, self._files, record["fingerprint"])
            elif record.get("state") == FAILED:
                failed[name] = record["error"]
            else:
                raise DatasetError(
                    f"case {name} of {self._path} was not finished; run its pipeline again"
                )
        return Cases(done, failed)

    def save(self, data: Mapping[str, Task]) -> None:
        """Run the tasks of all cases that are missing or whose inputs have changed."""
        for name in data:
            if not CASE_NAME.fullmatch(name):
                raise DatasetError(f"'{name}' cannot name a case: letters, digits, '.', '_', '-'")
        self._path.mkdir(parents=True, exist_ok=True)
        clear_parts(self._path)
        write_json(self._path / INDEX, {"expected": sorted(data)})
        digests = {name: fingerprint([task, self._files]) for name, task in data.items()}
        due = [name for name in data if not self._is_settled(name, digests[name])]
        label = self._path.name
        if due:
            logger.info("%s: %d of %d due", label, len(due), len(data))
        run = functools.partial(_run_case, files=self._files, resumable=self._resumable)
        jobs = (joblib.delayed(run)(self._path / n, data[n], digests[n]) for n in due)
        folders = [self._path / name for name in due] if self._resumable else []
        with Watch(label, folders, len(due), len(data)) as watch:
            self._follow(watch, self._outcomes(len(due), jobs))
        if data and all(_read_record(self._path / name)["state"] == FAILED for name in data):
            error = _read_record(self._path / next(iter(data)))["error"]
            raise DatasetError(f"{label}: every case failed, the first with: {error}")

    def _outcomes(self, count: int, jobs: Iterable[Any]) -> Iterator[Outcome]:
        if self._scheduler and count:
            from distributed import Client  # noqa: PLC0415 - only with the extra "dask"

            with Client(self._scheduler), joblib.parallel_config(backend="dask"):
                yield from joblib.Parallel(return_as="generator_unordered")(jobs)
            return
        workers = min(self._workers if self._workers > 0 else joblib.cpu_count(), count)
        if workers <= 1:
            with threadpool_limits(self._threads):
                yield from (function(*args, **kwargs) for function, args, kwargs in jobs)
            return
        started = {
            "inner_max_num_threads": self._threads or 1,
            "initializer": _prepare_worker,
            "initargs": (os.getpid(),),
        }
        with joblib.parallel_config(backend="loky", **started):
            yield from joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(jobs)

    def _follow(self, watch: Watch, outcomes: Iterator[Outcome]) -> None:
        """Count the cases that are done, and log every failure as it happens."""
        for outcome in outcomes:
            if outcome.state == FAILED:
                logger.error("%s: case %s failed: %s", watch.label, outcome.name, outcome.error)
                if self._stop_on_error:
                    raise DatasetError(f"{watch.label}: {outcome.name} failed: {outcome.error}")
            watch.count(outcome.name)

    def _is_settled(self, name: str, digest: str) -> bool:
        record = _read_record(self._path / name)
        if record.get("fingerprint") != digest:
            return False
        if record.get("state") == DONE:
            return all((self._path / name / file).exists() for file in record["written"])
        # the same data gives the same refusal; anything else (memory, disk) may pass next time. A
        # run that ended with a failure must not go on without that case the second time
        refused = record.get("state") == FAILED and bool(record.get("refused"))
        return refused and not self._stop_on_error

    def _expected(self) -> list[str]:
        index = self._path / INDEX
        if not index.is_file():
            raise DatasetError(f"nothing was computed in {self._path} yet")
        expected: list[str] = json.loads(index.read_text())["expected"]
        return expected

    def _exists(self) -> bool:
        try:
            names = self._expected()
        except DatasetError:
            return False
        return all(_read_record(self._path / n).get("state") in (DONE, FAILED) for n in names)

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


def _prepare_worker(run: int) -> None:
    """See to it that the worker ends with the run, and not before.

    Workers stay from node to node. One that loads torch and trains a network grows by more than the
    300 MB that loky allows, and the next one would have to load everything again.
    """
    process_executor._MAX_MEMORY_LEAK_SIZE = WORKER_GROWTH
    leave_to_the_run()
    threading.Thread(target=_end_with, args=(run,), daemon=True).start()


def _end_with(run: int) -> None:
    """End this worker when the run that started it was killed.

    It would go on with the cases that it was given, and write where the next run does.
    """
    if os.name == "nt":
        multiprocessing.parent_process().join()  # type: ignore[union-attr] # a worker has one
    while os.name != "nt" and os.getppid() == run:
        time.sleep(0.5)
    os._exit(1)


def _run_case(
    folder: Path, task: Task, digest: str, *, files: Mapping[str, Any], resumable: bool
) -> Outcome:
    """Compute one case into ``folder``: in a folder beside it first, so that it is never half."""
    start = time.monotonic()
    work = folder if resumable else folder.with_name(f".{folder.name}{PART}")
    if work.exists() and not (resumable and _read_record(work).get("fingerprint") == digest):
        # nothing of other inputs may stay for the task to go on from; the record goes first, lest a
        # folder that is half cleared when the run is stopped pass for one that is done
        (work / RECORD).unlink(missing_ok=True)
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    clear_parts(work)
    record: dict[str, Any] = {"fingerprint": digest, "state": RUNNING, "options": options_of(task)}
    write_json(work / RECORD, record)
    try:
        with told_in(work) if resumable else nullcontext():
            fields = task(folder=work) if resumable else task()
        record |= {"state": DONE, "written": write_fields(work, fields, files)}
    except Exception as error:
        refused, message = isinstance(error, CaseError), str(error)
        if not refused:
            message = withhold_names(message, task, folder)
            logger.debug("%s", withhold_names(traceback.format_exc(), task, folder))
            message = f"{type(error).__name__}: {message} ({_origin(error)})"
        record |= {"state": FAILED, "error": message, "refused": refused}
    record["seconds"] = round(time.monotonic() - start, 2)
    write_json(work / RECORD, record)
    if not resumable:
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    return Outcome(folder.name, record["state"], record.get("error", ""))


def typed_files(files: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset of each file: the given one, or the one that its suffix tells."""
    given = files if isinstance(files, Mapping) else dict.fromkeys(files)
    return {name: kind or TYPES["." + name.split(".", 1)[1]] for name, kind in given.items()}


def write_fields(folder: Path, fields: Mapping[str, Any], files: Mapping[str, Any]) -> list[str]:
    """Write each field to its file, by the dataset that ``files`` names; return the files."""
    by_field = {file.split(".")[0]: file for file in files}
    unknown = sorted(set(fields) - set(by_field))
    if unknown:
        raise DatasetError(f"the catalog names no file for {', '.join(unknown)}")
    for field, value in fields.items():
        _dataset(files[by_field[field]], folder / by_field[field]).save(value)
    return sorted(by_field[field] for field in fields)


def options_of(task: Task) -> dict[str, Any]:
    """Return the options among what a task was given, by the names of its function's arguments."""
    if not isinstance(task, functools.partial):
        return {}
    given = inspect.signature(task.func).bind_partial(*task.args, **task.keywords).arguments
    return {
        name: value.model_dump(mode="json")
        for name, value in given.items()
        if isinstance(value, Options)
    }


def _dataset(definition: Any, path: Path) -> AbstractDataset[Any, Any]:
    config = dict(definition) if isinstance(definition, Mapping) else {"type": definition}
    return AbstractDataset.from_config(path.name, config | {"filepath": path.as_posix()})


def _origin(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _read_record(folder: Path) -> dict[str, Any]:
    file = folder / RECORD
    if not file.is_file():
        return {}
    record: dict[str, Any] = json.loads(file.read_text())
    return record

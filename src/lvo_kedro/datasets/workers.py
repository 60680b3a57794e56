"""Where cases are computed: in this process, in processes beside it, or on a Dask cluster.

Each way yields the outcome of every case as it ends. A case that takes its process down, as one
does for which memory runs out, costs that case alone.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

import joblib
from joblib.externals.loky import process_executor
from kedro.io import DatasetError
from threadpoolctl import threadpool_limits

from lvo_kedro.datasets.work import Job, Outcome, compute, give_up
from lvo_kedro.stopping import leave_to_the_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORKER_GROWTH = 1_000_000_000
"""Bytes by which a worker may grow; loky replaces it then, since it takes it for leaking."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
REACH_SECONDS = 30
"""How long a cluster's scheduler may take to answer."""


def in_this_process(jobs: Sequence[Job], threads: int | None) -> Iterator[Outcome]:
    """Compute cases one by one; one that took an earlier run down gets a process of its own."""
    with threadpool_limits(threads):
        for job in jobs:
            yield alone(job, threads) if job.is_risky() else compute(job)


def in_processes(jobs: Sequence[Job], workers: int, threads: int | None) -> Iterator[Outcome]:
    """Compute cases in worker processes, which stay from node to node."""
    left = {job.name: job for job in jobs}
    started = {
        "inner_max_num_threads": threads or 1,
        "initializer": _prepare_worker,
        "initargs": (os.getpid(),),
    }
    while left:
        tasks = [joblib.delayed(compute)(job) for job in left.values()]
        try:
            with joblib.parallel_config(backend="loky", **started):
                parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
                for outcome in parallel(tasks):
                    del left[outcome.name]
                    yield outcome
        except BrokenProcessPool:
            # all workers end with the one that was killed: those that were at work are suspects
            ended = {job.name: job.outcome() for job in left.values()}
            suspects = [job for job in left.values() if job.begun(job.attempt)]
            if not suspects and not any(ended.values()):
                raise
            for name, known in ended.items():
                if known:
                    del left[name]
                    yield known
            for job in suspects:
                del left[job.name]
                yield alone(job, threads)


def alone(job: Job, threads: int | None) -> Outcome:
    """Compute one case in a process of its own, which it may take down."""
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads or 1))
    executor = process_executor.ProcessPoolExecutor(
        1, initializer=_prepare_worker, initargs=(os.getpid(),), env=limits
    )
    try:
        outcome: Outcome = executor.submit(compute, job).result()
        return outcome
    except BrokenProcessPool as error:
        return give_up(job, lost_process(" ".join(re.findall(r"SIG\w+|EXIT\(\d+\)", str(error)))))
    finally:
        executor.shutdown(kill_workers=True)


def lost_process(how: str) -> str:
    """Return the error of a case that took its process down."""
    return (
        f"found its process ended from outside ({how or 'no exit code'}), as systems do when "
        "memory runs out; expected it to end by itself; use fewer 'workers' (globals.yml) or a "
        "machine with more memory, or take the case out: the next run tries it again"
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


def on_cluster(jobs: Sequence[Job], address: str) -> Iterator[Outcome]:
    """Compute cases on the workers of a Dask cluster, which see the same files.

    A worker that is lost is replaced by another for its case, as often as Dask is set to
    (``distributed.scheduler.allowed-failures``); then the case has failed.

    Raises:
        DatasetError: The scheduler cannot be reached, or is there no longer.
    """
    from distributed import Client, as_completed  # noqa: PLC0415 - only with the extra "dask"
    from distributed.scheduler import KilledWorker  # noqa: PLC0415

    remedy = "everything that ended is kept: start it, and the same run again"
    try:
        client = Client(address, timeout=REACH_SECONDS)
    except OSError as error:
        raise DatasetError(f"no Dask scheduler answers at {address}; {remedy}") from error
    gone = f"the Dask scheduler at {address} went away; {remedy}"
    with client:
        waiting = {client.submit(compute, job, pure=False): job for job in jobs}
        for future in as_completed(list(waiting)):
            # Dask computes once more what is still wanted of a worker that died after the end
            job = waiting.pop(future)
            found = future.exception() if future.status == "error" else None
            if future.status == "finished":
                try:
                    outcome = future.result()
                except (OSError, CancelledError) as error:  # it died before it gave the answer
                    raise DatasetError(gone) from error
                yield outcome
            elif isinstance(found, KilledWorker):
                yield give_up(job, lost_process("its Dask workers were lost"))
            elif found is not None:
                raise found
            else:  # cancelled or lost
                raise DatasetError(gone)

"""A Dask cluster whose workers are SLURM jobs, as many as there is work: for ``scheduler``.

python examples/slurm/elastic.py (needs ``pip install dask-jobqueue``) prints the address that goes
into ``conf/local/globals.yml`` and serves until it is stopped.
"""

from __future__ import annotations

import signal

import click
from dask_jobqueue import SLURMCluster


def main() -> None:
    """Start the scheduler here, and workers of one thread where there is work."""
    cluster = SLURMCluster(
        cores=1,
        processes=1,
        memory="4GB",
        walltime="08:00:00",
        job_script_prologue=["export OMP_NUM_THREADS=1"],
        scheduler_options={"dashboard_address": None},
    )
    cluster.adapt(minimum_jobs=1, maximum_jobs=64)
    click.echo(f"scheduler: {cluster.scheduler_address}")
    signal.pause()


if __name__ == "__main__":
    main()

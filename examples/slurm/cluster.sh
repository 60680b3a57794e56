#!/usr/bin/env bash
# Per-case work on several nodes: sbatch examples/slurm/cluster.sh [options of kedro run]
# The run itself, and the networks' predictions, are on the first node; the project and its data lie on a
# file system that all nodes see under the same path.
#SBATCH --job-name=lvo
#SBATCH --nodes=4
#SBATCH --ntasks=64
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=4G
#SBATCH --time=24:00:00
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit it from the project folder}"
python="${PYTHON:-.venv/bin/python}"
if grep -qs '^scheduler:' conf/local/globals.yml; then
    echo "conf/local/globals.yml names a scheduler already; take it out, this job makes its own" >&2
    exit 1
fi

# an environment of this job's own: conf/local, and the address of this job's scheduler
env="slurm_${SLURM_JOB_ID:?}"
address_file="$PWD/.scheduler_$SLURM_JOB_ID.json"
cp -r conf/local "conf/$env"
trap 'rm -rf "conf/$env" "$address_file"; kill $(jobs -p) 2>/dev/null || true' EXIT

"$python" -m distributed.cli.dask_scheduler --port 0 --no-dashboard --scheduler-file "$address_file" &
until [ -s "$address_file" ]; do sleep 1; done
address=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$address_file")
printf '\nscheduler: %s\n' "$address" >> "conf/$env/globals.yml"

# one thread each, as on one machine; one that runs out of memory is started again
OMP_NUM_THREADS=1 srun "$python" -m distributed.cli.dask_worker \
    --scheduler-file "$address_file" --nthreads 1 --no-dashboard \
    --local-directory "${TMPDIR:-/tmp}" --death-timeout 60 &

"${KEDRO:-.venv/bin/kedro}" run --env "$env" "$@"

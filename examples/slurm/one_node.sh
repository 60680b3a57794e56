#!/usr/bin/env bash
# One job on one node, with all its cores: sbatch examples/slurm/one_node.sh [options of kedro run]
#SBATCH --job-name=lvo
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=24:00:00
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit it from the project folder}"

# workers: -1 takes what joblib counts, which must not be the cores of the whole node
export LOKY_MAX_CPU_COUNT="${SLURM_CPUS_PER_TASK:?}"
exec "${KEDRO:-.venv/bin/kedro}" run "$@"

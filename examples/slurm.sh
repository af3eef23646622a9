#!/bin/bash
# A pretraining of a day on the cards of one machine, which goes on after each interruption:
#   sbatch examples/slurm.sh data=files 'data.files=[notes/*.jsonl.zst]' +budget=24h run_dir=runs/day
# Words behind the script are those of `pretrain`. Adapt partition, cards and the environment to your cluster.
#SBATCH --job-name=bertinchamps
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --output=%x-%j.log

set -euo pipefail

VENV=${VENV:-$HOME/bertinchamps/.venv} # as `make demo` or the offline install set it up
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}
cards=${SLURM_GPUS_ON_NODE:-1}
threads=$((${SLURM_CPUS_PER_TASK:-8} / cards)) # of each process
export OMP_NUM_THREADS=$((threads > 0 ? threads : 1))

# Two minutes before the limit Slurm sends SIGTERM to this script. It is passed on, all processes write one checkpoint and end,
# and the job is queued again; resume=auto goes on there, and a run that is finished is not trained twice.
stopped=no training=
stop() {
    stopped=yes
    [ -z "$training" ] || kill -TERM "$training" 2>/dev/null || true
}
trap stop TERM
"$VENV/bin/torchrun" --standalone --nproc-per-node="$cards" -m bertinchamps.pretrain "$@" resume=auto &
training=$!
[ "$stopped" = no ] || stop # the signal came before the process was known
status=0
wait "$training" || status=$?
if [ "$stopped" = yes ]; then
    wait "$training" || true # the first wait ended with the signal
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$status"

#!/usr/bin/env bash
# Pretrain `crammed` on one GPU and print tokens/s and the share of the data-sheet peak (MFU).
#   scripts/gpu_pretraining.sh HOURS TRAIN_FILE HELD_OUT_FILE [KEY=VALUE …]
# Example: scripts/gpu_pretraining.sh 0.17 eltec_train.jsonl.zst eltec_valid.jsonl.zst
set -euo pipefail
hours=$1 train=$2 held_out=$3
shift 3
python -m bertinchamps.pretrain data=files "data.files=[$train]" "data.held_out_files=[$held_out]" \
  arch=crammed experiment=paper "budget.hours=$hours" runtime.device=cuda "$@"

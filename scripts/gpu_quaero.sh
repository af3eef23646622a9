#!/usr/bin/env bash
# The whole journey on one GPU: pretrain `crammed` on your texts, fine-tune it on QUAERO with both heads and three
# seeds, next to random weights, and report.
#   scripts/gpu_quaero.sh HOURS QUAERO TRAIN [TRAIN …]     e.g. 24 QUAERO_FrenchMed_brat.zip e3c.jsonl.zst eltec.jsonl.zst
set -euo pipefail
hours=$1 quaero=$2 texts=$(IFS=,; echo "${*:3}")
python -m bertinchamps.pretrain data=files "data.files=[$texts]" +budget=24h budget.hours="$hours" run_dir=runs/crammed resume=auto
for task in quaero_emea quaero_medline; do
  shared=(--multirun "task=$task" "task.path=$quaero" head=flat,nested seed=0,1,2)
  python -m bertinchamps.finetune "${shared[@]}" model=runs/crammed label=crammed
  python -m bertinchamps.finetune "${shared[@]}" model=scratch arch=crammed tokenizer.path=runs/crammed/model "label='crammed, scratch'"
done
python -m bertinchamps.report runs_dir=runs output=report

"""The parts of a pretraining run to which benchmarks.whole_run charges its time."""

from __future__ import annotations

BUILDING, FORWARD, BACKWARD, CLIPPING, OPTIMIZER, WAITING, MOVING, LOGGING, EVALUATION, CHECKPOINTS, ELSE, ENDING = (
    "imports, model and optimizer", "forward", "backward", "clipping", "optimizer", "waiting for data", "moving data",
    "logging and other hooks", "evaluation", "checkpoints and the model", "everything else of the loop",
    "summary and figure",
)  # fmt: skip
FIRST = "first update, above the others"
MODEL = (FORWARD, BACKWARD, CLIPPING, OPTIMIZER)
OF_UPDATES = (*MODEL, WAITING, MOVING, LOGGING, ELSE)
PARTS = (*OF_UPDATES, FIRST, EVALUATION, CHECKPOINTS, BUILDING, ENDING)

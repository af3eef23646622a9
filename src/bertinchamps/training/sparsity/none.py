"""Dense training."""

from __future__ import annotations

from bertinchamps.training.sparsity import Sparsity, sparsities


@sparsities.register("none")
class Dense(Sparsity):
    """All weights are trained."""

    holds_zeros = False
    commands = ("pretrain", "finetune")

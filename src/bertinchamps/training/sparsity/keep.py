"""The zeros of a model that was pretrained or pruned sparsely stay zeros while it is trained further, or fine-tuned."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bertinchamps.errors import UserError
from bertinchamps.training.sparsity import Sparsity, sparsities


@sparsities.register("keep")
class Keep(Sparsity):
    """Masks from the zeros of the loaded weights, whatever made them."""

    commands = ("pretrain", "finetune")

    def masks(
        self, stage: int, weights: Mapping[str, Tensor], before: Mapping[str, Tensor], seed: int
    ) -> dict[str, Tensor]:
        found = {name: weight.detach() != 0 for name, weight in weights.items()}
        if all(bool(mask.all()) for mask in found.values()):
            raise UserError(
                "sparsity=keep: no weight in the layers of this model is zero; leave it out, or name a model that was "
                "pretrained with sparsity"
            )
        return found

    def describe(self) -> str:
        return "where they are in the model that training begins with"

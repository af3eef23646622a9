"""Two weights of every four along the input dimension (2:4: Mishra et al., 2021), which NVIDIA's tensor cores skip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bertinchamps.errors import UserError
from bertinchamps.training.sparsity import Sparsity, sparsities

GROUP, KEPT = 4, 2


def _problems(settings: Mapping[str, Any]) -> list[str]:
    place = settings.get("fixed_at", 0.25)
    return (
        [] if 0 <= place < 1 else [f"sparsity.fixed_at={place}: a share of the budget, from 0 to less than 1"]
    )


@sparsities.register("semi_structured", check=_problems)
class SemiStructured(Sparsity):
    """Dense at first; from `fixed_at` on, the two largest of every four weights stay, and the others are zero.

    Args:
        fixed_at: progress at which the pattern is chosen, once; 0: by the initial weights.
    """

    def __init__(self, fixed_at: float = 0.25) -> None:
        self._fixed_at = fixed_at

    def stage_at(self, progress: float) -> int:
        """1 from where the pattern is fixed."""
        return int(progress >= self._fixed_at)

    def masks(
        self, stage: int, weights: Mapping[str, Tensor], before: Mapping[str, Tensor], seed: int
    ) -> dict[str, Tensor]:
        return {} if stage == 0 else {name: _pattern(name, weight) for name, weight in weights.items()}

    def shape_problems(self, arch: Mapping[str, Any]) -> list[str]:
        """Inputs of the layers' maps are the hidden size, and the intermediate size or half of it."""
        inner = arch["intermediate_size"] // 2 if arch["feed_forward"] == "glu" else arch["intermediate_size"]
        sizes = {"hidden_size": arch["hidden_size"], "intermediate_size": inner}
        return [
            f"sparsity=semi_structured with arch.{key}={arch[key]}: {GROUP} does not divide the {size} inputs of a map"
            for key, size in sizes.items()
            if size % GROUP
        ]

    def describe(self) -> str:
        return (
            f"{GROUP - KEPT} of every {GROUP} along the inputs, chosen at {self._fixed_at:.0%} of the budget"
        )


def _pattern(name: str, weight: Tensor) -> Tensor:
    """A mask [R, C] that is true at the two largest magnitudes of each group."""
    if weight.shape[1] % GROUP:
        raise UserError(
            f"sparsity=semi_structured: {GROUP} does not divide the {weight.shape[1]} inputs of {name}"
        )
    groups = weight.detach().abs().view(len(weight), -1, GROUP)  # [R, C / 4, 4]
    mask = torch.zeros_like(groups, dtype=torch.bool)
    return mask.scatter_(2, groups.topk(KEPT, dim=2).indices, value=True).flatten(1)

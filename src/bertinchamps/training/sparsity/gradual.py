"""Dense at first, then pruned by magnitude on a cubic schedule (Zhu and Gupta, 2017).

Pruning between a quarter and three quarters of the budget was near the best in "The Journey Matters" (Jin et al.,
2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bertinchamps.training.sparsity import Sparsity, level_problems, sparsities
from bertinchamps.training.sparsity.densities import distribution_problems, kept_counts


def _problems(settings: Mapping[str, Any]) -> list[str]:
    begin, end, prunings = (settings.get(key, value) for key, value in DEFAULTS.items())
    found = level_problems(settings) + distribution_problems(settings)
    if not 0 <= begin < end < 1:
        found.append(
            f"sparsity.begin={begin} and sparsity.end={end}: shares of the budget, from 0 to less than 1, and begin "
            "before end"
        )
    return found + ([] if prunings >= 1 else [f"sparsity.prunings={prunings}: must be at least 1"])


DEFAULTS = {"begin": 0.25, "end": 0.75, "prunings": 20}


@sparsities.register("gradual", check=_problems)
class Gradual(Sparsity):
    """The smallest weights become zeros, more and more of them: level · (1 − (1 − t)³), t from 0 at begin to 1 at end.

    What is zero stays zero.

    Args:
        level: share of zeros in the matrices of the layers, in the end.
        begin: progress at which t begins.
        end: progress of the last pruning.
        prunings: at equal distances of progress.
        distribution: of the zeros over the matrices: uniform or erdos_renyi.
    """

    def __init__(
        self,
        level: float = 0.75,
        begin: float = DEFAULTS["begin"],
        end: float = DEFAULTS["end"],
        prunings: int = 20,
        distribution: str = "uniform",
    ) -> None:
        self._level, self._begin, self._end = level, begin, end
        self._prunings, self._distribution = prunings, distribution

    def stage_at(self, progress: float) -> int:
        """How many prunings are done."""
        share = (progress - self._begin) / (self._end - self._begin)
        return max(0, min(self._prunings, int(share * self._prunings + 1e-9)))

    def level_of(self, stage: int) -> float:
        """The share of zeros after so many prunings."""
        return self._level * (1 - (1 - stage / self._prunings) ** 3)

    def masks(
        self, stage: int, weights: Mapping[str, Tensor], before: Mapping[str, Tensor], seed: int
    ) -> dict[str, Tensor]:
        if stage == 0:
            return {}
        shapes = {name: weight.shape for name, weight in weights.items()}
        counts = kept_counts(shapes, self.level_of(stage), self._distribution)
        return {name: _largest(weight, counts[name], before.get(name)) for name, weight in weights.items()}

    def describe(self) -> str:
        return (
            f"the smallest weights, from {self._begin:.0%} to {self._end:.0%} of the budget up to "
            f"{self._level:.1%} ({self._distribution})"
        )


def _largest(weight: Tensor, kept: int, before: Tensor | None) -> Tensor:
    """A mask [R, C] of the `kept` largest magnitudes among those that were not pruned before."""
    sizes = weight.detach().abs()
    if before is not None:
        sizes = torch.where(before, sizes, -1.0)
    mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[sizes.flatten().topk(kept, sorted=False).indices] = True
    return mask.view(weight.shape)

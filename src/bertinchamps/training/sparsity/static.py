"""Zeros at random places, which never change (SPDF: Thangarasa et al., 2023; MediSwift: Thangarasa et al., 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bertinchamps.training.sparsity import Sparsity, level_problems, sparsities
from bertinchamps.training.sparsity.densities import distribution_problems, kept_counts
from bertinchamps.training.updates import mixed_seed


def _problems(settings: Mapping[str, Any]) -> list[str]:
    return level_problems(settings) + distribution_problems(settings)


@sparsities.register("static", check=_problems)
class Static(Sparsity):
    """Masks that the seed draws before the first update.

    Args:
        level: share of zeros in the matrices of the layers.
        distribution: of the zeros over the matrices: uniform or erdos_renyi.
    """

    def __init__(self, level: float = 0.5, distribution: str = "uniform") -> None:
        self._level, self._distribution = level, distribution

    def masks(
        self, stage: int, weights: Mapping[str, Tensor], before: Mapping[str, Tensor], seed: int
    ) -> dict[str, Tensor]:
        shapes = {name: weight.shape for name, weight in weights.items()}
        counts = kept_counts(shapes, self._level, self._distribution)
        # not the generator that drew the weights: a mask must not depend on them
        return {
            name: _drawn(weight, counts[name], mixed_seed(seed, 0x5BA25E, place))
            for place, (name, weight) in enumerate(weights.items())
        }

    def describe(self) -> str:
        return f"at places that the seed draws ({self._distribution})"


def _drawn(weight: Tensor, kept: int, seed: int) -> Tensor:
    """A mask [R, C] with so many true entries; drawn on the CPU, so that it is the same on each device."""
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[order[:kept]] = True
    return mask.view(weight.shape).to(weight.device)

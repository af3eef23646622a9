"""FLOPs of a model whose matrices hold zeros, as SPDF and MediSwift count them: products at their density."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bertinchamps.training.sparsity.masks import Masks


def at_density(
    dense: float | Callable[[float], float],
    matrices: Mapping[str, float] | Callable[[float], Mapping[str, float]],
    masks: Masks,
) -> Callable[[float], float]:
    """FLOPs per token at the density of the moment; what is no product with a masked matrix counts as it is.

    Args:
        dense: FLOPs per token without zeros; a function of progress where they change.
        matrices: of them, those of each matrix, by the name of its module; likewise.
        masks: of the model.
    """

    def counted(progress: float) -> float:
        whole: float = _at(dense, progress)
        parts: Mapping[str, float] = _at(matrices, progress)
        return whole - sum(parts[name] * (1 - density) for name, density in masks.densities.items())

    return counted


def _at(count: Any, progress: float) -> Any:
    return count(progress) if callable(count) else count

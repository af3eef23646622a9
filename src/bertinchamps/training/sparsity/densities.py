"""How a share of zeros is divided among matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bertinchamps.registry import Registry, closest

Shapes = Mapping[str, torch.Size]
distributions: Registry[dict[str, float]] = Registry("distribution", "sparsity.distribution")


def kept_counts(shapes: Shapes, level: float, distribution: str) -> dict[str, int]:
    """How many weights of each matrix may be other than zero.

    Args:
        shapes: [R, C] of each matrix, by name.
        level: share of zeros in all of them together, to within rounding.
        distribution: "uniform" or "erdos_renyi".
    """
    found = distributions.build(distribution, shapes=shapes, level=level)
    return {name: round(density * shapes[name].numel()) for name, density in found.items()}


@distributions.register("uniform")
def uniform(shapes: Shapes, level: float) -> dict[str, float]:
    """The same density in each matrix."""
    return dict.fromkeys(shapes, 1 - level)


@distributions.register("erdos_renyi")
def erdos_renyi(shapes: Shapes, level: float) -> dict[str, float]:
    """Densities proportional to (R + C) / (R · C), at most 1 (Mocanu et al., 2018; Evci et al., 2020).

    Small matrices are denser than large ones. For maps without kernels, Erdős–Rényi-Kernel is the same.
    """
    left = (1 - level) * sum(shape.numel() for shape in shapes.values())
    found: dict[str, float] = {}
    open_ones = dict(shapes)
    while open_ones:
        factor = left / sum(sum(shape) for shape in open_ones.values())
        full = [name for name, shape in open_ones.items() if factor * sum(shape) >= shape.numel()]
        if not full:
            found |= {name: factor * sum(shape) / shape.numel() for name, shape in open_ones.items()}
            break
        for name in full:  # a matrix takes no more than all of its weights; the others share the rest
            found[name] = 1.0
            left -= open_ones.pop(name).numel()
    return {name: found[name] for name in shapes}


def distribution_problems(settings: Mapping[str, Any]) -> list[str]:
    """A mistake in `distribution`."""
    name, menu = settings.get("distribution", "uniform"), distributions.names()
    if name in menu:
        return []
    return [f"sparsity.distribution={name}: one of {', '.join(menu)}{closest(str(name), menu)}"]

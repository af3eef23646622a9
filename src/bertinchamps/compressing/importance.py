"""How much a model's loss depends on its parts, on a sample of examples.

Heads and units of the feed-forward: the first-order Taylor term of a gate on their output, |Σ output · gradient| of an
example, summed over examples (Michel et al., 2019, and Molchanov et al., 2019).
Layers: the loss without them, which is exact and costs a forward pass for each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.compressing.layouts import (
    Kept,
    Layout,
    changes_of,
    head_size_of,
    layers_of,
    layout_of,
    selected,
)
from bertinchamps.compressing.rebuilding import inner_of, rebuilt
from bertinchamps.compressing.uses import Sample


def pruned(model: nn.Module, kept: Kept) -> nn.Module:
    """The model with the parts that are kept; the model itself is left as it was."""
    inner = inner_of(model)
    layout = layout_of(inner.config)
    return rebuilt(model, changes_of(inner.config, layout, kept), selected(inner, layout, kept))


def loss_of(model: nn.Module, sample: Sample) -> float:
    """The mean loss of a target, in nats."""
    batches, loss = sample
    with torch.no_grad():
        return sum(float(loss(model, batch)) for batch in batches) / max(
            1, sum(each.targets for each in batches)
        )


def without_layers(model: nn.Module, sample: Sample, count: int) -> tuple[list[int], list[dict[str, Any]]]:
    """Choose layers to leave out, one after another, each the one without which the loss is lowest.

    The first layer stays where it has other weights than the rest, such as no norm of its own.

    Returns:
        The numbers of the layers that stay, and for each step the layer and the loss without it.
    """
    inner = inner_of(model)
    layers = layers_of(inner, layout_of(inner.config))
    names = [[name for name, _ in layer.named_parameters()] for layer in layers]
    candidates = [at for at, own in enumerate(names) if own == names[-1]]
    left, steps = list(range(len(layers))), []
    for _ in range(count):
        losses = {
            layer: loss_of(pruned(model, Kept([each for each in left if each != layer])), sample)
            for layer in candidates
            if layer in left
        }
        best = min(losses, key=lambda layer: losses[layer])
        left.remove(best)
        steps.append({"layer": best, "loss": losses[best]})
    return left, steps


def importance(model: nn.Module, sample: Sample) -> tuple[list[Tensor], list[Tensor]]:
    """The importance of each head and of each unit of the feed-forward.

    Args:
        model: in evaluation mode; its gradients are dropped.
        sample: examples and their loss.

    Returns:
        For each layer the heads' [N], and the units' [U].
    """
    inner = inner_of(model)
    layout, size = layout_of(inner.config), head_size_of(inner.config)
    layers = layers_of(inner, layout)
    heads: list[Tensor | float] = [0.0] * len(layers)
    units: list[Tensor | float] = [0.0] * len(layers)

    def add(sums: list[Tensor | float], at: int, width: int, output: Tensor, gradient: Tensor) -> None:
        gates = (output * gradient).flatten(1, -2).sum(1) if output.dim() > 2 else output * gradient  # [B, D]
        sums[at] = sums[at] + gates.view(len(gates), -1, width).sum(-1).abs().sum(0).detach()

    batches, loss = sample
    with _gates(layers, layout, partial(add, heads), partial(add, units), size):
        for batch in batches:
            model.zero_grad(set_to_none=True)
            loss(model, batch).backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
    return [torch.as_tensor(each) for each in heads], [torch.as_tensor(each) for each in units]


Add = Callable[[int, int, Tensor, Tensor], None]


@contextmanager
def _gates(
    layers: Sequence[nn.Module], layout: Layout, of_heads: Add, of_units: Add, size: int
) -> Iterator[None]:
    """Within: each backward pass tells what left the heads and the units, with its gradient."""

    def watch(add: Add, at: int, width: int) -> Callable[..., None]:
        def before(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            if given[0].requires_grad:
                tell = partial(add, at, width, given[0].detach())
                given[0].register_hook(tell)  # type: ignore[no-untyped-call]

        return before

    hooks = []
    for at, layer in enumerate(layers):
        for name, add, width in ((layout.attended, of_heads, size), (layout.leaves, of_units, 1)):
            hooks.append(layer.get_submodule(name).register_forward_pre_hook(watch(add, at, width)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def most_important(sums: Sequence[Tensor], count: int) -> list[list[int]]:
    """For each layer the places of the highest numbers, ascending."""
    return [sorted(each.topk(count).indices.tolist()) for each in sums]

"""Which matrices of a model may hold zeros."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import nn
from transformers import PreTrainedModel


def matrices_of(model: nn.Module, frozen: bool = False) -> dict[str, nn.Parameter]:
    """The trained weights of linear maps in the lists of layers of the encoder, by the name of their module in `model`.

    Embeddings, norms, biases and heads are not among them.

    Args:
        model: of transformers, or one that contains such a model.
        frozen: weights that are not trained are among them.
    """
    encoder = next((part for part in model.modules() if isinstance(part, PreTrainedModel)), None)
    if encoder is None:
        return {}
    inside = {id(part) for part in _linear_maps(encoder.base_model)}
    maps = {name: cast(nn.Linear, part) for name, part in model.named_modules() if id(part) in inside}
    weights = {name: cast(nn.Parameter, part.weight) for name, part in maps.items()}
    return {name: weight for name, weight in weights.items() if frozen or weight.requires_grad}


def _linear_maps(encoder: nn.Module) -> Iterator[nn.Linear]:
    """The linear maps in every list of layers, whatever an architecture calls its layers."""
    for layers in encoder.modules():
        if isinstance(layers, nn.ModuleList):
            yield from (part for part in layers.modules() if isinstance(part, nn.Linear))

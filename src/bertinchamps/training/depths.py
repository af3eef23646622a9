"""How deep a weight lies in an encoder: for rates that fall from layer to layer, and for freezing from below."""

from __future__ import annotations

import re

from torch import nn

EMBEDDING = re.compile(r"(^|[._])emb")  # in the names of what lies below the first layer


def depths_of(model: nn.Module) -> dict[int, int]:
    """The depth of each parameter, by its id: 0 embeddings, n the layer of number n from below, L + 1 all above.

    Layers are the members of lists whose length is the number of layers in the configuration: FlauBERT has several
    such lists. A model without such a list, as ALBERT with its one shared layer, has depths 0 and L + 1 alone.

    Args:
        model: that is, or has in it, a model of transformers.
    """
    layers = layers_in(model)
    found: dict[int, int] = {}
    for part in model.modules():
        if isinstance(part, nn.ModuleList) and len(part) == layers:
            for number, layer in enumerate(part, start=1):
                for parameter in layer.parameters():
                    found.setdefault(id(parameter), number)
    for name, parameter in model.named_parameters():
        if id(parameter) not in found:
            found[id(parameter)] = 0 if EMBEDDING.search(name) else layers + 1
    return found


def layers_in(model: nn.Module) -> int:
    """The number of layers in the configuration of the first part that has one; 0: none has."""
    for part in model.modules():
        number = getattr(getattr(part, "config", None), "num_hidden_layers", None)
        if number:
            return int(number)
    return 0

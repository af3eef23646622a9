"""A model of the same class with another size, and which of its weights have this size."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def dimensions_of(model: Any, size: str) -> dict[str, int]:
    """The dimension, by the name of each weight that has one, that a size of the configuration decides.

    A model of the same class with a size that is larger by one, without memory, shows it.

    Args:
        model: of transformers, or ours.
        size: a field of its configuration, such as "vocab_size".

    Raises:
        ValueError: a weight has the size in another way than as one dimension of that length.
    """
    config = copy.deepcopy(model.config)
    now: int = getattr(config, size)
    setattr(config, size, now + 1)
    with torch.device("meta"):
        larger = type(model)(config).state_dict()
    found = {}
    for name, weights in model.state_dict().items():
        shape = larger[name].shape
        differing = [index for index, length in enumerate(weights.shape) if length != shape[index]]
        if differing:
            (index,) = differing
            if (weights.shape[index], shape[index]) != (now, now + 1):
                raise ValueError(f"{name} has {size} in another way")
            found[name] = index
    return found


def of_same_class(model: Any, config: Any, state: Mapping[str, Tensor]) -> Any:
    """A model of the same class with another configuration, on the same device and in the same mode.

    Args:
        model: of transformers, or ours; it is left as it was.
        config: of the new model.
        state: all of its weights, which are loaded strictly.

    Raises:
        RuntimeError: a weight is missing, left over, or of another shape.
    """
    new: Any = type(model)(config)
    new.tie_weights()
    new.load_state_dict(dict(state))
    return new.to(model.device).train(model.training)

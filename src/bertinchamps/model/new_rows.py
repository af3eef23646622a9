"""Other entries of a vocabulary in a masked language model: rows of embedding and head, and biases of the head.

Each new row is the mean of the rows of its parts, as the tokenizer had split the new entry (Gee et al., 2022, *Fast
Vocabulary Transfer for Language Model Compression*, section 3). Rows of entries that stay are as they were.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bertinchamps.errors import UserError

OF_TOKENS = ("_token_id", "_index")  # ends of names of settings that hold a token's id; XLM has the second


@torch.no_grad()
def add_rows(model: Any, parts: Mapping[int, Sequence[int]]) -> None:
    """Give a model the rows of new ids, in place; rows that pad its vocabulary are used before it becomes larger.

    Args:
        model: a masked language model of transformers, or ours.
        parts: ids of which each new id consists; new ids follow the old ones.
    """
    if not parts:
        return
    before, needed = model.config.vocab_size, max(parts) + 1
    if needed > before:
        model.resize_token_embeddings(needed, mean_resizing=False)
    for weights in _of_the_vocabulary(model, max(before, needed)):
        for new, old in parts.items():
            weights[new] = weights[list(old)].mean(0)


def _of_the_vocabulary(model: Any, size: int) -> list[Tensor]:
    """All parameters with a row or a number for each entry; tied ones once."""
    embeddings = [model.get_input_embeddings(), model.get_output_embeddings()]
    matrices = {id(module.weight) for module in embeddings if module is not None}
    return [
        weights
        for weights in model.parameters()
        if len(weights) == size and (id(weights) in matrices or weights.dim() == 1)
    ]


@torch.no_grad()
def with_other_rows(model: Any, parts: Sequence[Sequence[int]], moved: Mapping[int, int], key: str) -> Any:
    """A model of the same class with another vocabulary; its other weights are the same.

    Args:
        model: a masked language model of transformers, or ours; it is left as it was.
        parts: for each new id the old ids of which it consists.
        moved: old ids of special tokens → new ones, where they differ.
        key: and value of the setting that names the model, for the message.

    Raises:
        UserError: the class has its vocabulary in other places than embedding and head.
    """
    config = copy.deepcopy(model.config)
    for name, value in model.config.to_dict().items():
        if name.endswith(OF_TOKENS) and isinstance(value, int):
            # an id beyond the vocabulary, of no token of the tokenizer, has no row any more
            setattr(config, name, moved.get(value, value if value < len(parts) else None))
    config.vocab_size = len(parts)
    rows = _with_rows(model)
    state = {
        name: _means(weights, parts) if name in rows else weights
        for name, weights in model.state_dict().items()
    }
    new = type(model)(config)
    new.tie_weights()
    try:
        new.load_state_dict(state)
    except RuntimeError as error:  # names and shapes
        raise UserError(
            f"{key}: tokenizer.replace: a {type(model).__name__} has its vocabulary in other places than embedding and "
            "head; leave it out"
        ) from error
    return new.train(model.training)


def _with_rows(model: Any) -> set[str]:
    """Names of the tensors with a row or a number for each entry; tied ones have several."""
    modules = [model.get_input_embeddings(), model.get_output_embeddings()]
    places = {
        weights.data_ptr()
        for module in modules
        for weights in (getattr(module, "weight", None), getattr(module, "bias", None))
        if weights is not None
    }
    return {name for name, weights in model.state_dict().items() if weights.data_ptr() in places}


def _means(weights: Tensor, parts: Sequence[Sequence[int]]) -> Tensor:
    """For each entry the mean of the rows, or numbers, of its parts."""
    flat = torch.tensor([index for old in parts for index in old])
    lengths = torch.tensor([len(old) for old in parts])
    starts = lengths.cumsum(0) - lengths
    rows = weights.unsqueeze(1) if weights.dim() == 1 else weights
    means = torch.nn.functional.embedding_bag(flat, rows, starts, mode="mean")
    return means.squeeze(1) if weights.dim() == 1 else means

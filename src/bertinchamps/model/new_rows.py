"""Other entries of a vocabulary in a masked language model: rows of embedding and head, and biases of the head.

Each new row is the mean of the rows of its parts, as the tokenizer had split the new entry (Gee et al., 2022, *Fast
Vocabulary Transfer for Language Model Compression*, section 3). Rows of entries that stay are as they were. A class may
have entries in another dimension, as MobileBERT has in a part of its head; then columns are what rows are elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bertinchamps.errors import UserError
from bertinchamps.model.resizing import dimensions_of, of_same_class

OF_TOKENS = ("_token_id", "_index")  # ends of names of settings that hold a token's id; XLM has the second
SIZE = "vocab_size"


def with_new_rows(model: Any, parts: Mapping[int, Sequence[int]], key: str) -> Any:
    """A model of the same class with rows of new ids; rows that pad its vocabulary are used before it becomes larger.

    Args:
        model: a masked language model of transformers, or ours; it is left as it was.
        parts: ids of which each new id consists; new ids follow the old ones.
        key: and value of the setting that names the model, for the message.

    Raises:
        UserError: the class has its vocabulary in another way.
    """
    entries = range(max(model.config.vocab_size, max(parts) + 1))
    return _with_entries(
        model, [parts.get(entry, [entry]) for entry in entries], {}, f"{key}: tokenizer.extend"
    )


def with_other_rows(model: Any, parts: Sequence[Sequence[int]], moved: Mapping[int, int], key: str) -> Any:
    """A model of the same class with another vocabulary; its other weights are the same.

    Args:
        model: a masked language model of transformers, or ours; it is left as it was.
        parts: for each new id the old ids of which it consists.
        moved: old ids of special tokens → new ones, where they differ.
        key: and value of the setting that names the model, for the message.

    Raises:
        UserError: the class has its vocabulary in another way.
    """
    return _with_entries(model, parts, moved, f"{key}: tokenizer.replace")


@torch.no_grad()
def _with_entries(model: Any, parts: Sequence[Sequence[int]], moved: Mapping[int, int], key: str) -> Any:
    config = copy.deepcopy(model.config)
    for name, value in model.config.to_dict().items():
        if name.endswith(OF_TOKENS) and isinstance(value, int):
            # an id beyond the vocabulary, of no token of the tokenizer, has no row any more
            setattr(config, name, moved.get(value, value if value < len(parts) else None))
    setattr(config, SIZE, len(parts))
    try:
        places = dimensions_of(model, SIZE)
        state = {
            name: _means(weights, places[name], parts) if name in places else weights
            for name, weights in model.state_dict().items()
        }
        return of_same_class(model, config, state)
    except (ValueError, RuntimeError) as error:  # names and shapes
        raise UserError(
            f"{key}: a {type(model).__name__} has its vocabulary in another way than a row for each entry; leave it out"
        ) from error


def _means(weights: Tensor, dimension: int, parts: Sequence[Sequence[int]]) -> Tensor:
    """For each entry, of which a dimension of the weights has one place each, the mean of the places of its parts."""
    flat = torch.tensor([index for old in parts for index in old])
    lengths = torch.tensor([len(old) for old in parts])
    starts = lengths.cumsum(0) - lengths
    rows = weights.movedim(dimension, 0)
    means = torch.nn.functional.embedding_bag(flat, rows.reshape(len(rows), -1), starts, mode="mean")
    return means.reshape(-1, *rows.shape[1:]).movedim(0, dimension)

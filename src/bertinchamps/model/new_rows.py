"""New entries of a vocabulary in a masked language model: rows of embedding and head, and biases of the head.

Each new row is the mean of the rows of its parts, as the tokenizer had split the new entry (Gee et al., 2022, *Fast
Vocabulary Transfer for Language Model Compression*, section 3). Rows that were there stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


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

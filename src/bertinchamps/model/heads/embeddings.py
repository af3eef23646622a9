"""Vectors of tokens, or of texts: an encoder without a head.

Shapes: B batch, S sequence, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch

from bertinchamps.model.heads import DownstreamModel, heads

POOLS = ("mean", "none")


@heads.register("embeddings")
class Embeddings(DownstreamModel):
    """An encoder and a pool.

    Args:
        encoder: of transformers, without a head.
        pool: mean: a vector for each text, the mean over its tokens; none: a vector for each token.
    """

    def __init__(self, encoder: Any, pool: str) -> None:
        super().__init__()
        self.model, self._pool = encoder, pool
        self.output = "sentence_embedding" if pool == "mean" else "last_hidden_state"

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, H], or [B, S, H]
        """The vectors; those of padding mean nothing."""
        return self.through(self.graph, inputs)

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, H], or [B, S, H]
        """As `forward`."""
        hidden = cast(torch.Tensor, self.model(**tensors).last_hidden_state)
        if self._pool == "none":
            return hidden
        mask = tensors.get("attention_mask", torch.ones_like(tensors["input_ids"]))
        weights = mask[:, :, None].to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)

"""Masked words: a masked language model of transformers, read at some positions.

Shapes: B batch, S sequence, K masked positions of the text that has most, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch

from bertinchamps.model.heads import DownstreamModel, Graph, heads


@heads.register("masked_words")
class MaskedWords(DownstreamModel):
    """Logits at masked positions.

    Args:
        model: a masked language model of transformers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],  # input_ids [B, S] and what goes with them
        positions: torch.Tensor,  # [B, K], into S
    ) -> torch.Tensor:  # [B, K, V]
        """Logits at the positions. Our own models decode no others."""
        sparse = getattr(self.model, "masked_logits", None)
        if sparse is not None:
            return cast(torch.Tensor, sparse(inputs["input_ids"], positions, inputs.get("attention_mask")))
        return self.through(self.graph, inputs, positions)

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, S, V]
        """Logits at all positions."""
        return cast(torch.Tensor, self.model(**tensors).logits)

    @staticmethod
    def through(graph: Graph, *given: Any) -> torch.Tensor:  # [B, K, V]
        """Of the logits at all positions, those at some."""
        inputs, positions = given
        return torch.take_along_dim(graph(inputs), positions[:, :, None], 1)

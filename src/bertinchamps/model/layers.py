"""The embeddings and the layer of the encoder.

Shapes: B batch, S sequence, H hidden, K query positions whose outputs are computed.
"""

from __future__ import annotations

import torch
from torch import nn

from bertinchamps.model.attention import Attention
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.feed_forward import FEED_FORWARDS
from bertinchamps.model.norms import build_norm
from bertinchamps.model.positions import POSITIONS, Rotation, at
from bertinchamps.model.visibility import Mask


class Embeddings(nn.Module):
    """Token vectors plus positions, then an optional norm, then dropout."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        # No padding_idx: no position attends to the vectors of padding.
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = POSITIONS.build(config.positions, config=config)
        self.norm = build_norm(config) if config.embedding_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        input_ids: torch.Tensor | None,  # [B, S]
        places: torch.Tensor,  # [S] or [R, S], with R = 1 or B: the position of each token
        inputs_embeds: torch.Tensor | None = None,  # [B, S, H], in place of the tokens' vectors
    ) -> torch.Tensor:  # [B, S, H]
        tokens = self.tokens(input_ids) if inputs_embeds is None else inputs_embeds
        embedded: torch.Tensor = self.dropout(self.norm(self.positions(tokens, places)))
        return embedded


class EncoderLayer(nn.Module):
    """Attention, then feed-forward, each around a residual connection.

    The class becomes a `GradientCheckpointingLayer` of transformers when that class is first imported, as
    `gradient_checkpointing_enable` does: see `register`.

    Args:
        config: the architecture.
        index: of the layer; layer 0 may have no attention norm.
    """

    def __init__(self, config: BertinchampsConfig, index: int) -> None:
        super().__init__()
        self.pre_norm = config.norm_position == "pre"
        plain = index == 0 and not config.first_attention_norm
        self.attention_norm = nn.Identity() if plain else build_norm(config)
        self.attention = Attention(config)
        self.feed_forward_norm = build_norm(config)
        self.feed_forward = FEED_FORWARDS.build(config.feed_forward, config=config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        hidden: torch.Tensor,  # [B, S, H]
        rotation: Rotation | None,
        mask: Mask,
        positions: torch.Tensor | None = None,  # [B, K], of the outputs; None: all
    ) -> torch.Tensor:  # [B, S, H], or [B, K, H]
        stream = hidden if positions is None else at(hidden, positions)
        if self.pre_norm:
            read, _ = self.attention(self.attention_norm(hidden), rotation, mask, positions)
            stream = stream + self.dropout(read)
            fed: torch.Tensor = stream + self.dropout(self.feed_forward(self.feed_forward_norm(stream)))
            return fed
        read, _ = self.attention(hidden, rotation, mask, positions)
        hidden = self.attention_norm(stream + self.dropout(read))
        normed: torch.Tensor = self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
        return normed


def register() -> None:
    """Make `GradientCheckpointingLayer` the base class of layers: transformers checkpoints activations of that class.

    `bertinchamps/__init__.py` calls it once that class is imported. The module of that class imports all Auto classes,
    generation and scikit-learn, which takes seconds, so it is not imported to define a layer.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    if not issubclass(EncoderLayer, GradientCheckpointingLayer):
        EncoderLayer.__bases__ = (GradientCheckpointingLayer,)
        super(EncoderLayer, EncoderLayer).__init_subclass__()  # as where a class is written with that base

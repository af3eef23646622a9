"""From hidden states to the logits of masked language modelling.

Shapes: H hidden, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import nn

from bertinchamps.model.activations import ACTIVATIONS
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.norms import build_norm


class HeadTransform(nn.Module):
    """dense → activation → norm, between the encoder and the decoder (BERT, ModernBERT)."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.head_bias)
        self.activation = ACTIVATIONS.build(config.activation)
        self.norm = build_norm(config)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:  # [..., H] -> [..., H]
        transformed: torch.Tensor = self.norm(self.activation(self.dense(hidden)))
        return transformed


class MaskedLanguageModelingHead(nn.Module):
    """Transform and decode. Pretraining gives it masked positions only: the decoder is the largest matrix of a small
    model.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        self.transform = HeadTransform(config) if config.head_transform else nn.Identity()
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=config.decoder_bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:  # [..., H] -> [..., V]
        logits: torch.Tensor = self.decoder(self.transform(hidden))
        return logits

"""Multi-head self-attention in both directions (Vaswani et al., 2017).

Shapes: B batch, S sequence, H hidden, N heads, D = H / N size of a head.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.initialisation import ResidualLinear
from bertinchamps.model.norms import RMSNorm
from bertinchamps.model.positions import Rotation, rotate


def attend(
    query: torch.Tensor,  # [B, N, S, D], as key and value
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,  # [B, 1, 1, S], true where a key may be read
    dropout: float,
) -> torch.Tensor:  # [B, N, S, D]
    """Scaled dot-product attention through PyTorch's SDPA, except when training on a CPU.

    There SDPA's backward pass takes three times as long as that of the plain formula (docs/log.md), which
    is the same function.
    """
    if query.device.type != "cpu" or not torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    scores = (query @ key.transpose(-1, -2)).float() * query.shape[-1] ** -0.5  # [B, N, S, S]
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    shares = functional.dropout(scores.softmax(-1), dropout)
    return shares.to(value.dtype) @ value


class Attention(nn.Module):
    """softmax(q kᵀ / √D) v per head, with queries, keys and values from one projection."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads, self.head_size = config.num_attention_heads, config.head_size
        self.dropout = config.dropout
        self.query_key_value = nn.Linear(size, 3 * size, bias=config.attention_bias)
        self.output = ResidualLinear(size, size, bias=config.attention_bias)
        self.query_norm = self.key_norm = None
        if config.query_key_norm:
            self.query_norm = RMSNorm(self.head_size, eps=config.norm_epsilon)
            self.key_norm = RMSNorm(self.head_size, eps=config.norm_epsilon)

    def forward(
        self,
        hidden: torch.Tensor,  # [B, S, H]
        rotation: Rotation | None,
        mask: torch.Tensor | None,  # [B, 1, 1, S], true where a key may be read
    ) -> torch.Tensor:  # [B, S, H]
        batch, length, _ = hidden.shape
        projected = self.query_key_value(hidden).view(batch, length, 3, self.heads, self.head_size)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)  # 3 × [B, N, S, D]
        if self.query_norm is not None and self.key_norm is not None:
            # Under autocast the norms return fp32, and the values are bf16.
            query, key = self.query_norm(query).type_as(value), self.key_norm(key).type_as(value)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        read = attend(query, key, value, mask, self.dropout if self.training else 0.0)
        mixed: torch.Tensor = self.output(read.transpose(1, 2).reshape(batch, length, -1))
        return mixed

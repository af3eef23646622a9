"""Multi-head self-attention in both directions, or backward alone (Vaswani et al., 2017).

Shapes: B batch, S sequence, H hidden, N heads, D size of a head (H / N, unless heads were pruned), K query positions
whose outputs are computed.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.initialisation import residual_linear
from bertinchamps.model.norms import RMSNorm
from bertinchamps.model.plain_modules import is_plain
from bertinchamps.model.positions import Rotation, at, rotation_at
from bertinchamps.model.queries_and_keys import prepared
from bertinchamps.model.visibility import Band, Mask, around, chunked, rows_at


def attend(
    query: torch.Tensor,  # [B, N, S or K, D]
    key: torch.Tensor,  # [B, N, S, D], as value
    value: torch.Tensor,
    mask: torch.Tensor | None,  # [B, 1, 1 or S, S], true where a key may be attended to
    dropout: float,
) -> torch.Tensor:  # as query
    """Scaled dot-product attention through PyTorch's SDPA, except when training on a CPU.

    On a CPU, SDPA's backward pass takes three times as long as that of the plain formula (docs/log.md). Both are the
    same function where each query has a key. A query without a key gets zeros from SDPA, a mean of values here.
    """
    if query.device.type != "cpu" or not torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    return attend_plainly(query, key, value, mask, dropout)[0]


def attend_plainly(
    query: torch.Tensor,  # [B, N, S or K, D]
    key: torch.Tensor,  # [B, N, S, D], as value
    value: torch.Tensor,
    mask: torch.Tensor | None,  # [B, 1, 1 or S, S], true where a key may be attended to
    dropout: float,
) -> tuple[torch.Tensor, torch.Tensor]:  # as query; [B, N, S or K, S]
    """Attention by its formula, with the attention weights."""
    scores = (query @ key.transpose(-1, -2)).float() * query.shape[-1] ** -0.5  # [B, N, S, S]
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    shares = functional.dropout(scores.softmax(-1), dropout).to(value.dtype)
    return shares @ value, shares


def attend_in_band(
    query: torch.Tensor,  # [B, N, S, D], as key and value
    key: torch.Tensor,
    value: torch.Tensor,
    band: Band,
    dropout: float,
) -> torch.Tensor:  # as query
    """Attention to the keys of a chunk and of its neighbours: S · 3 W scores in place of S²."""
    queries = chunked(query, band.side)
    keys, values = around(key, band.side), around(value, band.side)
    batch, heads, chunks = queries.shape[:3]
    mask = band.mask.expand(batch, heads, -1, -1, -1).flatten(1, 2)
    # Kernels of a GPU know one dimension of heads, so chunks are heads.
    read = attend(queries.flatten(1, 2), keys.flatten(1, 2), values.flatten(1, 2), mask, dropout)
    return read.reshape(batch, heads, chunks * band.side, -1)[:, :, : query.shape[2]]


class Attention(nn.Module):
    """softmax(q kᵀ / √D) v per head, with queries, keys and values from one projection.

    The config's `attn_implementation` chooses the function: `sdpa` is `attend`; `eager` is `attend_plainly`, which also
    returns attention weights; any other name is a function registered with transformers.
    """

    is_causal = False  # read by functions of transformers

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.heads, self.head_size = config.num_attention_heads, config.head_size
        self.width = self.heads * self.head_size  # the hidden size, unless heads were pruned
        self.dropout = config.dropout
        self.query_key_value = nn.Linear(size, 3 * self.width, bias=config.attention_bias)
        self.output = residual_linear(self.width, size, bias=config.attention_bias)
        self.query_norm = self.key_norm = None
        if config.query_key_norm:
            self.query_norm = RMSNorm(self.head_size, eps=config.norm_epsilon)
            self.key_norm = RMSNorm(self.head_size, eps=config.norm_epsilon)

    def forward(
        self,
        hidden: torch.Tensor,  # [B, S, H]
        rotation: Rotation | None,
        mask: Mask,
        positions: torch.Tensor | None = None,  # [B, K], of the queries; None: all
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # [B, S or K, H]; [B, N, S or K, S] of `eager`
        query, key, value = self._projected(hidden, positions)
        of_queries = None if rotation is None else rotation_at(rotation, positions)
        query, key = prepared(query, self.query_norm, of_queries), prepared(key, self.key_norm, rotation)
        if positions is not None and isinstance(mask, torch.Tensor):
            mask = rows_at(mask, positions)
        read, shares = self._read(query, key, value, mask)
        return self.output(read.transpose(1, 2).flatten(2)), shares

    def _read(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Mask
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # as query; [B, N, S or K, S]
        rate = self.dropout if self.training else 0.0
        if isinstance(mask, Band):
            return attend_in_band(query, key, value, mask, rate), None
        implementation = self.config._attn_implementation or "sdpa"
        if implementation == "sdpa":
            return attend(query, key, value, mask, rate), None
        if implementation == "eager":
            return attend_plainly(query, key, value, mask, rate)
        registered = ALL_ATTENTION_FUNCTIONS[implementation]
        read, shares = registered(self, query, key, value, mask, dropout=rate, scaling=self.head_size**-0.5)
        return read.transpose(1, 2), shares

    def _projected(
        self, hidden: torch.Tensor, positions: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # [B, N, S or K, D], and twice [B, N, S, D]
        if positions is None:
            query, key, value = self._heads(self.query_key_value(hidden), 3)
            return query, key, value
        size = self.width
        if is_plain(self.query_key_value, nn.Linear):
            # slices of the weight give the same numbers with less work
            weight, bias = self.query_key_value.weight, self.query_key_value.bias
            of_queries, of_others = (None, None) if bias is None else (bias[:size], bias[size:])
            queries = functional.linear(at(hidden, positions), weight[:size], of_queries)
            others = functional.linear(hidden, weight[size:], of_others)
        else:
            projected = self.query_key_value(hidden)
            queries, others = at(projected[..., :size], positions), projected[..., size:]
        (query,) = self._heads(queries, 1)
        key, value = self._heads(others, 2)
        return query, key, value

    def _heads(self, projected: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """[B, S, parts · H] → `parts` tensors [B, N, S, D]."""
        apart = projected.view(*projected.shape[:2], parts, self.heads, self.head_size)
        return tuple(apart.permute(2, 0, 3, 1, 4))

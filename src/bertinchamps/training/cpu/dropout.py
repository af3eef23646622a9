"""Dropout on processors.

On a CPU, PyTorch draws 32 random bits for each element, one element after the other. These functions draw 16 bits, four
elements at a time, in a quarter of the time (docs/performance.md). The dropout rate is exact to 1/65,536.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

STEPS = 2**16  # values of a draw


def dropout(
    input: Tensor,  # [...], as torch.nn.functional.dropout names it
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:  # [...]
    """`torch.nn.functional.dropout`, with fewer random bits on a CPU.

    Args:
        input: as the other arguments, as in torch.
        p: share of the elements that becomes zero.
        training: False: return the input.
        inplace: change the input.
    """
    kept = round((1 - p) * STEPS)
    if not training or inplace or not 0 < kept < STEPS or input.device.type != "cpu":
        return functional.dropout(input, p, training, inplace)
    draws = torch.empty(math.ceil(input.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
    # Comparing and scaling floats in place takes a third of the time of a boolean mask.
    numbers = draws.view(torch.int16)[: input.numel()].view(input.shape).to(torch.float32)
    return input * numbers.lt_(kept - STEPS // 2).mul_(STEPS / kept).to(input.dtype)


def attention(
    query: Tensor,  # [..., S, D], as torch.nn.functional.scaled_dot_product_attention names it
    key: Tensor,  # [..., T, D]
    value: Tensor,  # [..., T, D]
    attn_mask: Tensor | None = None,  # [..., S, T]
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # [..., S, D]
    """`torch.nn.functional.scaled_dot_product_attention` on a CPU, with the dropout above.

    Called with dropout only: on a CPU, PyTorch has no fused kernel with dropout, and computes the same products one by
    one. A query whose keys are all masked gets the mean of all values, not zeros.

    Args:
        query: as the other arguments, as in torch.
        key: compared with the query.
        value: averaged by attention weight.
        attn_mask: true where a query may attend, or numbers added to the scores.
        dropout_p: share of the attention weights that becomes zero.
        is_causal: left to PyTorch.
        scale: of the scores; 1/√D by default.
        enable_gqa: left to PyTorch.
    """
    if dropout_p == 0 or is_causal or enable_gqa or query.device.type != "cpu":
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return dropout(scores.softmax(-1), dropout_p) @ value

"""Dropout on processors.

PyTorch draws a number of 32 bits for each element there, one after the other; these draw 16 bits, four elements at a
time, in a quarter of the time (docs/performance.md). The rate is kept to within 1/65,536.
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
        input: as all that follows as there.
        p: share that becomes zero.
        training: whether anything does.
        inplace: change the input.
    """
    kept = round((1 - p) * STEPS)
    if not training or inplace or not 0 < kept < STEPS or input.device.type != "cpu":
        return functional.dropout(input, p, training, inplace)
    draws = torch.empty(math.ceil(input.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
    # Comparing and scaling real numbers in place takes a third of the time that booleans take.
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
    """`torch.nn.functional.scaled_dot_product_attention`, whose dropout on a CPU is the one above.

    Only with dropout: PyTorch has no fused kernel for it there, and computes the same products one by one. A query
    that may look at nothing gets the mean of all values, not zeros.

    Args:
        query: as all that follows as there.
        key: looked at.
        value: read.
        attn_mask: true where a query may look, or what is added to the scores.
        dropout_p: share of the shares of attention that becomes zero.
        is_causal: left to PyTorch.
        scale: of the scores; 1/√D unless told.
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

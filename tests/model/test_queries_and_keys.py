"""Queries and keys in one function for updates on a processor: its numbers, and when modules are called instead."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bertinchamps.model.norms import RMSNorm
from bertinchamps.model.positions import rotate
from bertinchamps.model.queries_and_keys import prepared

BATCH, HEADS, LENGTH, SIZE = 3, 2, 5, 8
FUSED = "_NormAndRotationBackward"


@pytest.fixture
def norm():
    torch.manual_seed(0)
    norm = RMSNorm(SIZE, eps=1e-3)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    return norm


def projected(dtype=torch.float32):
    """Queries as the projection leaves them: [B, N, S, D], in memory as [B, S, 3, N, D]."""
    torch.manual_seed(1)
    return torch.randn(BATCH, LENGTH, 3, HEADS, SIZE, dtype=dtype).permute(2, 0, 3, 1, 4)[1]


def rotation(rows):
    turns = torch.rand(rows, 1, LENGTH, SIZE // 2) * 6
    both = torch.cat((turns, turns), dim=-1)
    return both.cos(), both.sin()


def learned(function, norm, vectors):
    """The output, and the gradients of the vectors and of the gain."""
    vectors = vectors.detach().requires_grad_()
    output = function(vectors)
    weights = torch.linspace(-1, 2, output.numel()).view_as(output).to(output.dtype)
    return output, *torch.autograd.grad(output, (vectors, norm.weight), weights)


@pytest.mark.parametrize("rows", [1, BATCH])
@pytest.mark.parametrize("ordered", [False, True])
def test_one_function_has_the_numbers_and_gradients_of_both_steps(norm, rows, ordered):
    angles = rotation(rows)
    vectors = projected().contiguous() if ordered else projected()
    fused = learned(lambda vectors: prepared(vectors, norm, angles), norm, vectors)
    stepwise = learned(lambda vectors: rotate(norm(vectors), angles), norm, vectors)
    assert type(fused[0].grad_fn).__name__ == FUSED
    torch.testing.assert_close(fused, stepwise, rtol=1e-5, atol=1e-6)


def test_vectors_of_16_bits_keep_their_type_and_lose_nothing_on_the_way(norm):
    angles = rotation(1)
    short = projected(torch.bfloat16)
    fused = learned(lambda vectors: prepared(vectors, norm, angles), norm, short)
    assert [tensor.dtype for tensor in fused] == [torch.bfloat16, torch.bfloat16, torch.float32]
    exact = learned(lambda vectors: prepared(vectors, norm, angles).bfloat16(), norm, short.float())
    torch.testing.assert_close(
        [tensor.float() for tensor in fused], [tensor.float() for tensor in exact], rtol=0.01, atol=1e-6
    )
    assert torch.equal(fused[0], exact[0])


def test_modules_are_called_where_they_do_more_or_nothing_is_learned(norm):
    angles = rotation(1)
    vectors = projected().requires_grad_()
    wanted = rotate(norm(vectors), angles)
    with torch.no_grad():
        torch.testing.assert_close(prepared(vectors, norm, angles), wanted)
    assert type(prepared(vectors, norm, None).grad_fn).__name__ != FUSED
    assert torch.equal(prepared(vectors, None, angles), rotate(vectors, angles))
    assert prepared(vectors, None, None) is vectors
    norm.register_forward_hook(lambda module, given, output: 2 * output)
    torch.testing.assert_close(prepared(vectors, norm, angles), 2 * wanted)

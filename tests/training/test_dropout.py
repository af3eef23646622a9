"""Dropout with fewer random bits is dropout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from bertinchamps.schemas import RuntimeConfig
from bertinchamps.training.cpu import dropout
from bertinchamps.training.cpu.dropout import attention
from bertinchamps.training.runtime import build_runtime


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_that_share_becomes_zero_and_the_mean_stays(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    out = dropout.dropout(torch.ones(1001, 999, dtype=dtype), p)
    assert out.dtype is dtype
    zeros = (out == 0).float()
    assert zeros.mean().item() == pytest.approx(p, abs=0.003)  # six standard deviations
    assert out.float().mean().item() == pytest.approx(1, rel=0.02)
    assert len(out.unique()) == 2
    for along in (0, 1):  # rows and columns differ as much as chance lets them
        assert zeros.mean(along).std().item() == pytest.approx((p * (1 - p) / 1000) ** 0.5, rel=0.15)
    flat = zeros.flatten()
    for lag in (1, 2, 3, 4, 8):  # nor do elements of one draw go together
        both = torch.corrcoef(torch.stack([flat[:-lag], flat[lag:]]))[0, 1]
        assert abs(both.item()) < 0.006


def test_gradients_pass_where_values_do() -> None:
    x = torch.randn(40, 30, requires_grad=True)
    out = dropout.dropout(x, 0.25)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, out == 0)
    torch.testing.assert_close(x.grad * x.detach(), out.detach())


def test_one_seed_is_one_result_and_the_next_draw_another() -> None:
    x = torch.ones(13, 7)
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        draws.append((dropout.dropout(x, 0.5), dropout.dropout(x, 0.5)))
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(*draws[0])


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (1.0, True), (0.3, False), (1e-6, True)])
def test_rates_that_draw_nothing_are_left_to_pytorch(p: float, training: bool) -> None:
    x = torch.randn(5, 3)
    torch.manual_seed(0)
    mine = dropout.dropout(x, p, training)
    torch.manual_seed(0)
    assert torch.equal(mine, functional.dropout(x, p, training))


@pytest.mark.parametrize("mask", ["none", "boolean", "added"])
def test_attention_is_that_of_pytorch_but_for_what_is_dropped(
    mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    leaves = [torch.randn(2, 3, 5, 8, requires_grad=True) for _ in range(3)]
    looks = torch.rand(2, 1, 1, 5) < 0.6
    looks[..., 0] = True
    given = {"none": None, "boolean": looks, "added": torch.randn(2, 1, 5, 5)}[mask]
    monkeypatch.setattr(dropout, "dropout", lambda shares, p: shares)
    results = []
    for read in (
        functional.scaled_dot_product_attention(*leaves, given, scale=0.3),
        attention(*leaves, given, 0.1, scale=0.3),
    ):
        results.append((read.detach(), *torch.autograd.grad(read.square().sum(), leaves)))
    for mine, plain in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-4)


def test_shares_of_attention_are_dropped() -> None:
    torch.manual_seed(0)
    equal, one = torch.zeros(4, 2, 50, 8), torch.ones(4, 2, 50, 8)
    read = attention(equal, equal, one, dropout_p=0.2)[..., 0]
    assert read.mean().item() == pytest.approx(1, abs=0.02)
    assert read.std().item() == pytest.approx((0.2 / 0.8 / 50) ** 0.5, rel=0.2)


def test_models_go_through_it_on_a_cpu_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = build_runtime(RuntimeConfig(device="cpu", precision="fp32", compile="off", threads=1))
    asked: list[float] = []
    monkeypatch.setattr(dropout, "dropout", lambda x, p, training, inplace: asked.append(p) or x)
    monkeypatch.setattr(dropout, "attention", lambda query, *_, dropout_p: asked.append(dropout_p) or query)
    x = torch.ones(2, 3, 4)
    for own, expected in ((runtime, [0.3, 0.1]), (replace(runtime, compiled=True), [])):
        asked.clear()
        with own.arithmetic():
            nn.Dropout(0.3)(x)
            functional.scaled_dot_product_attention(x, x, x, dropout_p=0.1)
        assert asked == expected

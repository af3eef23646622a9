"""Linear maps by oneDNN are linear maps."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from bertinchamps.training import runtime
from bertinchamps.training.cpu import float32
from bertinchamps.training.cpu.float32 import linear
from bertinchamps.training.cpu.overrides import FunctionOverrides

SHAPES = [(64, 24), (2, 48, 24), (1, 24), (24,), (5, 13, 24), (3, 64, 24)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("images", [1, 16])
def test_values_and_gradients_are_those_of_the_plain_function(
    shape: tuple[int, ...], bias: bool, images: int
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(shape, requires_grad=True), torch.randn(40, 24, requires_grad=True)
    added = torch.randn(40, requires_grad=True) if bias else None
    leaves = [leaf for leaf in (x, weight, added) if leaf is not None]
    results = []
    for function in (functional.linear, lambda *given: linear(*given, images=images)):
        mapped = function(x, weight, added)
        results.append((mapped.detach(), *torch.autograd.grad(mapped.square().sum(), leaves)))
    for mine, plain in zip(results[1], results[0], strict=True):
        assert mine.shape == plain.shape
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(linear(x, weight, added), results[0][0], rtol=1e-4, atol=1e-4)


def test_rows_that_are_not_one_after_the_other() -> None:
    x = torch.randn(24, 70).t()
    weight = torch.randn(8, 48)[:, ::2].requires_grad_()
    torch.testing.assert_close(linear(x, weight), functional.linear(x, weight), rtol=1e-4, atol=1e-4)


def test_other_types_are_left_alone() -> None:
    x, weight = torch.randn(64, 8, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)
    assert torch.equal(linear(x, weight), functional.linear(x, weight))


@pytest.mark.parametrize("threads", [1, 2])
def test_modules_go_through_it_within_the_context_alone(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    plain = functional.conv2d
    monkeypatch.setattr(functional, "conv2d", lambda *given: asked.append(len(given[0])) or plain(*given))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    layer = nn.Linear(8, 4)
    layer(torch.randn(64, 8))
    assert asked == []
    with FunctionOverrides({functional.linear: partial(linear, images=float32.images())}):
        layer(torch.randn(64, 8))
    assert asked == [16 if threads == 1 else 1]


def test_only_processors_that_gain_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertinchamps.schemas import RuntimeConfig

    for helps, precision, expected in (
        (True, "fp32", True),
        (False, "fp32", False),
        (True, "bf16", False),
    ):
        monkeypatch.setattr(float32, "help_here", lambda helps=helps: helps)
        built = runtime.build_runtime(
            RuntimeConfig(device="cpu", precision=precision, compile="off", threads=1)
        )
        assert built.fast_linear_maps is expected
        asked: list[int] = []
        monkeypatch.setattr(
            float32, "linear", lambda x, weight, images, asked=asked: asked.append(len(x)) or x
        )
        with built.arithmetic():
            functional.linear(torch.ones(64, 8), torch.ones(4, 8))
        assert asked == ([64] if expected else [])


def test_a_machine_without_a_description_of_its_processor_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    float32.help_here.cache_clear()
    monkeypatch.setattr(float32.Path, "read_text", missing)
    assert float32.help_here() is False
    float32.help_here.cache_clear()

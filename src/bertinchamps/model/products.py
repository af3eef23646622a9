"""Linear maps of a model that only reads: float32 products in the faster of PyTorch's two libraries for processors.

PyTorch multiplies float32 with MKL, whose AVX-512 kernels are for Intel's processors. On others oneDNN, which comes
with PyTorch too, can be more than twice as fast, and it rounds as finely: these are the same float32 products.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import nn
from torch.nn import functional

ROWS, SIZE = 512, 512  # of the product by which the two are compared: 2 to 20 ms in all
TRIES = 4
CLEARLY = 1.2  # times as fast: less would let chance decide, and with it the last digit of every score


def use_faster_products(model: nn.Module) -> bool:
    """Let the model's linear maps go through oneDNN where this processor is clearly faster so.

    Weights stay where and as they are. For reading in float32 only: there are no gradients, and autocast is not
    heeded.

    Returns:
        Whether they do.
    """
    chosen = _is_there() and _is_faster()
    if chosen:
        for layer in model.modules():
            if isinstance(layer, nn.Linear) and type(layer).forward is nn.Linear.forward:
                layer.forward = partial(product, layer)  # type: ignore[method-assign]
    return chosen


def product(layer: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., out]
    """What `layer(inputs)` is, by oneDNN. It is what torch.compile calls: there is no other name for it."""
    output: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        inputs, layer.weight, layer.bias, "none", [], ""
    )
    return output


def _is_there() -> bool:
    built_in: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return built_in and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache  # one answer a process
@torch.inference_mode()
def _is_faster() -> bool:
    layer = nn.Linear(SIZE, SIZE)
    inputs = torch.randn(ROWS, SIZE, generator=torch.Generator().manual_seed(0))
    usual = partial(functional.linear, inputs, layer.weight, layer.bias)
    ours = partial(product, layer, inputs)
    seconds = [(_seconds(usual), _seconds(ours)) for _ in range(TRIES)]  # in turns: other programs run, too
    return min(pair[0] for pair in seconds) > CLEARLY * min(pair[1] for pair in seconds)


def _seconds(function: Callable[[], torch.Tensor]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began

"""The FLOP/s of a device that count as 100 % of mfu: from its data sheet, or measured."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from bertinchamps.training.cpu import float32

# Dense 16-bit matrix rates of the makers' data sheets, in TFLOP/s, by whole words of the device's name; the first
# match counts.
DATA_SHEET_TFLOPS = {
    "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312, "L40S": 362, "L40": 181, "L4": 121,
    "RTX 4090": 165, "RTX 3090": 71, "RTX A6000": 155, "RTX A4000": 77, "A40": 150, "A10": 125,
    "V100": 125, "T4": 65,
}  # fmt: skip

SIZE = 1024  # rows and columns of the matrix product on a processor
TIMES = 8  # the best of several short products counts: other programs may slow down some


class Peak(NamedTuple):
    """FLOP/s of one device, and their origin: "data sheet" or "measured"."""

    flops: float
    origin: str


@functools.cache
def peak_of(device: torch.device, dtype: torch.dtype | None, threads: int, fast_linear_maps: bool) -> Peak:
    """The peak of a device, looked up or measured once in a process.

    Args:
        device: of the model.
        dtype: of the products; None for float32.
        threads: of a processor; a key of the cache only.
        fast_linear_maps: float32 goes through `float32.linear`.
    """
    del threads
    if device.type == "cuda" and dtype is not None:
        name = torch.cuda.get_device_name(device)
        for words, tflops in DATA_SHEET_TFLOPS.items():
            if re.search(rf"\b{words}\b", name):  # an RTX A1000 is no A100
                return Peak(tflops * 1e12, "data sheet")
    size = 8192 if device.type == "cuda" else SIZE
    if device.type == "cpu" and dtype is torch.float16:
        size = 256  # most processors emulate fp16, and take minutes for more
    own = torch.Generator(device).manual_seed(0)  # training's own generator stays as it is
    matrix = torch.randn(size, size, device=device, dtype=dtype or torch.float32, generator=own)
    product: Callable[..., Any] = functional.linear
    if fast_linear_maps:
        product = functools.partial(float32.linear, images=float32.images())
    with torch.no_grad():
        best = min(_seconds(lambda: product(matrix, matrix), device) for _ in range(TIMES))
    return Peak(2 * size**3 / best, "measured")


def _seconds(function: Callable[[], Any], device: torch.device) -> float:
    began = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began

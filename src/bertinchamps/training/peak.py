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


class DataSheet(NamedTuple):
    """What a maker says of a card: the dense 16-bit matrix rate in TFLOP/s, and the power limit in watts."""

    tflops: float
    watts: float


# By whole words of the device's name; the first match counts.
DATA_SHEETS = {
    "H200": DataSheet(989, 700), "H100 PCIe": DataSheet(756, 350), "H100 NVL": DataSheet(835, 400),
    "H100": DataSheet(989, 700), "A100": DataSheet(312, 400), "L40S": DataSheet(362, 350),
    "L40": DataSheet(181, 300), "L4": DataSheet(121, 72), "RTX 4090": DataSheet(165, 450),
    "RTX 3090": DataSheet(71, 350), "RTX A6000": DataSheet(155, 300), "RTX A4000": DataSheet(77, 140),
    "A40": DataSheet(150, 300), "A10": DataSheet(125, 150), "V100": DataSheet(125, 300), "T4": DataSheet(65, 70),
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
        sheet = data_sheet(torch.cuda.get_device_name(device))
        if sheet is not None:
            return Peak(sheet.tflops * 1e12, "data sheet")
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


def data_sheet(name: str) -> DataSheet | None:
    """The data sheet of a card, by the name that PyTorch gives it; None where none is known."""
    # whole words: an RTX A1000 is no A100
    found = (sheet for words, sheet in DATA_SHEETS.items() if re.search(rf"\b{words}\b", name))
    return next(found, None)


def _seconds(function: Callable[[], Any], device: torch.device) -> float:
    began = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began

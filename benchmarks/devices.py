"""What the benchmarks ask of a device: the time when it has finished, its memory, the rate of its products."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from bertinchamps.training.runtime import Runtime


def set_process_as_torch_starts() -> None:
    """For a peer: take back what `Runtime.set_process` sets for ours."""
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")


def now(device: torch.device) -> float:
    """Seconds on a clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: torch.device) -> float:
    """The peak, in megabytes: of the device, or of this process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3


def product_flops(runtime: Runtime, tokens: int, widths: Any) -> float:
    """FLOP/s of the feed-forward's first product, in our precision and with our arithmetic.

    Args:
        runtime: device and precision.
        tokens: that are multiplied at once.
        widths: a configuration with the encoder's `hidden_size` and `intermediate_size`.
    """
    dtype = runtime.autocast_dtype or torch.float32
    given = torch.randn(tokens, widths.hidden_size, device=runtime.device, dtype=dtype)
    weight = torch.randn(widths.intermediate_size, widths.hidden_size, device=runtime.device, dtype=dtype)
    seconds = []
    with torch.no_grad(), runtime.arithmetic():
        for _ in range(12):
            began = now(runtime.device)
            functional.linear(given, weight)
            seconds.append(now(runtime.device) - began)
    return float(2 * tokens * weight.numel() / statistics.median(seconds[2:]))

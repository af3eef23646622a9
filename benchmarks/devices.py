"""What the benchmarks ask of a device: the time when it has finished, its memory, the rate of its products."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from bertinchamps.config import PretrainConfig
from bertinchamps.training.runtime import Runtime


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


def product_flops(config: PretrainConfig, runtime: Runtime) -> float:
    """FLOP/s of the feed-forward's first product on one micro-batch."""
    rows = config.batch.micro_batch * config.blocks.sequence_length
    dtype = runtime.autocast_dtype or torch.float32
    a = torch.randn(rows, config.arch.hidden_size, device=runtime.device, dtype=dtype)
    b = torch.randn(
        config.arch.hidden_size, config.arch.intermediate_size, device=runtime.device, dtype=dtype
    )
    seconds = []
    for _ in range(12):
        began = now(runtime.device)
        a @ b
        seconds.append(now(runtime.device) - began)
    return float(2 * rows * b.numel() / statistics.median(seconds[2:]))

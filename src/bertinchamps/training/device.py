"""What a device can do: 16-bit products in hardware, compiled code; the cores of a process."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch

from bertinchamps.launch import Launch, cores


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The dtype of matrix products; None for float32."""
    named = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if precision != "auto":
        return named.get(precision)
    if has_fast_bf16(device):
        return torch.bfloat16
    # Cards before Ampere, such as the T4, have tensor cores for fp16 alone.
    return torch.float16 if device.type == "cuda" and has_tensor_cores(device) else None


def has_tensor_cores(device: torch.device) -> bool:
    """True: the CUDA device multiplies 16-bit matrices in hardware (Volta and later)."""
    return torch.cuda.get_device_capability(device) >= (7, 0)


def has_fast_bf16(device: torch.device) -> bool:
    """True: the device multiplies bfloat16 matrices in hardware; emulation is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    in_hardware = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # no public way to ask
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(in_hardware())


def can_compile(device: torch.device) -> bool:
    """True: torch.compile has what it needs: Python's headers and a C++ compiler, or on CUDA Triton."""
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    if device.type == "cuda":
        return has_tensor_cores(device) and headers and importlib.util.find_spec("triton") is not None
    return headers and any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))


def cores_of(place: Launch) -> int:
    """The number of cores for this process: an equal share among those of its machine."""
    return max(1, cores() // place.local_world_size)

"""Linear maps in float32 on AMD processors with AVX-512.

PyTorch multiplies float32 matrices with MKL, which uses AVX-512 on Intel's processors alone. oneDNN uses AVX-512 on all
processors, and takes about half the time (docs/performance.md). With gradients oneDNN is reached through a convolution
of width 1; without gradients through the operator that torch.compile emits for linear maps.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

FEWEST_ROWS = 64  # below them a convolution is slower than MKL
IMAGES_OF_ONE_THREAD = 16  # with fewer, PyTorch takes convolutions of one thread to MKL, too


def images() -> int:
    """The number of images of a convolution, for the threads of this process."""
    return IMAGES_OF_ONE_THREAD if torch.get_num_threads() == 1 else 1


def linear(
    input: Tensor,  # [..., I], as torch.nn.functional.linear names it
    weight: Tensor,  # [O, I]
    bias: Tensor | None = None,  # [O]
    *,
    images: int = 1,
) -> Tensor:  # [..., O]
    """`torch.nn.functional.linear`, computed by oneDNN where that is possible and faster.

    Args:
        input: as the other arguments, named as in torch.
        weight: of the linear map.
        bias: of the linear map.
        images: into which the rows are divided; the result does not depend on it.
    """
    if input.dtype is not torch.float32 or weight.dtype is not torch.float32 or input.device.type != "cpu":
        return functional.linear(input, weight, bias)
    # Compiled code does not take this operator as it stands, and puts it in by itself where that pays.
    eager = not torch.compiler.is_compiling()
    if eager and not torch.is_grad_enabled() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        mapped: Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
        return mapped
    rows = input.numel() // input.shape[-1]
    if rows < FEWEST_ROWS or rows % images:
        return functional.linear(input, weight, bias)
    as_images = input.reshape(images, 1, rows // images, -1).permute(0, 3, 1, 2)  # channels last in memory
    mapped = functional.conv2d(as_images, weight[:, :, None, None], bias)
    return mapped.permute(0, 2, 3, 1).reshape(*input.shape[:-1], -1)


@functools.cache
def help_here() -> bool:
    """True: on this processor oneDNN uses AVX-512 and MKL does not."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return (
        "AuthenticAMD" in described
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )

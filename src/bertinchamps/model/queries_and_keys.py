"""Queries and keys between their projection and their product: normalised, where the arch says so, then rotated.

Shapes: B batch, N heads, S sequence (of queries: those whose outputs are computed), D size of a head, R = 1 or B.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertinchamps.model.norms import RMSNorm
from bertinchamps.model.plain_modules import is_plain
from bertinchamps.model.positions import Rotation, rotate


def prepared(vectors: Tensor, norm: RMSNorm | None, rotation: Rotation | None) -> Tensor:
    """Queries or keys [B, N, S, D], ready for the product of both, in their dtype.

    Args:
        vectors: as projected, in any order in memory.
        norm: over D; None: there is none.
        rotation: cosines and sines [R, 1, S, D]; None: positions are told in another way.
    """
    if norm is not None and rotation is not None and _trains_on_a_processor(vectors, norm):
        cosines, sines = rotation
        turned: Tensor = _NormAndRotation.apply(vectors, norm.weight, norm.eps, cosines, sines)  # type: ignore[no-untyped-call]
        return turned
    if norm is not None:
        vectors = norm(vectors).type_as(vectors)  # under autocast the norm returns fp32
    return vectors if rotation is None else rotate(vectors, rotation)


def _trains_on_a_processor(vectors: Tensor, norm: RMSNorm) -> bool:
    """True: an update on a CPU, not compiled, where both steps in one function save passes over memory."""
    return (
        vectors.device.type == "cpu"
        and vectors.dtype in (torch.float32, torch.bfloat16)
        and torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and norm.weight.dtype is torch.float32
        and is_plain(norm, RMSNorm)
    )


class _NormAndRotation(torch.autograd.Function):
    """R(g ⊙ x) · r, with r = 1 / √(mean(x²) + ε) of each vector x, the gain g, and the rotation R of its position.

    The root is a number, so it can be taken after the rotation, and gain and rotation become one. PyTorch has no kernel
    for either step on a CPU: its passes over the vectors, some of them out of order in memory, take three times as long
    as these (docs/log.md). With h = Rᵀ(∂) of an output's gradient ∂, gradients are

        ∂x = r · (g ⊙ h) − x · r³ / D · Σ (g ⊙ h ⊙ x)        ∂g = Σ over vectors of r · h ⊙ x
    """

    @staticmethod
    def forward(
        context: Any,
        vectors: Tensor,  # [B, N, S, D]
        gain: Tensor,  # [D]
        epsilon: float,
        cosines: Tensor,  # [R, 1, S, D], as sines
        sines: Tensor,
    ) -> Tensor:  # as vectors, in order in memory
        exact = vectors.float()
        size = exact.shape[-1]
        roots = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
        roots.square_().div_(size).add_(epsilon).rsqrt_()  # [B, N, S, 1]
        # the first half of a rotated vector reads the second half of the gain, and the other way round
        turned = _turned(exact, cosines * gain, sines * gain.roll(size // 2)).mul_(roots)
        context.save_for_backward(vectors, gain, roots, cosines, sines)
        return turned.to(vectors.dtype)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        vectors, gain, roots, cosines, sines = context.saved_tensors
        exact = vectors.float()
        size = exact.shape[-1]
        back = _turned(gradient.float(), cosines, -sines)  # a rotation's transpose is the rotation back
        products = (back * exact).reshape(-1, size)
        along = roots.pow(3).mul_((products @ gain).view_as(roots)).div_(-size)
        of_gain = roots.reshape(-1) @ products
        of_vectors = back.mul_(gain).mul_(roots).addcmul_(exact, along)
        return of_vectors.to(vectors.dtype), of_gain, None, None, None


def _turned(vectors: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """`rotate` without its copies: [B, N, S, D], in order in memory."""
    half = vectors.shape[-1] // 2
    turned = torch.empty(vectors.shape, dtype=vectors.dtype)
    torch.mul(vectors, cosines, out=turned)
    turned[..., :half].addcmul_(vectors[..., half:], sines[..., :half], value=-1)
    turned[..., half:].addcmul_(vectors[..., :half], sines[..., half:])
    return turned

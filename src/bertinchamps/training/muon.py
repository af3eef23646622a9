"""Muon (Jordan et al., 2024): steps along the orthogonalised momentum of weight matrices.

`torch.optim.Muon` computes the same in bfloat16, which most processors emulate at a fiftieth of float32's speed. This
implementation multiplies in a dtype that the device has in hardware, batches all matrices of one shape, and reads
`found_inf` on the device, as fused AdamW does, so the host does not synchronise to read the gradient norm.

Shapes: N matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.training.device import has_fast_bf16

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, by Jordan et al.
ITERATIONS = 5
SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, decoupled weight decay and steps as large as AdamW's (Liu et al., 2025).

    m ← m + (1 − momentum)(g − m)
    W ← (1 − lr · decay) W − lr · 0.2 √max(R, C) · orthogonalised(g + momentum (m − g))

    Args:
        parameters: matrices [R, C].
        lr: learning rate, before the factor 0.2 √max(R, C).
        momentum: share of the old momentum that is kept.
        weight_decay: decoupled decay.

    Attributes:
        found_inf: scalar tensor, set by the caller (as `torch.amp.GradScaler` does) or absent; above zero: `step`
            changes neither weights nor momentum.
    """

    _step_supports_amp_scaling = True  # torch.amp.GradScaler sets `found_inf` and does not read it

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update the weights; `closure`, of torch's interface, is ignored."""
        found_inf = getattr(self, "found_inf", None)
        for group in self.param_groups:
            same_shape: dict[tuple[torch.Size, torch.device], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    same_shape[parameter.shape, parameter.device].append(parameter)
            for parameters in same_shape.values():
                self._step_together(group, parameters, found_inf)

    def _step_together(
        self, group: dict[str, Any], parameters: list[nn.Parameter], found_inf: Tensor | None
    ) -> None:
        weights: list[Tensor] = [*parameters]
        buffers = [self._momentum_of(parameter) for parameter in parameters]
        momenta = torch.stack(buffers)  # [N, R, C]
        gradients = torch.stack([parameter.grad for parameter in parameters])  # type: ignore[misc]
        rate, decay = (
            group["lr"] * 0.2 * max(parameters[0].shape) ** 0.5,
            1 - group["lr"] * group["weight_decay"],
        )
        taken: Tensor | float = 1.0
        if found_inf is not None:
            left_out = found_inf > 0
            gradients = torch.where(left_out, momenta, gradients)  # which leaves the momenta as they are
            taken = 1.0 - left_out.float()
            decay = torch.where(left_out, 1.0, decay)
        momenta.lerp_(gradients, 1 - group["momentum"])
        steps = orthogonalised(gradients.lerp(momenta, group["momentum"])).to(momenta.dtype) * (rate * taken)
        torch._foreach_copy_(buffers, list(momenta.unbind()))
        torch._foreach_mul_(weights, decay)
        torch._foreach_sub_(weights, list(steps.unbind()))

    def _momentum_of(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def orthogonalised(matrices: Tensor) -> Tensor:  # [N, R, C] -> [N, R, C], in `product_dtype`
    """U S' Vᵀ for each matrix U S Vᵀ, with S' about 0.7 to 1.2, by five Newton-Schulz iterations of a quintic."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(product_dtype(matrices.device)).contiguous()
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=SMALLEST_NORM)
    # Matrices that are nearly square would take more arithmetic so.
    if x.dtype is torch.float32 and x.shape[-1] >= 2 * x.shape[-2]:
        x = _iterated_gram(x @ x.mT) @ x
    else:
        for _ in range(ITERATIONS):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _iterated_gram(gram: Tensor) -> Tensor:  # [N, R, R] -> [N, R, R]
    """The product of all iterations' polynomials, for matrices whose product with their own transpose is `gram`.

    An iteration multiplies with the polynomial p(G) = a + b G + c G², and G becomes p(G) G p(G): all of it is square,
    so wide matrices are multiplied twice instead of ten times. In 16 bits the products would lose what is small in G.
    """
    a, b, c = COEFFICIENTS
    product = None
    for iteration in range(ITERATIONS):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else polynomial @ product
        if iteration < ITERATIONS - 1:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product


def product_dtype(device: torch.device) -> torch.dtype:
    """The dtype of the iterations: bfloat16 where the device multiplies it in hardware, else float32."""
    return torch.bfloat16 if has_fast_bf16(device) else torch.float32

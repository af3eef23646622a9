"""Normalisation of the last dimension, by the name in `arch.norm`.

A builder takes the size, the epsilon, and True for a bias where the norm can have one. It may raise UserError for a
combination that it does not have.
"""

from __future__ import annotations

import torch
from torch import nn

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.registry import Registry

NORMS: Registry[nn.Module] = Registry("norm", "arch.norm")


def build_norm(config: BertinchampsConfig) -> nn.Module:
    """The configured norm over the hidden size."""
    return NORMS.build(
        config.norm, size=config.hidden_size, epsilon=config.norm_epsilon, bias=config.norm_bias
    )


@NORMS.register("layernorm")
def layernorm(size: int, epsilon: float, bias: bool) -> nn.Module:
    """(x − mean) / √(variance + ε) · gain + bias (Ba et al., 2016)."""
    return nn.LayerNorm(size, eps=epsilon, bias=bias)


class RMSNorm(nn.RMSNorm):
    """x / √(mean square + ε) · gain (Zhang and Sennrich, 2019), in the dtype of the gain.

    Under autocast that is fp32, which autocast sets for LayerNorm and not for RMSNorm; mixed dtypes would
    also miss the fused kernel.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., size] -> [..., size]
        return super().forward(x.to(self.weight.dtype))


@NORMS.register("rmsnorm")
def rmsnorm(size: int, epsilon: float, bias: bool) -> nn.Module:
    """`RMSNorm`, which has a gain only: `arch.norm_bias` has no effect on it.

    So `arch.norm=layernorm,rmsnorm` is a sweep over one key.
    """
    del bias
    return RMSNorm(size, eps=epsilon)

"""The feed-forward of a layer, by the name in `arch.feed_forward`.

A builder takes the config and raises UserError for a combination that it does not have.
Shapes: B batch, S sequence, H hidden, I intermediate.
"""

from __future__ import annotations

import torch
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.activations import ACTIVATIONS
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.initialisation import residual_linear
from bertinchamps.registry import Registry

FEED_FORWARDS: Registry[nn.Module] = Registry("feed-forward", "arch.feed_forward")


@FEED_FORWARDS.register("mlp")
class Mlp(nn.Module):
    """W₂ · act(W₁ x), as in the original Transformer."""

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        bias = config.feed_forward_bias
        self.input = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias)
        self.activation = ACTIVATIONS.build(config.activation)
        self.output = residual_linear(config.intermediate_size, config.hidden_size, bias=bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:  # [B, S, H] -> [B, S, H]
        mixed: torch.Tensor = self.output(self.activation(self.input(hidden)))
        return mixed


@FEED_FORWARDS.register("glu")
class Glu(nn.Module):
    """W₂ · (act(a) ⊙ b), with a and b the halves of W₁ x (Shazeer, 2020: "GLU variants").

    The activated half comes first, as in Cramming and ModernBERT.

    Raises:
        UserError: the intermediate size is odd.
    """

    def __init__(self, config: BertinchampsConfig) -> None:
        super().__init__()
        width, bias = config.intermediate_size, config.feed_forward_bias
        if width % 2:
            raise UserError(f"arch.intermediate_size={width}: glu splits it into two halves; make it even")
        self.input = nn.Linear(config.hidden_size, width, bias=bias)
        self.activation = ACTIVATIONS.build(config.activation)
        self.output = residual_linear(width // 2, config.hidden_size, bias=bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:  # [B, S, H] -> [B, S, H]
        activated, gate = self.input(hidden).chunk(2, dim=-1)  # 2 × [B, S, I / 2]
        mixed: torch.Tensor = self.output(self.activation(activated) * gate)
        return mixed

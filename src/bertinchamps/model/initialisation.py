"""How weight matrices start, by the name in `arch.init`.

Biases start at zero and gains at one whatever the entry. The draws go through
`transformers.initialization`, whose functions skip tensors that a checkpoint has already filled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from transformers import initialization

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.registry import Registry

Initialiser = Callable[[torch.Tensor, bool], object]
"""Fills one weight matrix in place; the flag is true for the weight of a `residual_linear`."""

_RESIDUAL = "writes_to_residual_stream"

INITS: Registry[Initialiser] = Registry("initialisation", "arch.init")


def residual_linear(inputs: int, outputs: int, bias: bool) -> nn.Linear:
    """A linear map whose output is added to the residual stream, which some initialisations treat differently.

    An attribute marks the module, not a class: quantisation replaces modules of exactly the class `nn.Linear`.
    """
    linear = nn.Linear(inputs, outputs, bias=bias)
    linear.__dict__[_RESIDUAL] = True
    return linear


def is_residual(module: nn.Module) -> bool:
    """True: the module was made by `residual_linear`."""
    return _RESIDUAL in module.__dict__


def _draws(deviation: float, residual_deviation: float) -> Initialiser:
    """Normal draws around zero, with another standard deviation for residual branches."""

    def fill(weight: torch.Tensor, residual: bool) -> None:
        initialization.normal_(weight, mean=0.0, std=residual_deviation if residual else deviation)

    return fill


@INITS.register("normal")
def normal(config: BertinchampsConfig) -> Initialiser:
    """Standard deviation `initializer_range` everywhere (BERT, Cramming)."""
    return _draws(config.initializer_range, config.initializer_range)


@INITS.register("zero_output")
def zero_output(config: BertinchampsConfig) -> Initialiser:
    """`normal`, but residual branches start at zero: the first hidden states are the embeddings."""
    return _draws(config.initializer_range, 0.0)


@INITS.register("depth_scaled")
def depth_scaled(config: BertinchampsConfig) -> Initialiser:
    """`normal`, with the residual branches' deviation divided by √(2 · layers) (GPT-2).

    The residual stream sums 2 · layers branches, and so keeps a variance that does not grow with depth.
    """
    return _draws(
        config.initializer_range, config.initializer_range / math.sqrt(2 * config.num_hidden_layers)
    )

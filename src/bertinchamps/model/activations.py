"""Pointwise nonlinearities, by the name in `arch.activation`."""

from __future__ import annotations

from torch import nn

from bertinchamps.registry import Registry

ACTIVATIONS: Registry[nn.Module] = Registry("activation", "arch.activation")


@ACTIVATIONS.register("gelu")
def gelu() -> nn.Module:
    """x · Φ(x), with the exact normal distribution function (Hendrycks and Gimpel, 2016)."""
    return nn.GELU()


@ACTIVATIONS.register("gelu_tanh")
def gelu_tanh() -> nn.Module:
    """The tanh approximation of `gelu`, from the same paper."""
    return nn.GELU(approximate="tanh")


@ACTIVATIONS.register("silu")
def silu() -> nn.Module:
    """x · σ(x); with `glu` this is SwiGLU (Shazeer, 2020)."""
    return nn.SiLU()


@ACTIVATIONS.register("relu")
def relu() -> nn.Module:
    """max(0, x)."""
    return nn.ReLU()

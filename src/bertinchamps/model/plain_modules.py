"""Modules that do what their class does, and nothing else: what a faster way to the same numbers must ask first."""

from __future__ import annotations

from torch import nn


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """True: calling the module does what calling a `kind` with its weight does, and nothing else.

    Adapters and quantisation replace the module or its weight by other classes, parametrisations change its class,
    `accelerate` replaces its `forward`, and hooks must be called.
    """
    return (
        type(module) is kind
        and type(module.weight) is nn.Parameter
        and "forward" not in module.__dict__
        and not (module._forward_hooks or module._forward_pre_hooks)
        and not (module._backward_hooks or module._backward_pre_hooks)
        and not nn.modules.module._has_any_global_hook()  # type: ignore[no-untyped-call]
    )

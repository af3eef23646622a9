"""Floating-point operations of products with given weights, however modules use them: whole, cut, or repeatedly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class ProductsWith(TorchDispatchMode):
    """Counts the operations of products with some weights that are computed within.

    Args:
        weights: by name.

    Attributes:
        flops: operations, by the name of the weight.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = dict.fromkeys(weights, 0)
        self._names = {weight.untyped_storage().data_ptr(): name for name, weight in weights.items()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is not None:
            for tensor in (each for each in args if isinstance(each, torch.Tensor)):
                name = self._names.get(tensor.untyped_storage().data_ptr())
                if name is not None:
                    self.flops[name] += count(*args, **given, out_val=result)
        return result

"""Functions called in place of PyTorch's own, within a context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode


class FunctionOverrides(TorchFunctionMode):
    """Within this context, models that call certain functions of PyTorch call others.

    Attributes:
        functions: what is called, by what the model names.
    """

    def __init__(self, functions: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
        super().__init__()
        self.functions = functions

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        arguments: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call what stands for the function, and any other as it is; what it calls in turn is PyTorch's own."""
        return self.functions.get(function, function)(*arguments, **(named or {}))

"""Functions called in place of PyTorch's own, within a context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode


class FunctionOverrides(TorchFunctionMode):
    """A context in which calls of certain functions of PyTorch become calls of others.

    Attributes:
        functions: the function that is called, by the function that the model calls.
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
        """Call the override of `function`, or `function` itself; inside an override PyTorch's own are called."""
        return self.functions.get(function, function)(*arguments, **(named or {}))

"""BERTinchamps: pretrain a crammed French BERT within a budget.

Importing the package makes transformers' Auto classes open its checkpoints, and gives its layers the base class that
transformers looks for. Neither torch nor transformers is imported for that: the modules that register the models are
imported right after those classes, or at once if those have been. Nor do our own commands import those classes, which
takes seconds.

`load`, `fine_tune` and `Model` are those of `bertinchamps.api`, which is imported when one of them is asked for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from bertinchamps.api import Model, fine_tune, load

__all__ = ["Model", "fine_tune", "load"]


class _AfterImport(MetaPathFinder, Loader):
    """Lets one module be imported as ever, then another one register what it has."""

    def __init__(self, module: str, then: str) -> None:
        self._module, self._then = module, then

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None:
            self._loader = cast(Loader, spec.loader)
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        import_module(self._then).register()


for _module, _then in (
    ("transformers.models.auto.configuration_auto", "bertinchamps.model.configuration"),
    ("transformers.models.auto.modeling_auto", "bertinchamps.model.auto"),
    ("transformers.modeling_layers", "bertinchamps.model.layers"),
):
    if _module in sys.modules:
        import_module(_then).register()
    else:
        sys.meta_path.insert(0, _AfterImport(_module, _then))


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("bertinchamps.api"), name)

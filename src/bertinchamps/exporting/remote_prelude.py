"""What stands in the files of `remote_code` for parts of this package that serve configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Registry(dict[str, Any]):
    """Classes and functions by the name that the configuration has for them."""

    def __init__(self, kind: str, key: str) -> None:
        super().__init__()
        self.kind, self.key = kind, key

    def register(self, name: str) -> Callable[[Any], Any]:
        """Decorator that adds an entry."""

        def decorate(builder: Any) -> Any:
            self[name] = builder
            return builder

        return decorate

    def build(self, name: str, **arguments: Any) -> Any:
        """Call the entry."""
        if name not in self:
            raise ValueError(f"{self.key}={name}: no such {self.kind} (one of: {', '.join(sorted(self))})")
        return self[name](**arguments)

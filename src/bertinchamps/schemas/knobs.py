"""How a setting is declared."""

from __future__ import annotations

from dataclasses import field
from typing import Any

Node = dict[str, Any]


def knob(default: Any, text: str) -> Any:
    """A dataclass field that carries its own documentation, which `--help` prints."""
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


def named(node: Node) -> tuple[str, Node]:
    """An open node as (name, settings)."""
    return str(node.get("name")), {key: value for key, value in node.items() if key != "name"}

"""What a key takes, in words: for the message about a value of another kind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from omegaconf import BooleanNode, DictConfig, FloatNode, IntegerNode, ListConfig, OmegaConf, StringNode
from omegaconf.errors import OmegaConfBaseException

from bertinchamps.registry import closest

# In this order: the first whose instance a node is.
WORDS: tuple[tuple[type, str], ...] = (
    (BooleanNode, "true or false"),
    (IntegerNode, "a whole number"),
    (FloatNode, "a number"),
    (StringNode, "text"),
)


def misfits(base: DictConfig, key: str, value: Any, written: Any) -> Iterator[str]:
    """What is wrong with a value by its kind.

    Args:
        base: the composed configuration, which has the key, and which is left as it was.
        key: its full name.
        value: given for it.
        written: the value as the user wrote it.
    """
    parent, _, leaf = key.rpartition(".")
    holder: Any = OmegaConf.select(base, parent) if parent else base
    node: Any = copy.deepcopy(holder._get_node(leaf))
    group = isinstance(node, DictConfig)
    try:
        OmegaConf.update(base, key, value, merge=True)
        fits = isinstance(value, dict) or not group
    except OmegaConfBaseException:
        fits = False
    finally:  # as it was, for the next setting; a copy of the whole would take longer than all else here
        holder.__dict__["_content"][leaf] = node
    if value == "":  # of a variable of the shell that is not set, perhaps
        yield f"{key}=: nothing stands behind the =; give a value, or leave {key} out"
        return
    if fits:
        return
    if not (group and isinstance(value, dict)):
        yield f"{key}={written!s}: must be {wanted(key, node)}"
        return
    known = [str(name) for name in node]
    for name, part in value.items():
        if str(name) in known:
            yield from misfits(base, f"{key}.{name}", part, part)
        else:
            yield f"{key}.{name}: no such key{closest(str(name), known)} ({key} has: {', '.join(known)})"


def wanted(key: str, node: Any) -> str:
    """What may be given for a key, after "must be".

    Args:
        key: its full name.
        node: what the composed configuration holds there.
    """
    if isinstance(node, DictConfig):
        menu = ", ".join(f"{key}.{name!s}" for name in node)
        return f"a group of settings; give one of {menu}" if menu else "a group of settings: '{name: …}'"
    if isinstance(node, ListConfig):
        groups = node._metadata.element_type is not Any  # of which `cleaning` has a list
        return "a list" + (f" of groups of settings, such as '{key}=[{{name: …}}]'" if groups else "")
    words = next((words for kind, words in WORDS if isinstance(node, kind)), "another kind of value")
    return words + (" or null" if node._is_optional() else "")

"""What tokenizer.json holds: entries with their ids, and other places where ids are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Content = dict[str, Any]  # of tokenizer.json


def ids_in(content: Content) -> dict[str, int]:
    """All entries, added tokens included, with their ids."""
    vocabulary = content["model"]["vocab"]
    ids = (
        {piece: at for at, (piece, _) in enumerate(vocabulary)}
        if isinstance(vocabulary, list)
        else dict(vocabulary)
    )
    return ids | {token["content"]: token["id"] for token in content.get("added_tokens", ())}


def with_renewed_ids(content: Content, new: Mapping[int, int]) -> Content:
    """The content with other ids of tokens wherever they stand outside of the model.

    Args:
        content: of tokenizer.json; it is not changed.
        new: for each old id the new one.
    """
    changed = dict(content)
    for key in ("added_tokens", "post_processor", "padding"):
        if content.get(key) is not None:
            changed[key] = _renewed(content[key], new)
    return changed


def _renewed(node: Any, new: Mapping[int, int]) -> Any:
    """A node with the ids in it renewed: `id`, `ids`, `pad_id`, and pairs of a token and its id."""
    if isinstance(node, dict):
        return {
            key: new[value]
            if key in ("id", "pad_id") and isinstance(value, int)
            else [new[each] for each in value]
            if key == "ids"
            else _renewed(value, new)
            for key, value in node.items()
        }
    if isinstance(node, list):
        if len(node) == 2 and isinstance(node[0], str) and type(node[1]) is int:
            return [node[0], new[node[1]]]
        return [_renewed(each, new) for each in node]
    return node

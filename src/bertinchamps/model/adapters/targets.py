"""Which modules of an encoder are adapted: found by their names and shapes, whatever the architecture.

Names are those of the modules in the model that transformers opens, such as encoder.layers.0.attention.query_key_value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from bertinchamps.errors import UserError

QUERIES = ("query", "query_proj", "q_proj", "q_lin", "q_linear", "query_layer", "q_attn", "q_head", "q")
KEYS = ("key", "key_proj", "k_proj", "k_lin", "k_linear", "key_layer", "k_head", "k")
VALUES = ("value", "value_proj", "v_proj", "v_lin", "v_linear", "value_layer", "v_head", "v")
FUSED = ("query_key_value", "Wqkv", "qkv_proj", "qkv", "in_proj", "c_attn")  # query, key and value in one map
# Fused maps whose rows are all queries, then all keys, then all values, by the model's type.
QUERIES_FIRST = ("bertinchamps", "modernbert")
# Maps from the inner activation of the feed-forward back to the hidden size; some names are used by attention, too.
FEED_FORWARD = (
    "feed_forward.output", "mlp.Wo", "ffn.lin2", "ffn_output", "fc2", "lin2", "linear_2", "down_proj", "dense_4h_to_h",
    "output.dense", "wo",
)  # fmt: skip
OF_ATTENTION = ("attention", "attn", "self_attn", "attentions")


def linear_maps(model: nn.Module) -> dict[str, nn.Module]:
    """The linear maps of a model, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear | Conv1D)}


def attention_maps(model: Any, roles: Sequence[Sequence[str]]) -> list[str]:
    """The maps of queries, keys or values, and the fused maps that hold them.

    Args:
        model: of transformers.
        roles: of QUERIES, KEYS, VALUES; a model has a map of each, or fused maps.

    Raises:
        UserError: none is found; the message says what was looked for.
    """
    names = _inside(model)
    fused = [name for name in names if name.rpartition(".")[2] in FUSED]
    if fused:
        return fused
    wanted = {name for role in roles for name in role}
    if all(any(name.rpartition(".")[2] in role for name in names) for role in roles):
        return [name for name in names if name.rpartition(".")[2] in wanted]
    if QUERIES in roles and (of_peft := _of_peft(model)):
        return of_peft
    raise _nothing(model, f"linear maps that are called {', '.join(sorted({*wanted, *FUSED}))}")


def feed_forward_maps(model: Any) -> list[str]:
    """The maps that read the inner activation of each feed-forward.

    Raises:
        UserError: none is found; the message says what was looked for.
    """
    names = _inside(model)
    for ending in FEED_FORWARD:
        found = [
            name
            for name in names
            if f".{name}".endswith(f".{ending}") and not set(name.split(".")[-3:-1]) & set(OF_ATTENTION)
        ]
        if found:
            return found
    size, maps = model.config.hidden_size, linear_maps(model)
    shaped = [name for name in names if _sizes(maps[name])[1] == size != _sizes(maps[name])[0]]
    if shaped:
        return shaped
    raise _nothing(
        model,
        f"linear maps that are called {', '.join(FEED_FORWARD)}, or that lead from another size to the hidden size",
        "feed_forward",
    )


def named_by_user(model: Any, key: str, endings: Sequence[str]) -> list[str]:
    """The maps whose names end as the user says, in the order of the model.

    Raises:
        UserError: an ending fits nothing; the message lists the endings that there are.
    """
    names = _inside(model)
    fits = {ending: [name for name in names if f".{name}".endswith(f".{ending}")] for ending in endings}
    if unknown := [ending for ending, found in fits.items() if not found]:
        raise UserError(
            f"adapter.{key}={list(endings)}: no linear map of {type(model).__name__} is called {', '.join(unknown)}; "
            f"there are {', '.join(_menu(names))}"
        )
    chosen = {name for found in fits.values() for name in found}
    return [name for name in names if name in chosen]


def _inside(model: Any) -> list[str]:
    """The linear maps of the encoder, without those of the head and of poolers."""
    encoder, prefix = model.base_model, ""
    if encoder is not model:
        prefix = next(f"{name}." for name, part in model.named_modules() if part is encoder)
    return [f"{prefix}{name}" for name in linear_maps(encoder) if "pooler" not in name.split(".")]


def _sizes(part: Any) -> tuple[int, int]:
    """Inputs and outputs of a linear map."""
    rows, columns = part.weight.shape
    return (rows, columns) if isinstance(part, Conv1D) else (columns, rows)


def _of_peft(model: Any) -> list[str]:
    """What peft's LoRA adapts in this type of model, if peft knows the type and the model has all of it."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    endings = KNOWN.get(model.config.model_type, [])
    if isinstance(endings, str):
        return []
    fits = [[name for name in _inside(model) if f".{name}".endswith(f".{ending}")] for ending in endings]
    return [name for found in fits for name in found] if all(fits) else []


def _nothing(model: Any, wanted: str, key: str = "targets") -> UserError:
    return UserError(
        f"adapter: {type(model).__name__} has no {wanted}. Say which maps are adapted by the end of their names: "
        f"'adapter.{key}=[…]'; there are {', '.join(_menu(_inside(model))) or 'none'}"
    )


def _menu(names: Sequence[str]) -> Iterator[str]:
    """The names from their layer's number on, each once."""
    seen = set()
    for name in names:
        parts = name.split(".")
        numbers = [place for place, part in enumerate(parts) if part.isdigit()]
        ending = ".".join(parts[numbers[-1] + 1 :]) if numbers and numbers[-1] + 1 < len(parts) else parts[-1]
        if ending not in seen:
            seen.add(ending)
            yield ending

"""Where an encoder has its layers, heads and feed-forward units, by the type of its configuration.

A unit of a feed-forward is a column of the map that leaves it, with the rows of the map that enters it: one row, or one
in each half where one half gates the other. A head is a group of neighbouring rows of queries, keys and values, with as
many columns of the map behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.visibility import side_of

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Layout:
    """Names below the encoder and below a layer.

    Attributes:
        layers: the list of layers.
        enters: of the feed-forward: hidden states → units.
        leaves: of the feed-forward: units → hidden states.
        halves: blocks of rows of `enters`: 2 where one gates the other.
        width_counts: what the configuration's width counts of a unit: 2 where it counts both halves.
        queries: the maps of queries, keys and values, or the one map of all three.
        attended: the map behind the heads.
        heads_shrink: whether the class can have heads that do not fill the hidden size.
    """

    layers: str
    enters: str
    leaves: str
    queries: tuple[str, ...]
    attended: str
    halves: int = 1
    width_counts: int = 1
    heads_shrink: bool = False

    @property
    def fused(self) -> int:
        """Blocks of rows in each map of queries, keys and values."""
        return 3 // len(self.queries)


_BERT = Layout(
    layers="encoder.layer",
    enters="intermediate.dense",
    leaves="output.dense",
    queries=("attention.self.query", "attention.self.key", "attention.self.value"),
    attended="attention.output.dense",
)
LAYOUTS: Mapping[str, Layout] = {
    "modernbert": Layout("layers", "mlp.Wi", "mlp.Wo", ("attn.Wqkv",), "attn.Wo", halves=2),
    **dict.fromkeys(("bert", "roberta", "camembert", "xlm-roberta", "electra"), _BERT),
}


def layout_of(config: Any) -> Layout:
    """The layout of an encoder.

    Args:
        config: of the encoder.

    Raises:
        UserError: it is of a type without one.
    """
    if config.model_type == "bertinchamps":
        halves = 2 if config.feed_forward == "glu" else 1
        return Layout(
            layers="layers",
            enters="feed_forward.input",
            leaves="feed_forward.output",
            queries=("attention.query_key_value",),
            attended="attention.output",
            halves=halves,
            width_counts=halves,
            heads_shrink=True,
        )
    if config.model_type not in LAYOUTS:
        known = ", ".join(("bertinchamps", *LAYOUTS))
        raise UserError(f"steps: prune knows the layers of {known}, and the model is a {config.model_type}")
    return LAYOUTS[config.model_type]


@dataclass(frozen=True)
class Kept:
    """What is left of the layers.

    Attributes:
        layers: their old numbers, ascending.
        units: of each layer that is left, the feed-forward's units, ascending; all of one number. None: all units.
        heads: of each layer that is left, its heads, ascending; all of one number. None: all heads.
    """

    layers: Sequence[int]
    units: Sequence[Sequence[int]] | None = None
    heads: Sequence[Sequence[int]] | None = None


def layers_of(inner: PreTrainedModel, layout: Layout) -> list[nn.Module]:
    """The layers of a model of transformers."""
    found: Any = inner.base_model.get_submodule(layout.layers)
    return list(found)


def units_of(config: Any, layout: Layout) -> int:
    """Units of a feed-forward."""
    return int(config.intermediate_size) // layout.width_counts


def head_size_of(config: Any) -> int:
    """Width of a head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def changes_of(config: Any, layout: Layout, kept: Kept) -> dict[str, Any]:
    """The fields of the configuration that change."""
    changes: dict[str, Any] = {"num_hidden_layers": len(kept.layers)}
    if kept.units is not None:
        changes["intermediate_size"] = len(kept.units[0]) * layout.width_counts
    if kept.heads is not None:
        changes |= {"num_attention_heads": len(kept.heads[0]), "head_dim": head_size_of(config)}
    # A layer that is left sees as much of the text as before, whatever its number is now.
    if isinstance(config, BertinchampsConfig) and config.attention == "alternating":
        changes["global_layers"] = [
            new for new, old in enumerate(kept.layers) if side_of(config, old) is None
        ]
    if getattr(config, "layer_types", None) is not None:
        changes["layer_types"] = [config.layer_types[layer] for layer in kept.layers]
    return changes


def selected(inner: PreTrainedModel, layout: Layout, kept: Kept) -> State:
    """The weights of the pruned model, under its names."""
    state = inner.state_dict()
    prefix = _prefix(inner, layout)
    chosen = {name: weights for name, weights in state.items() if not name.startswith(prefix)}
    for new, old in enumerate(kept.layers):
        before = f"{prefix}{old}."
        layer = {name.removeprefix(before): each for name, each in state.items() if name.startswith(before)}
        for (name, axis), places in _places(inner.config, layout, kept, new):
            for kind in ("weight", "bias") if axis == 0 else ("weight",):
                if (key := f"{name}.{kind}") in layer:
                    layer[key] = layer[key].index_select(axis, places.to(layer[key].device))
        chosen |= {f"{prefix}{new}.{name}": weights for name, weights in layer.items()}
    return chosen


def _prefix(inner: PreTrainedModel, layout: Layout) -> str:
    layers = inner.base_model.get_submodule(layout.layers)
    return next(f"{name}." for name, module in inner.named_modules() if module is layers)


def _places(
    config: Any, layout: Layout, kept: Kept, layer: int
) -> Iterator[tuple[tuple[str, int], torch.Tensor]]:
    """A map of the layer, the axis that is cut (0: rows, 1: columns), and the places there that are left."""
    if kept.units is not None:
        units = torch.tensor(kept.units[layer])
        yield (layout.enters, 0), _in_blocks(units, units_of(config, layout), layout.halves)
        yield (layout.leaves, 1), units
    if kept.heads is not None:
        size = head_size_of(config)
        columns = (torch.tensor(kept.heads[layer])[:, None] * size + torch.arange(size)).flatten()
        for name in layout.queries:
            yield (name, 0), _in_blocks(columns, config.num_attention_heads * size, layout.fused)
        yield (layout.attended, 1), columns


def _in_blocks(places: torch.Tensor, width: int, blocks: int) -> torch.Tensor:
    """The same places in each of several blocks of a width."""
    return torch.cat([places + block * width for block in range(blocks)])

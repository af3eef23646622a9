"""What a masked language model shows of itself to another one: logits, hidden states, attention's vectors.

Our own models are run layer by layer, in the same arithmetic as `forward`, so that the student's views have gradients
under compilation and recomputed activations. Other models of transformers are read by hooks, for a teacher alone.

Shapes: B batch, S sequence, H hidden, K masked positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from bertinchamps.errors import UserError
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.heads.stock_masked_lm import AtMaskedPositions
from bertinchamps.model.positions import at

# The names of the maps to queries, keys and values in the attention of transformers' encoders.
APART = (
    ("query", "key", "value"),
    ("q_proj", "k_proj", "v_proj"),
    ("q_lin", "k_lin", "v_lin"),
    ("query_proj", "key_proj", "value_proj"),
)
FUSED = ("Wqkv", "query_key_value", "qkv_proj")


class Wanted(NamedTuple):
    """What is looked at, besides logits.

    Attributes:
        layers: numbers of layers whose outputs are, from 1 on, in order.
        attention: number of the layer whose queries, keys and values are, before any rotation or norm of a head; None:
            of no layer.
    """

    layers: tuple[int, ...] = ()
    attention: int | None = None


class Views(NamedTuple):
    """What was seen.

    Attributes:
        logits: [B, K, V].
        states: of the wanted layers by number, [B, S, H]; of the last layer [B, K, H]: no more is computed.
        attention: queries, keys and values, each [B, S, H]; none where no layer's were wanted.
    """

    logits: Tensor
    states: Mapping[int, Tensor] = {}
    attention: tuple[Tensor, ...] = ()


def views_of(model: BertinchampsForMaskedLM, ids: Tensor, positions: Tensor, wanted: Wanted) -> Views:
    """Views of a model of ours for ids [B, S], with logits at positions [B, K]."""
    if wanted == Wanted():
        return Views(model.masked_logits(ids, positions))
    encoder: Any = model.encoder
    positions = cast(Tensor, model.where_read(positions))
    states: dict[int, Tensor] = {}
    attention: tuple[Tensor, ...] = ()
    places = torch.arange(ids.shape[1], device=ids.device)
    hidden = encoder.embeddings(ids, places)
    surroundings = encoder.surroundings(places, None, positions)
    for number, (layer, (rotation, mask)) in enumerate(
        zip(encoder.layers, surroundings, strict=True), start=1
    ):
        if number == wanted.attention:
            read = layer.attention_norm(hidden) if layer.pre_norm else hidden
            attention = layer.attention.query_key_value(read).chunk(3, dim=-1)
        hidden = layer(hidden, rotation, mask, positions if number == len(encoder.layers) else None)
        if number in wanted.layers:
            states[number] = hidden
    return Views(model.head(encoder.final_norm(hidden), positions), states, attention)


@dataclass
class StockViews:
    """Views of a masked language model of transformers, whose head is computed at the masked positions alone.

    Args:
        model: evaluated, and not trained.
        wanted: besides logits.

    Raises:
        UserError: its attention has no maps of known names.
    """

    model: Any
    wanted: Wanted
    _attention: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._masked = AtMaskedPositions(self.model)
        if self.wanted.attention is not None:
            for place, part in enumerate(attention_maps(self.model, self.wanted.attention)):
                part.register_forward_hook(self._keeper(place))

    def __call__(self, ids: Tensor, positions: Tensor) -> Views:
        """Views for ids [B, S], with logits at positions [B, K]."""
        output = self._masked(ids, positions, output_hidden_states=bool(self.wanted.layers))
        last = self.model.config.num_hidden_layers
        states = {
            number: at(output.hidden_states[number], positions)
            if number == last
            else output.hidden_states[number]
            for number in self.wanted.layers
        }
        return Views(output.logits, states, self._attention_vectors())

    def _attention_vectors(self) -> tuple[Tensor, ...]:
        kept = [self._attention[place] for place in sorted(self._attention)]
        self._attention.clear()
        return tuple(kept[0].chunk(3, dim=-1)) if len(kept) == 1 else tuple(kept)

    def _keeper(self, place: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(module: nn.Module, given: Any, output: Tensor) -> None:
            del module, given
            self._attention[place] = output

        return keep


def attention_maps(model: Any, number: int) -> Sequence[nn.Module]:
    """The maps to queries, keys and values of a layer (from 1 on) of a model of transformers: three, or one for all.

    Raises:
        UserError: there are none of known names.
    """
    layers = layers_of(model)
    found = (
        {}
        if layers is None
        else {name.rpartition(".")[2]: part for name, part in layers[number - 1].named_modules()}
    )
    for names in APART:
        if all(name in found for name in names):
            return [found[name] for name in names]
    for name in FUSED:
        if name in found:
            return [found[name]]
    raise UserError(
        f"a {model.config.model_type} model, whose queries, keys and values have no known names; set "
        "objective.relation_weight=0"
    )


def layers_of(model: Any) -> nn.ModuleList | None:
    """The layers of an encoder of transformers; None where they are no list."""
    number = model.config.num_hidden_layers
    lists = [
        part for part in model.base_model.modules() if isinstance(part, nn.ModuleList) and len(part) == number
    ]
    return lists[0] if lists else None

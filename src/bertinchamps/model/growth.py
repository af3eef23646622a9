"""A larger model that begins as a smaller one: the same function at the start (bert2BERT, Chen et al., 2022).

In width, each unit of the small model has copies in the large one: the residual stream and the heads are repeated as
a whole, units of a feed-forward one after the other. A copy's incoming weights are the unit's, and its outgoing weights
are shares of the unit's, which sum to it. The shares differ at random, because equal copies would get equal gradients
and never part (as in LEMON, Wang et al., 2024):

    W'[a, b] = W[a mod A, b mod B] / (copies of b) + noise,  with noise that sums to zero over the copies of b

A norm over a vector that is repeated as a whole is that norm's output, repeated, which is why hidden_size grows by
whole multiples. In depth, a new layer is the identity: a copy of the layer below it, whose branches write zeros. With
attention=alternating, a layer of the small model takes a place whose layer reads as far as it does.

H hidden, A outputs, B inputs, of the small model.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.errors import UserError
from bertinchamps.model.configuration import ARCHITECTURE_FIELDS, BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.visibility import side_of

GROWING = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
FREE = ("dropout", "init", "initializer_range")  # may differ: they do not change the function at the start
NOISE = 0.5  # standard deviation of the shares' noise, in standard deviations of the weights that are shared
LAYER = re.compile(r"^encoder\.layers\.(\d+)\.")
BRANCHES = ("attention.output", "feed_forward.output")  # of a layer: what writes to the residual stream
# Module, by the end of its name → what its outputs and its inputs are units of; None: of something that does not grow.
UNITS: Mapping[str, tuple[str | None, str | None]] = {
    "embeddings.tokens": (None, "hidden"),
    "positions.vectors": (None, "hidden"),
    "attention.query_key_value": ("thirds", "hidden"),
    "attention.output": ("hidden", "hidden"),
    "feed_forward.input": ("inputs", "hidden"),
    "feed_forward.output": ("hidden", "inner"),
    "transform.dense": ("hidden", "hidden"),
    "head.decoder": (None, "hidden"),
    "query_norm": (None, None),
    "key_norm": (None, None),
    "norm": ("hidden", None),
}


def growth_problems(small: BertinchampsConfig, fields: Mapping[str, Any], key: str) -> list[str]:
    """Why a model of an architecture cannot begin as a smaller one, in the user's key names.

    Args:
        small: the architecture to begin as.
        fields: the `configs/arch/` node of the new model, which is valid by itself.
        key: and value of the setting that names the small model, for messages.
    """
    large = BertinchampsConfig(**{name: fields[name] for name in ARCHITECTURE_FIELDS})
    free = (*GROWING, *FREE, *(() if large.positions == "learned" else ("max_positions",)))
    free += () if large.positions == "rotary" else ("rotary_theta", "local_theta")
    free += () if large.attention == "alternating" else ("local_window", "global_every", "local_theta")
    found = [
        f"arch.{name}={_written(getattr(large, name))}: {key} has {_written(getattr(small, name))}, and only "
        f"{', '.join(GROWING)} can grow; give arch.{name}={_written(getattr(small, name))}"
        for name in ARCHITECTURE_FIELDS
        if name not in free and getattr(large, name) != getattr(small, name)
    ]
    width = small.hidden_size
    if large.hidden_size % width:
        fitting = ", ".join(
            str(factor * width) for factor in range(1, max(4, large.hidden_size // width + 2))
        )
        found.append(
            f"arch.hidden_size={large.hidden_size}: {key} has {width}, and norms allow whole multiples "
            f"alone: {fitting}, …"
        )
    elif large.head_size != small.head_size:
        heads = large.hidden_size // small.head_size
        found.append(
            f"arch.num_attention_heads={large.num_attention_heads}: {key} has heads of {small.head_size}, and their "
            f"size stays; give arch.num_attention_heads={heads}"
        )
    found += [
        f"arch.{name}={getattr(large, name)}: {key} has {getattr(small, name)}, and models only grow; give "
        "at least that"
        for name in ("num_hidden_layers", "intermediate_size")
        if getattr(large, name) < getattr(small, name)
    ]
    if not found and not _places(small, large):
        found.append(
            f"arch.num_hidden_layers={large.num_hidden_layers}: layers of {key} were pruned, and not each that is left "
            "finds a layer here that reads as much of the text, in their order; give more layers, or another model"
        )
    return found + (_width_problems(large) if large.hidden_size > width else [])


def _width_problems(large: BertinchampsConfig) -> list[str]:
    """What keeps a larger hidden size from computing the same."""
    found = []
    if large.head_positions:
        found.append(
            "arch.head_positions=true: positions before the head do not grow with hidden_size; "
            "only num_hidden_layers and intermediate_size can grow"
        )
    if large.tie_word_embeddings and not _has_last_norm(large):
        found.append(
            "arch.final_norm=false: with the embedding as decoder, logits grow with hidden_size unless a norm before "
            "the decoder takes it back; only num_hidden_layers and intermediate_size can grow"
        )
    return found


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _has_last_norm(config: BertinchampsConfig) -> bool:
    return config.final_norm or config.head_transform or config.norm_position == "post"


def adopt(large: BertinchampsConfig, small: BertinchampsConfig) -> None:
    """Set what a config takes over from that of the small model: the width at which sines of positions are computed."""
    if large.positions in ("sinusoidal", "scaled_sinusoidal"):
        width = small.position_width or small.hidden_size
        large.position_width = width if width != large.hidden_size else None


@torch.no_grad()
def grow(small: BertinchampsForMaskedLM, large: BertinchampsForMaskedLM) -> None:
    """Fill a model so that it computes what a smaller one does.

    Args:
        small: of an architecture in which `growth_problems` finds nothing.
        large: with a config that `adopt` has seen; its weights are overwritten. Noise is drawn from torch's generator.

    Raises:
        UserError: a weight of another size in a module whose growth is not known.
    """
    before, after = small.config, large.config
    maps, known = _maps(before, after), dict(small.named_parameters())
    places = _places(before, after)
    sources = [bisect_right(places, index) - 1 for index in range(after.num_hidden_layers)]
    for name, parameter in large.named_parameters():
        source = LAYER.sub(lambda found: f"encoder.layers.{sources[int(found[1])]}.", name)
        if source in known:  # a copy of a first layer without a norm keeps the norm that it began with
            parameter.copy_(_grown(large, name, known[source], maps, parameter.shape))
    for index in range(1, after.num_hidden_layers):
        if sources[index] == sources[index - 1]:
            _make_identity(large, index)
    if after.hidden_size > before.hidden_size and after.tie_word_embeddings:
        norm = _last_norm(large)
        for part in norm.parameters():
            part.mul_(before.hidden_size / after.hidden_size)


def _places(small: BertinchampsConfig, large: BertinchampsConfig) -> list[int]:
    """The number that each layer of the small model has in the large one; empty: the large one has no room for all.

    Each is as near to equal distances as layers allow that read as far as it does (`side_of`).
    """
    count, total = small.num_hidden_layers, large.num_hidden_layers
    reach = [side_of(large, index) for index in range(total)]
    latest, end = [0] * count, total
    for index in reversed(range(count)):
        fitting = [at for at in range(end) if reach[at] == side_of(small, index)]
        if not fitting:
            return []
        latest[index] = end = fitting[-1]
    found: list[int] = []
    for index in range(count):
        first, even = found[-1] + 1 if found else 0, -(-index * total // count)
        fitting = [at for at in range(first, latest[index] + 1) if reach[at] == side_of(small, index)]
        found.append(min(fitting, key=lambda at: abs(at - even)))
    return [] if found[0] else found  # the first layer of a model is a copy of nothing below it


def _maps(small: BertinchampsConfig, large: BertinchampsConfig) -> dict[str, Tensor]:
    """For each kind of unit: of which unit of the small model a unit of the large one is a copy."""
    width, halves = small.hidden_size, 2 if small.feed_forward == "glu" else 1
    inner = small.intermediate_size // halves
    hidden = torch.arange(large.hidden_size) % width
    units = torch.arange(large.intermediate_size // halves) % inner
    return {
        "hidden": hidden,
        "thirds": torch.cat([hidden + part * width for part in range(3)]),
        "inner": units,
        "inputs": torch.cat([units + part * inner for part in range(halves)]),
    }


def _grown(
    large: nn.Module, name: str, weight: Tensor, maps: Mapping[str, Tensor], shape: torch.Size
) -> Tensor:
    """A parameter of the large model, from its counterpart in the small one."""
    path, _, kind = name.rpartition(".")
    known = next((units for end, units in UNITS.items() if path.endswith(end)), None)
    if known is None:
        if weight.shape != shape:
            raise UserError(
                f"grow.model: how {name} grows is not known ({[*weight.shape]} to {[*shape]}); grow "
                "num_hidden_layers alone, or choose parts of arch that the project ships"
            )
        return weight
    outputs, inputs = known
    if outputs is not None:
        weight = weight[maps[outputs]]
    if kind == "bias" or inputs is None:
        return weight
    if isinstance(large.get_submodule(path), nn.Embedding):
        return weight[:, maps[inputs]]
    return _shared(weight, maps[inputs])


def _shared(weight: Tensor, units: Tensor) -> Tensor:
    """Columns [A, B] of units, shared among copies of these: [A, B'], where columns of copies sum to the unit's."""
    copies = torch.bincount(units, minlength=weight.shape[1])
    noise = torch.randn(weight.shape[0], len(units)) * NOISE * weight.std()
    mean = torch.zeros_like(weight).index_add_(1, units, noise) / copies
    return (weight / copies)[:, units] + (noise - mean[:, units]) / copies[units]


def _make_identity(model: BertinchampsForMaskedLM, index: int) -> None:
    """Let a layer add nothing; with post-norm, let it give back what the layer below it gave before."""
    layer, below = model.encoder.layers[index], model.encoder.layers[index - 1]
    for branch in BRANCHES:
        for parameter in layer.get_submodule(branch).parameters():
            parameter.zero_()
    if model.config.norm_position == "post":
        # Norms with neither gain nor bias pass on what is normalised; the last one has gain and bias of the first one.
        _neutralise(layer.get_submodule("attention_norm"))
        _neutralise(below.get_submodule("feed_forward_norm"))


def _neutralise(norm: nn.Module) -> None:
    for name, parameter in norm.named_parameters():
        parameter.fill_(1.0 if name == "weight" else 0.0)


def _last_norm(model: BertinchampsForMaskedLM) -> nn.Module:
    """The norm whose outputs the decoder reads."""
    if model.config.head_transform:
        return model.get_submodule("head.transform.norm")
    if model.config.final_norm:
        return model.get_submodule("encoder.final_norm")
    return model.encoder.layers[-1].get_submodule("feed_forward_norm")

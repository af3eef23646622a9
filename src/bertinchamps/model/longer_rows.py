"""More positions for a masked language model, which then reads longer rows than it was pretrained with.

A learned table is copied behind itself as often as needed (Beltagy et al., 2020, *Longformer*, section 5: RoBERTa's
512 positions become 4,096), because attention looks at neighbours, whatever their place. So a text that fitted before
has the states that it had. RoBERTa's family counts from the row behind that of padding, so the rows before it stay.

Rotary positions get a larger base (NTK-aware interpolation: bloc97, 2023; Peng et al., 2023, *YaRN*, section 3.1):

    base' = base · s^(D / (D − 2)),   s = positions afterwards / positions before,   D size of a head

Of the pairs of dimensions the slowest then turns s times more slowly, as with position interpolation (Chen et al.,
2023), and the fastest as before. That changes the states of short texts, too. Local layers keep their base, because
they look no further than before (as in ModernBERT, Warner et al., 2024).
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import NO_LIMIT, longest_input
from bertinchamps.model.resizing import dimensions_of, of_same_class

LIMIT = "max_position_embeddings"
ROTARY, GLOBAL = "rotary", "full_attention"  # the latter in transformers' settings of rotary positions


def positions_in(config: Any) -> int:
    """How many positions a model has, of those that texts use; rotary ones are as many as its configuration says."""
    return int(getattr(config, LIMIT)) if rotary_base(config) is not None else longest_input(config)


def rotary_base(config: Any) -> float | None:
    """The base of rotary positions in layers that read all of a row; None: a model has none, or scales them already."""
    if isinstance(config, BertinchampsConfig):
        return config.rotary_theta if config.positions == ROTARY else None
    settings = _rotary_settings(config)
    usual = settings.get("rope_type", "default") == "default" and "partial_rotary_factor" not in settings
    return float(settings["rope_theta"]) if usual and "rope_theta" in settings else None


def _rotary_settings(config: Any) -> dict[str, Any]:
    """Transformers' settings of rotary positions, of the layers that read all of a row where there are two kinds."""
    settings: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    found: dict[str, Any] = settings.get(GLOBAL, settings)
    return found


def longer_base(config: Any, base: float, tokens: int) -> float:
    """The base for rows of so many tokens, by the formula above, of a model with this configuration and base."""
    if isinstance(config, BertinchampsConfig):
        size = config.head_size
    else:
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return float(base * (tokens / positions_in(config)) ** (size / (size - 2)))


def extension_problems(config: Any, tokens: int, base: float | None, key: str) -> list[str]:
    """Why a masked language model cannot get positions for longer rows, as far as its configuration tells.

    Args:
        config: of the model.
        tokens: of the longest row.
        base: of rotary positions, if it is given.
        key: and value of the setting that names the model, for messages.
    """
    from transformers import AutoModelForMaskedLM

    found, rotary = [], rotary_base(config) is not None
    if base is not None and not (rotary and base > 0):
        found.append(
            f"positions.theta={base}: " + ("above 0" if rotary else f"{key} has no rotary positions")
        )
    if (before := positions_in(config)) == NO_LIMIT:
        return [
            *found,
            f"positions.extend={tokens}: {key} computes positions for rows of any length; leave it out",
        ]
    if tokens <= before:
        return [
            *found,
            f"positions.extend={tokens}: {key} has {before:,} positions; give more, or leave it out",
        ]
    if rotary:
        return found
    with torch.device("meta"):  # no memory for weights
        model = AutoModelForMaskedLM.from_config(copy.deepcopy(config))  # type: ignore[no-untyped-call]
    return found if tables_of(model) else [*found, refusal(config, key)]


def tables_of(model: Any) -> list[str]:
    """Names of the learned tables of positions; none: the model has another kind of positions."""
    try:
        found = dimensions_of(model, LIMIT)
    except (ValueError, KeyError, AttributeError):
        return []
    weights = model.state_dict()
    are_tables = all(index == 0 and weights[name].dim() == 2 for name, index in found.items())
    return list(found) if are_tables else []


@torch.no_grad()
def with_more_positions(model: Any, tokens: int, base: float | None, key: str) -> Any:
    """A model of the same class that reads longer rows.

    Args:
        model: a masked language model of transformers, or ours; it is left as it was.
        tokens: of the longest row.
        base: of rotary positions; None: as in the formula above.
        key: and value of the setting that names the model, for the message.

    Raises:
        UserError: positions of this class cannot be extended.
    """
    config = copy.deepcopy(model.config)
    if (before := rotary_base(config)) is not None:
        _set_base(config, longer_base(config, before, tokens) if base is None else base)
        setattr(config, LIMIT, tokens)
        return of_same_class(model, config, model.state_dict())
    longest, tables = longest_input(config), tables_of(model)
    if not tables:
        raise UserError(refusal(config, key))
    unused = getattr(config, LIMIT) - longest
    rows = torch.cat((torch.arange(unused), unused + torch.arange(tokens) % longest))
    setattr(config, LIMIT, len(rows))
    state = {name: part[rows] if name in tables else part for name, part in model.state_dict().items()}
    longer = of_same_class(model, config, state)
    if not _read_alike(model, longer, longest):
        raise UserError(refusal(config, key))
    return longer


def _set_base(config: Any, base: float) -> None:
    if isinstance(config, BertinchampsConfig):
        config.rotary_theta = base
    else:
        _rotary_settings(config)["rope_theta"] = base


def refusal(config: Any, key: str) -> str:
    """What is said of a model whose positions are neither a table nor usual rotary ones."""
    return (
        f"positions.extend: {key} is a {config.model_type} model, whose positions are neither a learned table nor "
        "rotary with one base; leave it out"
    )


def _read_alike(model: Any, longer: Any, tokens: int) -> bool:
    """Whether two models have the same states for a row of so many tokens."""
    some = torch.arange(tokens) % (model.config.vocab_size - 1)
    ids = torch.where(some == model.config.pad_token_id, model.config.vocab_size - 1, some)[None]
    modes = [(each, each.training) for each in (model, longer)]
    before, after = (each.eval().base_model(input_ids=ids)[0] for each in (model, longer))
    for each, training in modes:
        each.train(training)
    return torch.allclose(before, after, rtol=1e-4, atol=1e-4)

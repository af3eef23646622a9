"""From a `configs/arch/` node to a config: every mistake at once, in the user's key names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from bertinchamps.errors import UserError
from bertinchamps.model.activations import ACTIVATIONS
from bertinchamps.model.configuration import ARCHITECTURE_FIELDS, BertinchampsConfig
from bertinchamps.model.feed_forward import FEED_FORWARDS
from bertinchamps.model.initialisation import INITS
from bertinchamps.model.norms import NORMS, build_norm
from bertinchamps.model.positions import POSITIONS
from bertinchamps.model.stock.requirements import POOLERS, REQUIRED, stock_problems
from bertinchamps.registry import Registry, closest

# Keys of the node that are not part of the model's config.
NODE_ONLY_FIELDS = ("stock", "vocab_padding")

REGISTRIES: Mapping[str, tuple[Registry[Any], tuple[str, ...]]] = {
    # field -> its registry, and the parameters that code rather than the user passes
    "feed_forward": (FEED_FORWARDS, ("config",)),
    "activation": (ACTIVATIONS, ()),
    "norm": (NORMS, ("size", "epsilon", "bias")),
    "positions": (POSITIONS, ("config",)),
    "init": (INITS, ("config",)),
}

CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "norm_position": ("pre", "post"),
    "attention": ("global", "alternating"),
    "pooler": POOLERS,
    "stock": (None, *REQUIRED),
}
# A field's kind (switch, count, quantity) is that of its default.
DEFAULTS: Mapping[str, object] = {
    "vocab_padding": 64,
    **{name: getattr(BertinchampsConfig, name) for name in ARCHITECTURE_FIELDS},
}


class Relation(NamedTuple):
    """A rule between fields, applied once each of them is valid by itself."""

    fields: tuple[str, ...]
    problem: Callable[[BertinchampsConfig], str | None]


def arch_problems(fields: Mapping[str, object]) -> list[str]:
    """Everything wrong with an architecture node, as `arch.X=...` lines with their remedies.

    Args:
        fields: the whole node, `stock` and `vocab_padding` included. Every key must be there: an architecture that
            relied on defaults would change with them.
    """
    known = (*ARCHITECTURE_FIELDS, *NODE_ONLY_FIELDS)
    problems = [f"arch.{name}: no such setting{closest(name, known)}" for name in fields if name not in known]
    problems += [
        f"arch.{name}: missing; configs/arch/crammed.yaml has it" for name in known if name not in fields
    ]
    valid: dict[str, Any] = {}
    for name in (name for name in known if name in fields):
        wrong = _field_problems(name, fields[name])
        problems += wrong
        if not wrong:
            valid[name] = fields[name]
    # This config has defaults in place of invalid fields, so relations that read an invalid field are left out.
    config = BertinchampsConfig(**{name: valid[name] for name in ARCHITECTURE_FIELDS if name in valid})
    judged = [relation for relation in RELATIONS if valid.keys() >= set(relation.fields)]
    problems += [problem for relation in judged if (problem := relation.problem(config)) is not None]
    stock = valid.get("stock")
    if stock is not None and valid.keys() >= {"activation", *REQUIRED[stock]}:
        problems += stock_problems(config, stock)
    return problems


def build_config(fields: Mapping[str, Any], vocab_size: int, **token_ids: int | None) -> BertinchampsConfig:
    """The config of a new model.

    Args:
        fields: the whole `configs/arch/` node.
        vocab_size: tokens of the tokenizer, rounded up to a multiple of `vocab_padding`: matrix products are faster on
            round sizes.
        token_ids: `pad_token_id`, `mask_token_id` and so on.

    Raises:
        UserError: the node has mistakes; the message lists all of them.
    """
    problems = arch_problems(fields)
    if problems:
        raise UserError("\n".join(problems))
    padding = fields["vocab_padding"]
    settings: dict[str, Any] = {name: fields[name] for name in ARCHITECTURE_FIELDS}
    settings |= token_ids
    return BertinchampsConfig(**settings, vocab_size=-(-vocab_size // padding) * padding)


def _field_problems(name: str, value: object) -> list[str]:
    """Mistakes in one value, independent of the other fields."""
    if name in REGISTRIES:
        registry, given = REGISTRIES[name]
        return registry.problems(value, given=given)
    if name in CHOICES:
        menu = CHOICES[name]
        listed = ", ".join("null" if choice is None else choice for choice in menu)
        return [] if value in menu else [f"arch.{name}={value}: must be one of {listed}"]
    right, demand = _of_its_kind(name, value)
    return [] if right else [f"arch.{name}={value}: must be {demand}"]


def _of_its_kind(name: str, value: object) -> tuple[bool, str]:
    """True if the value is of its default's kind (switch, count or quantity); and what it must be, in words."""
    if isinstance(DEFAULTS[name], bool):
        return isinstance(value, bool), "true or false"
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if isinstance(DEFAULTS[name], int):
        return isinstance(number, int) and number >= 1, "a whole number of at least 1"
    if name == "dropout":
        return 0 <= number < 1, "a number from 0 to less than 1"
    return 0 < number < math.inf, "a number above 0"


def _heads(config: BertinchampsConfig) -> str | None:
    if config.hidden_size % config.num_attention_heads:
        return (
            f"arch.num_attention_heads={config.num_attention_heads}: does not divide"
            f" arch.hidden_size={config.hidden_size}"
        )
    return None


def _window(config: BertinchampsConfig) -> str | None:
    if config.local_window % 2:
        return f"arch.local_window={config.local_window}: half of it lies to each side; make it even"
    return None


def _post_norm_final(config: BertinchampsConfig) -> str | None:
    if config.norm_position == "post" and config.final_norm:
        return "arch.final_norm=true: post-norm layers end in a norm already; set it to false"
    return None


def _post_norm_first(config: BertinchampsConfig) -> str | None:
    if config.norm_position == "post" and not config.first_attention_norm:
        return "arch.first_attention_norm=false: only pre-norm layers may go without it; set it to true"
    return None


def _positions_again(config: BertinchampsConfig) -> str | None:
    if config.head_positions and config.positions in ("rotary", "none"):
        told = f"arch.head_positions=true: arch.positions={config.positions} adds nothing to hidden states"
        return f"{told}; set it to false"
    return None


def _builds(build: Callable[[BertinchampsConfig], object]) -> Callable[[BertinchampsConfig], str | None]:
    """A relation that a registry's entry checks itself: build the entry without memory, and return its UserError."""

    def problem(config: BertinchampsConfig) -> str | None:
        try:
            with torch.device("meta"):
                build(config)
        except UserError as error:
            return str(error)
        return None

    return problem


RELATIONS = (
    Relation(("hidden_size", "num_attention_heads"), _heads),
    Relation(("local_window",), _window),
    Relation(("norm_position", "final_norm"), _post_norm_final),
    Relation(("head_positions", "positions"), _positions_again),
    Relation(("norm_position", "first_attention_norm"), _post_norm_first),
    Relation(("norm", "norm_bias", "norm_epsilon", "hidden_size"), _builds(build_norm)),
    Relation(
        ("feed_forward", "activation", "hidden_size", "intermediate_size", "feed_forward_bias"),
        _builds(lambda config: FEED_FORWARDS.build(config.feed_forward, config=config)),
    ),
    Relation(
        ("positions", "hidden_size", "num_attention_heads", "max_positions", "rotary_theta"),
        _builds(lambda config: POSITIONS.build(config.positions, config=config)),
    ),
)

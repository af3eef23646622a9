"""Which configs a stock class can represent, and what both sides call activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig

# What a stock class has no choice about. A field not named here is either free or about training only.
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "modernbert": {
        "feed_forward": "glu",
        "norm": "layernorm",
        "norm_position": "pre",
        "embedding_norm": True,
        "final_norm": True,
        "first_attention_norm": False,
        "positions": "rotary",
        "head_transform": True,
        "head_positions": False,
        "query_key_norm": False,
        "dropout": 0.0,  # ModernBERT drops inside the feed-forward, not after it
    },
    "bert": {
        "feed_forward": "mlp",
        "norm": "layernorm",
        "norm_position": "post",
        "norm_bias": True,
        "attention_bias": True,
        "feed_forward_bias": True,
        "decoder_bias": True,
        "head_bias": True,
        "embedding_norm": True,
        "final_norm": False,
        "first_attention_norm": True,
        "positions": "learned",
        "attention": "global",
        "head_transform": True,
        "head_positions": False,
        "query_key_norm": False,
    },
}

# Of text classifiers: Cramming's, which no stock class has, and those of the stock classes.
POOLERS = ("cramming", *REQUIRED)

# Our names of activations, and the stock classes'.
ACTIVATION_NAMES = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "silu": "silu", "relu": "relu"}


def stock_problems(config: BertinchampsConfig, stock: str) -> list[str]:
    """Every field that keeps a config from being a stock model, as `arch.X=...` lines.

    Args:
        config: the architecture.
        stock: `modernbert` or `bert`.
    """
    if stock not in REQUIRED:
        return [f"arch.stock={stock}: must be one of null, {', '.join(REQUIRED)}"]
    problems = [
        f"arch.{field}={_as_written(getattr(config, field))}: arch.stock={stock} needs {_as_written(needed)}"
        for field, needed in REQUIRED[stock].items()
        if getattr(config, field) != needed
    ]
    if config.head_dim is not None and config.num_attention_heads * config.head_dim != config.hidden_size:
        problems.append(
            f"arch.num_attention_heads={config.num_attention_heads}: heads were pruned, and the heads of arch.stock="
            f"{stock} share hidden_size={config.hidden_size} among them"
        )
    if config.activation not in ACTIVATION_NAMES:
        known = ", ".join(ACTIVATION_NAMES)
        problems.append(f"arch.activation={config.activation}: arch.stock={stock} needs one of {known}")
    return problems


def refuse_unrepresentable(config: BertinchampsConfig, stock: str) -> None:
    """Raise UserError with all of `stock_problems`, if there are any."""
    problems = stock_problems(config, stock)
    if problems:
        raise UserError("\n".join(problems))


def pooler_problems(config: BertinchampsConfig, stock: str) -> list[str]:
    """What keeps a text classifier whose encoder a stock class can represent from being that class."""
    if config.pooler == stock:
        return []
    return [
        f"pooler={config.pooler} (config.json): text classifiers of {stock} have another one; those that are "
        f"fine-tuned from a model with arch.pooler={stock}, which it gets in pretraining, are stock classes"
    ]


def refuse_another_pooler(config: BertinchampsConfig, stock: str) -> None:
    """Raise UserError with `pooler_problems`, if there are any."""
    problems = pooler_problems(config, stock)
    if problems:
        raise UserError("\n".join(problems))


def refuse_foreign(checks: Mapping[str, bool]) -> None:
    """Raise UserError for the settings of a stock model that are flagged as having no twin here."""
    foreign = [setting for setting, flagged in checks.items() if flagged]
    if foreign:
        raise UserError(
            f"this stock model cannot be read; without a counterpart in arch: {', '.join(foreign)}"
        )


def our_activation(name: str) -> str:
    """Our name for a stock activation, or UserError."""
    names = {theirs: ours for ours, theirs in ACTIVATION_NAMES.items()}
    refuse_foreign({f"activation {name!r}": name not in names})
    return names[name]


def _as_written(value: object) -> str:
    """A value as a user writes it in yaml."""
    return str(value).lower() if isinstance(value, bool) else str(value)

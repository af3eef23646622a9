"""Which settings decide a result: a run goes on with the same ones, and a report averages over runs that share them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

# What may differ when a run goes on: where things are and how they are computed. Another precision, device or
# number of threads changes losses by rounding.
FREE_TO_CHANGE = (
    "resume", "run_dir", "runs_dir", "tracker", "checkpoint", "runtime", "blocks.cache_dir", "blocks.workers", "label",
    "task.title",
)  # fmt: skip
# What the fingerprint of a corpus stands for where a run reads an exported one: it goes on with the original, and
# the other way round.
IN_FINGERPRINT = (
    "data", "cleaning", "tokenizer", "blocks.held_out_share", "blocks.tokens_per_character",
)  # fmt: skip


def deciding_settings(config: Any) -> dict[str, Any]:
    """Those that decide the result, by their full names.

    Args:
        config: a dataclass of `schemas.py`.
    """
    return settings_of(asdict(config))


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Flat deciding settings of a configuration as config.yaml has it."""
    return _without(dict(_flat(config)), FREE_TO_CHANGE)


def compared(before: dict[str, Any], config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a run and those to go on with, without what may differ between them.

    Args:
        before: flat deciding settings of the run. One that the run's version did not know counts as its default.
        config: the configuration of now.
    """
    now, defaults = deciding_settings(config), deciding_settings(type(config)())
    unknown = {key: value for key, value in defaults.items() if key in now and key not in before}
    before = {**unknown, **before}
    if "prepared" in (before.get("data.name"), now.get("data.name")):
        return _without(before, IN_FINGERPRINT), _without(now, IN_FINGERPRINT)
    return before, now


def settings_but_the_seed(config: dict[str, Any]) -> dict[str, Any]:
    """Flat settings in which two runs of one row of a report agree: all that decide, but the seed.

    The examples are told by their fingerprint and the encoder by what `model` meant, so neither's place is among them.

    Args:
        config: as config.yaml has it.
    """
    return {
        key: value
        for key, value in settings_of(config).items()
        if key not in ("seed", "model") and not key.startswith("task.") and value != []
    }


def _without(flat: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Flat settings without those of these names, or below them."""
    return {
        name: value
        for name, value in flat.items()
        if not any(name == key or name.startswith(f"{key}.") for key in keys)
    }


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

"""Which settings decide a result: a run is resumed with the same ones, and a report averages runs that share them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

# Settings that may differ when a run is resumed: where things are and how they are computed. Another precision,
# device or number of threads changes losses by rounding. A fingerprint of the examples says which were left out.
FREE_TO_CHANGE = (
    "resume", "run_dir", "runs_dir", "tracker", "checkpoint", "cost", "report", "runtime", "blocks.cache_dir",
    "blocks.workers", "limits", "label", "task.title", "task.on_error", "arch.pooler",
)  # fmt: skip
# Settings that a corpus' fingerprint covers: a run on an exported corpus may be resumed on the original one, and the
# other way round.
IN_FINGERPRINT = (
    "data", "cleaning", "tokenizer", "blocks.held_out_share", "blocks.tokens_per_character",
)  # fmt: skip


def deciding_settings(config: Any) -> dict[str, Any]:
    """Full name → value of the settings that decide the result.

    Args:
        config: a dataclass of `schemas/`.
    """
    return settings_of(asdict(config))


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Flat deciding settings of the content of a config.yaml."""
    return _without(dict(_flat(config)), FREE_TO_CHANGE)


def compared(before: dict[str, Any], config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a run and of the configuration to resume it with, without what may differ between them.

    Args:
        before: flat deciding settings of the run. A setting that the run's version did not know has its default.
        config: the current configuration.
    """
    now, defaults = deciding_settings(config), deciding_settings(type(config)())
    unknown = {key: value for key, value in defaults.items() if key in now and key not in before}
    before = {**unknown, **before}
    if "prepared" in (before.get("data.name"), now.get("data.name")):
        return _without(before, IN_FINGERPRINT), _without(now, IN_FINGERPRINT)
    return before, now


def settings_but_the_seed(config: dict[str, Any]) -> dict[str, Any]:
    """Flat settings that runs of one row of a report share: the deciding settings but the seed.

    Examples are identified by fingerprint and the encoder by what `model` resolved to, so their paths are left out.

    Args:
        config: the content of a config.yaml.
    """
    return _without(settings_of(config), ("seed", "model", "task"))


def _without(flat: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Flat settings without these keys and without the keys below them."""
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

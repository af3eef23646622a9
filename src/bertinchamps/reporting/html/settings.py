"""config.yaml and run.json → groups of settings, and the environment of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bertinchamps.fingerprints import canonical
from bertinchamps.reporting.html.places import impersonal, impersonal_all


class Group(NamedTuple):
    """Settings under one key: full name → value as it is written."""

    title: str
    settings: list[tuple[str, str]]


def groups_of(run: Path) -> list[Group]:
    """The composed settings of a run, in their order; those without a group come first. None without a config.yaml."""
    try:
        config = yaml.load((run / "config.yaml").read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    if not isinstance(config, dict):
        return []
    single = [(name, _written(value)) for name, value in config.items() if not isinstance(value, dict)]
    grouped = [
        Group(name, list(_flat(value, f"{name}.")))
        for name, value in config.items()
        if isinstance(value, dict)
    ]
    return [Group("of the run", single), *(group for group in grouped if group.settings)]


def environment_of(facts: Mapping[str, Any], device: str) -> list[tuple[str, str]]:
    """Name → value: command, versions, device, and the commit where it is known.

    Args:
        facts: the content of run.json.
        device: as the summary describes it.
    """
    versions = facts.get("versions", {})
    found = [
        ("command", facts.get("command", "")),
        ("started", facts.get("started", "")),
        ("device", device),
        ("machine", facts.get("machine", "")),
        ("commit", facts.get("commit") or ""),
        ("Python", facts.get("python", "")),
        *(versions.items() if isinstance(versions, dict) else ()),
        ("fingerprint of the data", facts.get("data_fingerprint", "")),
        ("encoder", facts.get("encoder", "")),
    ]
    return [(name, impersonal(str(value))) for name, value in found if value]


def _flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _written(value)


def _written(value: Any) -> str:
    value = impersonal_all(value)
    return value if isinstance(value, str) else canonical(value)

"""What can be wrong with the settings of `prepare`."""

from __future__ import annotations

import os
from pathlib import Path

from bertinchamps.checks.rules import taken, unwritable
from bertinchamps.data.checks import corpus_problems
from bertinchamps.data.cluster import cluster_problems
from bertinchamps.data.prepared import is_prepared
from bertinchamps.schemas import PrepareCommandConfig


def problems(config: PrepareCommandConfig) -> list[str]:
    """Every mistake in a configuration of this command, in the user's key names."""
    found = corpus_problems(config)
    if config.data.get("online"):
        found.append("data.online=true: blocks that are prepared are not packed while training; leave it out")
    if config.tokenizer.path is None:
        found += [
            f"tokenizer.{name}={number}: of a tokenizer that exists; name it with tokenizer.path="
            for name, number in (("extend", config.tokenizer.extend), ("replace", config.tokenizer.replace))
            if number is not None
        ]
    if is_prepared(config.data):
        found += _problems_of_prepared(config)
    elif config.cluster:
        found += cluster_problems(config.cluster, config.data)
    for key, value in (("stats", config.stats), ("export", config.export)):
        if value is not None:
            found += _place_problems(key, value)
    return found


def _problems_of_prepared(config: PrepareCommandConfig) -> list[str]:
    """Settings that make no sense with data=prepared, which has no documents and is an export already."""
    found = []
    if config.cluster:
        found.append("+cluster: a prepared corpus leaves the tasks of a cluster nothing to do; leave it out")
    if config.stats is not None:
        found.append(
            f"stats={config.stats}: reads documents, which a prepared corpus does not have; set stats= with export="
        )
    if config.export is not None:
        found.append(f"export={config.export}: data.folder is an export already; copy that folder")
    return found


def _place_problems(key: str, value: str) -> list[str]:
    """Why a setting's path cannot be written."""
    place = Path(value).expanduser()
    if os.path.lexists(place):
        return [taken(key, value)]
    return unwritable(key, value, place)

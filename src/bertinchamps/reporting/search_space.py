"""What a search of settings may choose: ranges of numbers, and lists of values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.durable import read_json
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical
from bertinchamps.reporting.study_grid import number, read_keys
from bertinchamps.schemas import TuneConfig

RANGE = {"low", "high", "log"}
# In a search's folder: Optuna's journal, the plan of its trials, the best settings.
JOURNAL, PLAN, BEST = "trials.log", "plan.json", "best.yaml"


class Range(NamedTuple):
    """Numbers from low to high, both included; whole ones where both are whole.

    Attributes:
        log: equally likely in each factor, not in each distance.
    """

    low: float
    high: float
    log: bool

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are chosen."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class SearchPlan(NamedTuple):
    """What a search does.

    Attributes:
        settings: key of finetune → its value in every trial.
        space: key of finetune → the range or the values to choose from.
    """

    settings: Mapping[str, Any]
    space: Mapping[str, Range | list[Any]]


def read_search(file: Path) -> SearchPlan:
    """The plan of a search in a yaml file.

    Raises:
        UserError: it cannot be read, or is no plan.
    """
    settings, search = read_keys(file, ("settings", "search"))
    problems = (
        []
        if search
        else ["search: keys of finetune, such as `optim.learning_rate: {low: 1e-4, high: 1e-2, log: true}`"]
    )
    space: dict[str, Range | list[Any]] = {}
    for key, node in search.items():
        found = _choice(node)
        if isinstance(found, str):
            problems.append(f"search: {key}: {found}")
        else:
            space[key] = found
    problems += [f"{key}: in settings and in search" for key in sorted(settings.keys() & search.keys())]
    if problems:
        raise UserError("\n".join(f"plan={file}: {problem}" for problem in problems))
    return SearchPlan(settings, space)


def content_of(plan: SearchPlan) -> dict[str, dict[str, Any]]:
    """What PLAN holds: `settings` and `search`, ranges with all their keys."""
    space = {key: node._asdict() if isinstance(node, Range) else node for key, node in plan.space.items()}
    content: dict[str, dict[str, Any]] = json.loads(canonical({"settings": plan.settings, "search": space}))
    return content


def differing(plan: SearchPlan, folder: Path) -> list[str]:
    """The keys in which a plan differs from that of the trials in a folder; none where there are no trials.

    Raises:
        UserError: the folder does not say of which plan its trials are.
    """
    if not (folder / JOURNAL).exists():
        return []
    before, now = read_json(folder / PLAN, "settings", "search"), content_of(plan)
    return [
        f"{part}: {key}"
        for part in now
        for key in sorted(now[part].keys() | before[part].keys())
        if (key in now[part], now[part].get(key)) != (key in before[part], before[part].get(key))
    ]


def folder_of(config: TuneConfig) -> Path:
    """Where the search is."""
    return Path(config.folder).expanduser() if config.folder else Path("tuning") / Path(config.plan).stem


def _choice(node: Any) -> Range | list[Any] | str:
    """The range or the values of a node, or what is wrong with it."""
    if isinstance(node, list):
        return node if len(node) > 1 else "a list of several values, such as [4, 8]"
    if not isinstance(node, dict) or not {"low", "high"} <= node.keys() <= RANGE:
        return "a list of values, or {low: …, high: …} and perhaps log: true"
    low, high, log = number(node["low"]), number(node["high"]), node.get("log", False)
    if low is None or high is None or not low < high:
        return f"low: {node['low']}, high: {node['high']}: two numbers, the smaller one first"
    if not isinstance(log, bool) or (log and low <= 0):
        return f"log: {log}, low: {node['low']}: true or false, and above zero where it is true"
    return Range(low, high, log)

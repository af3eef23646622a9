"""What a search of settings may choose: ranges of numbers, and lists of values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.durable import read_json
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical
from bertinchamps.reporting.study_grid import Plan, cells_of, number, read_keys, written
from bertinchamps.schemas import TuneConfig

RANGE = {"low", "high", "log"}
# In a search's folder: Optuna's journal, the plan of its trials, the best settings.
JOURNAL, PLAN, BEST = "trials.log", "plan.json", "best.yaml"
STUDY = "study.yaml"  # in the folder of several searches: the plan of a study with the best settings of each
SEEDS = [0, 1, 2]  # of such a study, where the plan has no seed


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
        each: a key of finetune → its values, for each of which there is a search of its own; or empty.
    """

    settings: Mapping[str, Any]
    space: Mapping[str, Range | list[Any]]
    each: Mapping[str, list[Any]] = {}


def read_search(file: Path) -> SearchPlan:
    """The plan of a search in a yaml file.

    Raises:
        UserError: it cannot be read, or is no plan.
    """
    settings, search, each = read_keys(file, ("settings", "search", "each"))
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
    problems += _mistakes_of_each(each, {**settings, **search})
    if problems:
        raise UserError("\n".join(f"plan={file}: {problem}" for problem in problems))
    return SearchPlan(settings, space, each)


def searches_of(plan: SearchPlan, folder: Path) -> list[tuple[SearchPlan, Path]]:
    """The searches of a plan, and the folder of each: one, or one for each value of `each`."""
    if not plan.each:
        return [(plan, folder)]
    return [
        (SearchPlan({**plan.settings, **cell.values}, plan.space), folder / cell.name)
        for cell in cells_of(Plan({}, plan.each))
    ]


def study_of(plan: SearchPlan, found: Sequence[Mapping[str, Any]]) -> Plan:
    """A study of the values of `each`, each with the best settings of its search.

    Args:
        plan: with `each`.
        found: by each search, in the order of the values.
    """
    seeds = {} if "seed" in (*plan.settings, *plan.space) else {"seed": SEEDS}
    (words,) = [[f"{key}={written(value)}" for value in values] for key, values in plan.each.items()]
    return Plan(plan.settings, {**plan.each, **seeds}, dict(zip(words, found, strict=True)))


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


def _mistakes_of_each(each: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """What is wrong with `each` beside the keys of `settings` and `search`."""
    if len(each) > 1:
        return [f"each: {', '.join(each)}: one key alone has a search for each value"]
    found = [f"each: {key}: in settings or in search, too" for key in each if key in others]
    for key, values in each.items():
        if key == "seed":
            found.append("each: seed: settings are chosen for all seeds; a study repeats them")
        elif not isinstance(values, list) or len(set(map(written, values))) < max(2, len(values)):
            found.append(f"each: {key}: a list of several values, none of them twice, such as [2, 4, 8]")
    return found


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

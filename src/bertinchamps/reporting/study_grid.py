"""The cells of a study: each is a fine-tuning with one value of every key of the grid."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical
from bertinchamps.schemas import StudyConfig

PLAIN = re.compile(r"[\w./+-]+")  # what needs no quotes on a command line
LONGEST_NAME = 80  # characters of the values in the name of a directory


class Plan(NamedTuple):
    """What a study does.

    Attributes:
        settings: key of finetune → its value in every run.
        grid: key of finetune → its values: a run for each combination, the last key changing fastest.
        where: `KEY=VALUE` of the grid → settings that the runs with this value have beside, or in place of, `settings`.
    """

    settings: Mapping[str, Any]
    grid: Mapping[str, list[Any]]
    where: Mapping[str, Mapping[str, Any]] = {}


@dataclass(frozen=True)
class Cell:
    """A fine-tuning of a study.

    Attributes:
        values: key of the grid → its value.
        settings: of the run, beside the values.
        name: of the run's directory; the same values with the same settings have the same name.
    """

    values: Mapping[str, Any]
    settings: Mapping[str, Any]
    name: str

    @property
    def words(self) -> list[str]:
        """The words of the command line that set the values."""
        return words_of(self.values)

    @property
    def all_words(self) -> list[str]:
        """The words of the command line that set everything."""
        return words_of({**self.settings, **self.values})

    def run(self, folder: Path) -> Path:
        """The run's directory in the study's folder."""
        return folder / "runs" / self.name

    def log(self, folder: Path) -> Path:
        """What the run prints."""
        return folder / "logs" / f"{self.name}.log"


def read_plan(file: Path) -> Plan:
    """The plan of a study in a yaml file.

    Raises:
        UserError: it cannot be read, or is no plan.
    """
    settings, grid, where = read_keys(file, ("settings", "grid", "where"))
    problems = [] if grid else ["grid: keys of finetune with lists of values, such as `seed: [0, 1, 2]`"]
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            problems.append(f"grid: {key}: a list of values, such as [8, 16]")
        elif len({written(value) for value in values}) < len(values):
            problems.append(f"grid: {key}: a value is given twice")
    for condition, extra in where.items():
        key, _, value = condition.partition("=")
        if value not in map(written, grid.get(key) or []):
            problems.append(
                f"where: {condition}: no value of the grid; such as `seed=0`, with a value of `grid`"
            )
        if not isinstance(extra, dict):
            problems.append(f"where: {condition}: keys of finetune with values, such as `budget.epochs: 3`")
    if problems:
        raise UserError("\n".join(f"plan={file}: {problem}" for problem in problems))
    return Plan(settings, grid, where)


def read_keys(file: Path, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The nodes of a yaml file under these keys, each of which has keys of finetune; a missing node is empty.

    Raises:
        UserError: the file cannot be read, has another key, or a node is none.
    """
    content = _content(file, keys)
    nodes = [content.get(key) or {} for key in keys]
    problems = [f"{key}: no such key; a plan has {_named(keys)}" for key in content if key not in keys]
    problems += [
        f"{key}: keys of finetune with values, such as `task: ner`"
        for key, node in zip(keys, nodes, strict=True)
        if not isinstance(node, dict)
    ]
    if problems:
        raise UserError("\n".join(f"plan={file}: {problem}" for problem in problems))
    return nodes


def _named(keys: Sequence[str]) -> str:
    *first, last = (f"`{key}`" for key in keys)
    return f"{', '.join(first)} and {last}"


def _content(file: Path, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"plan={file}: cannot be read ({getattr(error, 'strerror', 'not UTF-8')})") from error
    except RecursionError:
        raise UserError(f"plan={file}: nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(
            f"plan={file}{where}: not yaml ({getattr(error, 'problem', 'unreadable')})"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"plan={file}: no keys in it; a plan has {_named(keys)}")
    return {str(key): value for key, value in content.items()}


def folder_of(config: StudyConfig) -> Path:
    """Where the study is."""
    return Path(config.folder).expanduser() if config.folder else Path("studies") / Path(config.plan).stem


def cells_of(plan: Plan) -> list[Cell]:
    """All combinations of the grid's values, the last key changing fastest."""
    return [
        _cell(dict(zip(plan.grid, combination, strict=True)), plan)
        for combination in itertools.product(*plan.grid.values())
    ]


def words_of(values: Mapping[str, Any]) -> list[str]:
    """Words of the command line that set these values."""
    return [f"{key}={written(value)}" for key, value in values.items()]


def written(value: Any) -> str:
    """A value as a word of the command line."""
    return (
        value if isinstance(value, str) and PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    )


def number(value: Any) -> float | None:
    """A finite number, or None; yaml reads 1e-4 as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = value if isinstance(value, int) else float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _cell(values: Mapping[str, Any], plan: Plan) -> Cell:
    settings = dict(plan.settings)
    for word in words_of(values):
        settings |= plan.where.get(word, {})
    digest = hashlib.blake2b(canonical([values, settings]).encode(), digest_size=4).hexdigest()
    shown = "_".join(re.sub(r"[^\w.+-]+", "-", Path(str(value)).name) for value in values.values())
    return Cell(values, settings, f"{shown[:LONGEST_NAME]}_{digest}")

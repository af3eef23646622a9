"""Every mistake of a command line at once: syntax, groups, keys, types, and what a command's check finds.

Hydra stops at the first mistake. `mistakes` reports all of them, each with its remedy, before heavy imports and work.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from bertinchamps.command_line.keys import APPENDED
from bertinchamps.command_line.kinds import misfits
from bertinchamps.command_line.overrides import choices, first_choice, parse, values, written
from bertinchamps.composing import compose, config_dir, key_of_folder, load, with_settings
from bertinchamps.durations import hours_in
from bertinchamps.errors import UserError
from bertinchamps.registry import closest
from bertinchamps.schemas import COMMANDS

Config = TypeVar("Config")
Check = Callable[[Config], list[str]]

MOST_SWEEP_JOBS_CHECKED = 64  # composing one takes tens of milliseconds; each job checks itself again
NO_LENGTH = "a length of time is a number and s, m, h or d, such as +budget=5m"
NO_CODE = "not taken: a configuration names no code to run, and no environment"
SET_IN_HYDRA = ("hydra.sweep.dir", "hydra.verbose")
NO_LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
STOCK_HYDRA: dict[str, Any] = {
    "callbacks": {},
    "job_logging": NO_LOGGING,
    "hydra_logging": NO_LOGGING,
    "launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"},
    "sweeper._target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "env": {},
    "job.env_set": {},
    "job.env_copy": [],
}


def mistakes(
    command: str, arguments: list[str], check: Check[Config] | None = None, own: Path | None = None
) -> list[str]:
    """Everything wrong with a command line: syntax, groups, keys, types, and what `check` finds.

    Args:
        command: name of the yaml and schema.
        arguments: the words of the command line that are no options.
        check: every mistake in one configuration, in the user's key names; None: compose no job.
        own: a directory of yaml files of the user's own.
    """
    return examine(command, arguments, check, own)[0]


def examine(
    command: str, arguments: list[str], check: Check[Config] | None = None, own: Path | None = None
) -> tuple[list[str], list[Config]]:
    """What `mistakes` returns, and the configurations of the command line's jobs.

    The groups of the command line are composed, once for each of their combinations in a sweep. Single settings are
    judged against that, and then change a copy of it.

    Returns:
        The mistakes; the configurations, none where `check` is None or a word sets what Hydra itself does.
    """
    overrides, problems = parse(arguments)
    of_hydra = [override for override in overrides if override.key_or_group.startswith("hydra")]
    problems += [
        f"{word.input_line}: {NO_CODE}" for word in of_hydra if word.key_or_group not in SET_IN_HYDRA
    ]
    overrides = [override for override in overrides if override not in of_hydra]
    folders = [config_dir(), *([own] if own else [])]
    search_path = [f"hydra.searchpath=[file://{own}]"] if own else []
    groups = [override for override in overrides if _is_group(folders, override)]
    settings = [override for override in overrides if not _is_group(folders, override)]
    good_groups, found = _judged(groups, lambda override: _group_problems(command, folders, override))
    problems += found
    words = [*search_path, *(word for override in good_groups for word in first_choice(override))]
    unknown = [override for override in groups if override not in good_groups]
    try:
        base = compose(command, words, with_hydra=True)
    except HydraException as error:
        # A misspelt choice leaves a mandatory group empty: the closest choice stands in, so that the rest is checked.
        stand_ins = [word for override in unknown for word in _likeliest(folders, override)]
        if not stand_ins:
            return [*problems, _first_lines(error)], []
        base, check = compose(command, [*words, *stand_ins], with_hydra=True), None
    # what an unknown choice takes is not known; the choices of a typed group have the same keys
    inside = tuple(f"{word.key_or_group}." for word in unknown if not _is_typed(base, word.key_or_group))
    settings = [override for override in settings if not override.key_or_group.startswith(inside)]
    problems += _code_in_yaml(base) if own else []
    by_hydra = bool(of_hydra) or base.hydra.mode is not None
    with open_dict(base):
        del base["hydra"]
    good_settings, found = _judged(settings, lambda override: _setting_problems(base, override))
    problems += found
    configs: list[Config] = []
    if check is not None:
        composed = {tuple(words): base}
        found, configs = _check_jobs(command, search_path, good_groups, good_settings, check, composed)
        problems += found
    return list(dict.fromkeys(problems)), [] if by_hydra else configs  # each once, in order


def _judged(
    overrides: list[Override], problems_of: Callable[[Override], list[str]]
) -> tuple[list[Override], list[str]]:
    """The overrides without a problem, and the problems of the others."""
    good, problems = [], []
    for override in overrides:
        found = problems_of(override)
        problems += found
        good += [] if found else [override]
    return good, problems


def _code_in_yaml(composed: DictConfig) -> list[str]:
    """Refuse yaml files of the user that make Hydra run code: its callbacks, loggers and launchers name classes."""
    problems = []
    for key, stock in STOCK_HYDRA.items():
        node = OmegaConf.select(composed, f"hydra.{key}")
        found = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
        if found != stock:
            problems.append(f"hydra.{key} in a yaml file of --config-dir: {NO_CODE}")
    return problems


def _is_group(folders: list[Path], override: Override) -> bool:
    return override.package is None and any((folder / override.key_or_group).is_dir() for folder in folders)


def _group_problems(command: str, folders: list[Path], override: Override) -> list[str]:
    group = override.key_or_group
    appended = group in APPENDED
    if APPENDED.get(group, command) != command:
        remedy = (
            "python -m bertinchamps.prepare takes it, and other commands find what it built"
            if group == "cluster"
            else "a recipe of pretraining; here give single settings (budget.epochs=…)"
        )
        return [f"+{group}={written(override)}: {remedy}"]
    if override.type == OverrideType.CHANGE and appended:
        value = written(override)
        if group == "budget" and re.fullmatch(r"\d+(\.\d+)?", value):
            return [
                f"budget={value}: of what? Give a length of time, such as +budget={value}m or +budget={value}h"
            ]
        if group != "budget" or value in _menu(folders, group) or hours_in(value) is not None:
            return [f"{group}={value}: write +{group}={value}, with a plus"]
        return [f"{group}={value}: {NO_LENGTH}"]
    if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD) and not appended:
        return [f"+{group}={written(override)}: write {group}={written(override)}, without the plus"]
    menu = _menu(folders, group)
    for choice in choices(override):
        name = choice.partition("=")[2]
        if name not in menu:
            if group == "budget":
                return [f"{choice}: {NO_LENGTH}"]
            typed = f"{key_of_folder(command, group)}={name}"
            return [f"{typed}: no such choice{closest(name, menu)} (one of: {', '.join(menu)})"]
    return []


def _menu(folders: list[Path], group: str) -> list[str]:
    """The choices of a group."""
    return sorted(file.stem for folder in folders for file in (folder / group).glob("*.yaml"))


def _likeliest(folders: list[Path], override: Override) -> list[str]:
    """The choice of the override's group that is closest to the given one, as a word of the command line."""
    group = override.key_or_group
    menu = _menu(folders, group)
    if group in APPENDED or not menu:
        return []
    name = (first_choice(override) or [""])[0].partition("=")[2]
    return [f"{group}={(difflib.get_close_matches(name, menu, n=1) or menu)[0]}"]


def _setting_problems(base: DictConfig, override: Override) -> list[str]:
    key = override.key_or_group
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(base, parent) if parent else base
    exists = isinstance(node, DictConfig) and leaf in node.keys()  # noqa: SIM118 (`in node` is False for null)
    if override.type == OverrideType.DEL or (exists and override.type != OverrideType.CHANGE):
        return [] if exists else [f"~{key}: no such key{closest(key, _settings_of(base))}"]
    if not exists:
        if parent and isinstance(node, DictConfig):
            menu = [str(name) for name in node]
            return [f"{key}: no such key{closest(leaf, menu)} ({parent} has: {', '.join(menu)})"]
        return [f"{key}: no such key{_closest_key(key, _settings_of(base))}; --help lists them all"]
    sweep = override.is_sweep_override()
    return [
        problem
        for value in values(override)
        for problem in misfits(base, key, value, value if sweep else written(override))
    ]


def _settings_of(base: DictConfig) -> list[str]:
    """All keys but those of groups; it takes long, and only a wrong key needs it."""
    return [name for name in _flat_keys(base) if not isinstance(OmegaConf.select(base, name), DictConfig)]


def _is_typed(base: DictConfig, group: str) -> bool:
    """Whether all choices of a group have the same keys."""
    node = base._get_node(group, validate_access=False)
    return isinstance(node, DictConfig) and is_dataclass(node._metadata.ref_type)


def _closest_key(key: str, known: list[str]) -> str:
    """The closest key, by its whole name, or by its last part for a key of another node."""
    same_leaf = [candidate for candidate in known if candidate.rpartition(".")[2] == key.rpartition(".")[2]]
    return f"; did you mean {same_leaf[0]!r}?" if len(same_leaf) == 1 else closest(key, known)


def _check_jobs(
    command: str,
    search_path: list[str],
    groups: list[Override],
    settings: list[Override],
    check: Check[Config],
    composed: dict[tuple[str, ...], DictConfig],
) -> tuple[list[str], list[Config]]:
    """The mistakes of the jobs, and their configurations; `composed` holds the trees that are there already."""
    problems: list[str] = []
    configs: list[Config] = []
    jobs = itertools.product(*(list(choices(override)) for override in (*groups, *settings)))
    for job in itertools.islice(jobs, MOST_SWEEP_JOBS_CHECKED):
        words = (*search_path, *job[: len(groups)])
        try:
            if words not in composed:
                composed[words] = compose(command, words)
            tree = with_settings(composed[words], job[len(groups) :])
            config: Config = load(tree, COMMANDS[command])
            problems += check(config)
            configs.append(config)
        except UserError as error:
            problems.append(str(error))
        except (HydraException, OmegaConfBaseException) as error:
            problems.append(_first_lines(error))
    return problems, configs


def _first_lines(error: Exception) -> str:
    """Hydra's message on one line: its first two lines, or all of it where it lists the choices."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if line.endswith("Available options:"):
            needed, menu = re.match(r"You must specify '(.+?)'", lines[0]), ", ".join(lines[index + 1 :])
            if needed:
                return f"{needed[1]}: a choice is needed; add {needed[1]}=NAME (one of: {menu})"
            return f"{' '.join(lines[: index + 1])} {menu}"
    return " ".join(lines[:2])


def _flat_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        child = node._get_node(key)
        yield f"{prefix}{key}"
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _flat_keys(child, f"{prefix}{key}.")

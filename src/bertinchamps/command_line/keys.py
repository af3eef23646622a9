"""What a command can be told: its keys, the groups of configs/ and their choices; for --help and for the docs.

Schemas explain the keys of closed nodes. Open nodes (data, task, optim …) have the keys of the chosen option, which the
comments of its yaml file explain.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from bertinchamps.composing import config_dir, folder_of_key
from bertinchamps.registry import described
from bertinchamps.schemas import COMMANDS, Node

# Groups outside the defaults list, which are appended with a plus, and their commands.
RECIPES = {
    "pretrain": {"experiment"},
    "finetune": {"recipe"},
    "compress": {"target"},
}  # groups that set keys of others
APPENDED = {"budget": "pretrain", "ablation": "pretrain", "cluster": "prepare"}
SETTING = re.compile(r"(?P<indent> *)(?P<key>\w+): *(?P<value>.*?)(?:\s+#\s*(?P<meaning>.*))?$")


class Key(NamedTuple):
    """A setting.

    Attributes:
        name: its full name, such as "batch.size".
        takes: what may be given, in words; "": the file that has it does not say.
        default: as it is written on a command line; None: a group, or a list that is empty.
        meaning: its explanation.
        is_group: whether it stands for the keys that follow, whose names begin with its own.
    """

    name: str
    takes: str
    default: str | None
    meaning: str
    is_group: bool = False


def declared(schema: type, prefix: str = "") -> Iterator[Key]:
    """The keys that a schema declares, each group before its own keys."""
    hints = typing.get_type_hints(schema)
    for knob in fields(cast(Any, schema)):
        nested, name = knob.default_factory, prefix + knob.name
        if isinstance(nested, type) and is_dataclass(nested):
            yield Key(name, "", None, first_line(nested), is_group=True)
            yield from declared(nested, f"{name}.")
        else:
            default = None if callable(nested) else "null" if knob.default is None else str(knob.default)
            yield Key(name, _takes(hints[knob.name]), default, knob.metadata["help"])


def first_line(documented: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _takes(hint: Any) -> str:
    if hint == Node:
        return "a group of settings"
    return "a list of groups of settings" if hint == list[Node] else described(hint)


def groups_of(command: str) -> list[str]:
    """The groups of configs/ that a command has, sorted."""
    used = {knob.name for knob in fields(cast(Any, COMMANDS[command]))}
    appended = {group for group, owner in APPENDED.items() if owner == command}
    used = (used - set(APPENDED)) | appended | RECIPES.get(command, set())
    return sorted(group for group in used if _folder(command, group).is_dir())


def open_groups(command: str) -> list[str]:
    """Groups whose keys depend on the choice, and are in no schema."""
    nodes = [knob.name for knob in fields(cast(Any, COMMANDS[command])) if knob.default_factory is not list]
    schemas = [
        knob.name for knob in fields(cast(Any, COMMANDS[command])) if is_dataclass(knob.default_factory)
    ]
    return [name for name in nodes if name not in schemas and _folder(command, name).is_dir()]


def typed(group: str) -> str:
    """How a group is named on the command line: with a plus where it is appended."""
    return f"+{group}" if group in APPENDED else group


def choices_of(command: str, group: str) -> list[str]:
    """The choices of a group, sorted."""
    return sorted(file.stem for file in _folder(command, group).glob("*.yaml"))


def text_of(command: str, group: str, choice: str) -> str:
    """The yaml file of a choice."""
    return (_folder(command, group) / f"{choice}.yaml").read_text(encoding="utf-8")


def _folder(command: str, group: str) -> Path:
    return config_dir() / folder_of_key(command, group)


def default_of(command: str, group: str) -> str | None:
    """The choice of the command's own yaml; None where the user must choose."""
    text = (config_dir() / f"{command}.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^  - {folder_of_key(command, group)}: ([\w-]+)", text, re.MULTILINE)
    return found[1] if found else None


def keys_of_yaml(text: str, group: str) -> Iterator[Key]:
    """The settings of a group's node in a yaml file, with their values and comments."""
    whole = "@package _global_" in text
    inside = not whole
    for line in text.splitlines():
        found = SETTING.fullmatch(line)
        if found is None:
            continue
        if whole and not found["indent"]:
            inside = found["key"] == group
        elif inside and found["key"] not in ("name", "defaults"):
            yield Key(f"{group}.{found['key']}", "", found["value"], found["meaning"] or "")


def has_cleaning(command: str) -> bool:
    """Whether a command cleans documents."""
    return any(knob.name == "cleaning" for knob in fields(cast(Any, COMMANDS[command])))


def cleaning_steps() -> Iterator[tuple[str, str]]:
    """Each step of cleaning, as an entry of the list `cleaning`, and what it does."""
    from bertinchamps.data.cleaning import steps

    for name in steps.names():
        builder = steps.builder(name)
        settings = [
            f"{key}: {parameter.default}"
            for key, parameter in inspect.signature(builder).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        ]
        yield "{" + ", ".join([f"name: {name}", *settings]) + "}", first_line(builder)

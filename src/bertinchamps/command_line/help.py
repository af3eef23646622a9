"""What `--help` prints: usage, the choices of each group, every key with its default and meaning.

Schemas explain the keys of closed nodes. Open nodes (data, task, optim …) have the keys of the chosen option, which the
comments of its yaml file explain.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from bertinchamps.composing import config_dir, folder_of_key
from bertinchamps.schemas import COMMANDS

# Groups outside the defaults list, which are appended with a plus, and their commands.
RECIPES = {"pretrain": {"experiment"}, "finetune": {"recipe"}}  # groups that set keys of others
APPENDED = {"budget": "pretrain", "ablation": "pretrain", "cluster": "prepare"}
WIDTH = 34  # of the column of keys
SETTING = re.compile(r"(?P<indent> *)(?P<key>\w+): *(?P<value>.*?)(?:\s+#\s*(?P<meaning>.*))?$")


def help_text(command: str, words: Sequence[str] = ()) -> str:
    """The help of a command.

    Args:
        command: its name.
        words: settings beside --help; task=ner shows the keys of ner.
    """
    schema, choices = COMMANDS[command], list(_choices(command))
    lines = [
        (schema.__doc__ or "").splitlines()[0],
        "",
        f"Usage: python -m bertinchamps.{command} [KEY=VALUE …]",
        *(["", "Whole choices (a file of configs/, GROUP=CHOICE):", *choices] if choices else []),
        "",
        "Single settings (KEY=VALUE; the default shown is overruled by the choices above):",
        *_keys(schema, ""),
    ]
    for group in _open_groups(command):
        lines += ["", *_keys_of_choice(command, group, words)]
    if any(knob.name == "cleaning" for knob in fields(cast(Any, schema))):
        lines += ["", "Steps of cleaning, such as 'cleaning=[{name: length, least: 200}]':", *_cleaning()]
    lines += [
        "",
        "Lists are written 'key=[a,b]'; several values with --multirun, key=a,b, run one job each.",
        "--cfg job prints the configuration of a command line; --config-dir DIR adds yaml files of yours.",
    ]
    if command in ("pretrain", "finetune"):
        lines.append("+budget takes any length of time: +budget=5m, +budget=90s, +budget=2d.")
    return "\n".join(lines)


def _choices(command: str) -> Iterator[str]:
    """A line for each group of the command, with its choices."""
    used = {knob.name for knob in fields(cast(Any, COMMANDS[command]))}
    appended = {group for group, owner in APPENDED.items() if owner == command}
    used = (used - set(APPENDED)) | appended | RECIPES.get(command, set())
    for key in sorted(used):
        folder = config_dir() / folder_of_key(command, key)
        if folder.is_dir():
            choices = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
            name = f"+{key}" if key in APPENDED else key
            yield from textwrap.wrap(choices, 90, initial_indent=f"  {name:<12} ", subsequent_indent=" " * 15)


def _keys(schema: type, prefix: str) -> Iterator[str]:
    """The keys that a schema declares."""
    for knob in fields(cast(Any, schema)):
        nested = knob.default_factory
        if isinstance(nested, type) and is_dataclass(nested):
            yield f"  {prefix}{knob.name}: {(nested.__doc__ or '').splitlines()[0]}"
            yield from _keys(nested, f"{prefix}{knob.name}.")
        else:
            default = "" if callable(nested) else f" [{'null' if knob.default is None else knob.default}]"
            yield f"    {prefix + knob.name:<{WIDTH}} {knob.metadata['help']}{default}"


def _open_groups(command: str) -> list[str]:
    """Groups whose keys depend on the choice, and are in no schema."""
    nodes = [knob.name for knob in fields(cast(Any, COMMANDS[command])) if knob.default_factory is not list]
    schemas = [
        knob.name for knob in fields(cast(Any, COMMANDS[command])) if is_dataclass(knob.default_factory)
    ]
    return [
        name
        for name in nodes
        if name not in schemas and (config_dir() / folder_of_key(command, name)).is_dir()
    ]


def _keys_of_choice(command: str, group: str, words: Sequence[str]) -> list[str]:
    """The keys of the group's choice in `words`, or in the command's own yaml."""
    folder = folder_of_key(command, group)
    menu = sorted(file.stem for file in (config_dir() / folder).glob("*.yaml"))
    words = [word.replace(f"{folder}=", f"{group}=", 1) for word in words]
    given = [word.lstrip("+").partition("=")[2] for word in words if word.lstrip("+").startswith(f"{group}=")]
    choice = given[-1] if given and given[-1] in menu else _default(command, folder)
    sign = "+" if group in APPENDED else ""
    if choice is None:
        return [
            f"Settings of {group}: those of a choice are shown by {sign}{group}=CHOICE --help, such as {menu[0]}"
        ]
    others = f"; of others with {sign}{group}=CHOICE --help" if len(menu) > 1 else ""
    text = (config_dir() / folder / f"{choice}.yaml").read_text(encoding="utf-8")
    keys = [*_keys_of_yaml(text, group)] or ["    none"]
    return [f"Settings of {sign}{group}={choice}{others}:", *keys]


def _default(command: str, group: str) -> str | None:
    """The choice of the command's own yaml; None where the user must choose."""
    text = (config_dir() / f"{command}.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^  - {group}: (\w+)", text, re.MULTILINE)
    return found[1] if found else None


def _keys_of_yaml(text: str, group: str) -> Iterator[str]:
    """A line for each setting of a group's node in a yaml file, with its value and comment."""
    whole = "@package _global_" in text
    inside = not whole
    for line in text.splitlines():
        found = SETTING.fullmatch(line)
        if found is None:
            continue
        if whole and not found["indent"]:
            inside = found["key"] == group
        elif inside and found["key"] not in ("name", "defaults"):
            meaning = f"{found['meaning']} " if found["meaning"] else ""
            yield f"    {group + '.' + found['key']:<{WIDTH}} {meaning}[{found['value']}]"


def _cleaning() -> Iterator[str]:
    """A line for each step, with its settings."""
    from bertinchamps.data.cleaning import steps

    for name in steps.names():
        builder = steps.builder(name)
        settings = [
            f"{key}: {parameter.default}"
            for key, parameter in inspect.signature(builder).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        ]
        about = (inspect.getdoc(builder) or "").splitlines()[0]
        yield f"    {'{' + ', '.join([f'name: {name}', *settings]) + '}'}"
        yield from textwrap.wrap(about, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)

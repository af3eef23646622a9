"""What `--help` prints: usage, the choices of each group, every key with its default and meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from bertinchamps.command_line.keys import (
    Key,
    choices_of,
    cleaning_steps,
    declared,
    default_of,
    first_line,
    groups_of,
    has_cleaning,
    keys_of_yaml,
    open_groups,
    text_of,
    typed,
)
from bertinchamps.composing import folder_of_key
from bertinchamps.schemas import COMMANDS

WIDTH = 34  # of the column of keys


def help_text(command: str, words: Sequence[str] = ()) -> str:
    """The help of a command.

    Args:
        command: its name.
        words: settings beside --help; task=ner shows the keys of ner.
    """
    schema, choices = COMMANDS[command], list(_choices(command))
    lines = [
        first_line(schema),
        "",
        f"Usage: python -m bertinchamps.{command} [KEY=VALUE …]",
        *(["", "Whole choices (a file of configs/, GROUP=CHOICE):", *choices] if choices else []),
        "",
        "Single settings (KEY=VALUE; the default shown is overruled by the choices above):",
        *map(_line, declared(schema)),
    ]
    for group in open_groups(command):
        lines += ["", *_keys_of_choice(command, group, words)]
    if has_cleaning(command):
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
    for group in groups_of(command):
        choices = ", ".join(choices_of(command, group))
        yield from textwrap.wrap(
            choices, 90, initial_indent=f"  {typed(group):<12} ", subsequent_indent=" " * 15
        )


def _line(key: Key) -> str:
    if key.is_group:
        return f"  {key.name}: {key.meaning}"
    words = [key.meaning] if key.meaning else []
    return f"    {key.name:<{WIDTH}} " + " ".join(
        words + ([] if key.default is None else [f"[{key.default}]"])
    )


def _keys_of_choice(command: str, group: str, words: Sequence[str]) -> list[str]:
    """The keys of the group's choice in `words`, or in the command's own yaml."""
    menu, folder = choices_of(command, group), folder_of_key(command, group)
    words = [word.replace(f"{folder}=", f"{group}=", 1) for word in words]
    given = [word.lstrip("+").partition("=")[2] for word in words if word.lstrip("+").startswith(f"{group}=")]
    choice = given[-1] if given and given[-1] in menu else default_of(command, group)
    sign = typed(group)
    if choice is None:
        return [
            f"Settings of {group}: those of a choice are shown by {sign}=CHOICE --help, such as {menu[0]}"
        ]
    others = f"; of others with {sign}=CHOICE --help" if len(menu) > 1 else ""
    keys = [_line(key) for key in keys_of_yaml(text_of(command, group, choice), group)] or ["    none"]
    return [f"Settings of {sign}={choice}{others}:", *keys]


def _cleaning() -> Iterator[str]:
    """A line for each step, with its settings."""
    for entry, about in cleaning_steps():
        yield f"    {entry}"
        yield from textwrap.wrap(about, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)

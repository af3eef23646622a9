"""What a user types, rewritten in Hydra's grammar."""

from __future__ import annotations

import json
import re

from hydra._internal.utils import get_args_parser  # the parser that hydra.main itself uses; no public twin

from bertinchamps.composing import config_dir, in_folders
from bertinchamps.durations import hours_in

# A value is split here: quoted strings, and the marks that end an unquoted string in Hydra's grammar.
QUOTED_OR_MARK = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[,\[\]{}])""")

ABOUT_RUNS = ("report", "purge")  # commands whose words without = are runs


def readable(words: list[str], command: str) -> list[str]:
    """The command line of a command in Hydra's grammar: options first, and letters beyond ASCII in quotes."""
    quoted = [part for word in words for part in _with_budget(_quoted(word), command)]
    quoted += _recipe(quoted, command)
    settings: list[str] = get_args_parser().parse_intermixed_args(quoted).overrides
    return [word for word in quoted if word not in settings] + _with_runs(
        in_folders(command, settings), command
    )


def _with_runs(settings: list[str], command: str) -> list[str]:
    """The settings of commands about runs, in which words that are no settings name runs."""
    runs = [word for word in settings if "=" not in word and not word.startswith(("+", "~"))]
    if command not in ABOUT_RUNS or not runs:
        return settings
    others = [word for word in settings if word not in runs]
    return [*others, f"runs={json.dumps(runs, ensure_ascii=False)}"]


def _with_budget(word: str, command: str) -> list[str]:
    """A budget of any length, such as +budget=5m, as budget.hours, and in pretraining with a preset."""
    name, _, value = word.partition("=")
    hours = hours_in(value) if name == "+budget" else None
    if hours is None:
        return [word]
    if command == "finetune":  # in the place of what the task's file says
        return [f"budget.hours={hours:.10g}", "budget.epochs=null"]
    if (config_dir() / "budget" / f"{value}.yaml").is_file():
        return [word]
    return [f"+budget={'10m' if hours < 1 else '24h'}", f"budget.hours={hours:.10g}"]


def _recipe(words: list[str], command: str) -> list[str]:
    """The recipe of a pretraining that goes on from a model, where no other one is chosen."""
    given = dict(word.partition("=")[::2] for word in words)
    goes_on = command == "pretrain" and given.get("model", "null") not in ("null", "")
    return ["experiment=continue"] if goes_on and "experiment" not in given else []


def _quoted(word: str) -> str:
    key, equals, value = word.partition("=")
    if value.isascii() or key.startswith("-") or not equals:
        return word
    parts = QUOTED_OR_MARK.split(value)
    for place in range(0, len(parts), 2):  # the unquoted strings
        if not parts[place].isascii():
            parts[place] = json.dumps(parts[place].strip(), ensure_ascii=False)
    return f"{key}={''.join(parts)}"

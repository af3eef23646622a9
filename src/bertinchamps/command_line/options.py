"""Refused options of a command line: unknown ones, and options of Hydra whose result would go unchecked."""

from __future__ import annotations

import re
from typing import Any

from hydra._internal.utils import get_args_parser  # the parser that hydra.main itself uses; no public twin

from bertinchamps.command_line.overrides import parse
from bertinchamps.launch import launched


def unknown_options(words: list[str]) -> list[str]:
    """Refuse settings that are written as options."""
    known = get_args_parser()._option_string_actions
    problems = []
    for word, following in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if re.match(r"--?[A-Za-z]", word) and name not in known:
            value = value if equals or "=" in following or following.startswith("-") else following
            setting = f"{name.lstrip('-').replace('-', '_')}={value or '…'}"
            problems.append(f"{word}: no such option; settings are written key=value, such as {setting}")
    return problems


def too_many_processes() -> list[str]:
    """Refuse a job of several processes."""
    size = launched().world_size
    if size == 1:
        return []
    return [
        f"torchrun started {size} processes, and this command runs in one; only pretrain and finetune train in "
        "several: start it with python -m"
    ]


def shared_directory(arguments: Any) -> list[str]:
    """Refuse one directory for all jobs of a sweep."""
    if not arguments.multirun:
        return []
    overrides, _ = parse(arguments.overrides)
    return [
        f"{override.input_line}: the jobs of a sweep need a directory each; give runs_dir= for all of them"
        for override in overrides
        if override.key_or_group == "run_dir" and not override.is_sweep_override()
    ]


def other_configurations(arguments: Any) -> list[str]:
    """Refuse Hydra's options that read another configuration, which would go unchecked."""
    given = {
        "--config-path": arguments.config_path,
        "--config-name": arguments.config_name,
        "--experimental-rerun": arguments.experimental_rerun,  # it would unpickle a file
    }
    return [
        f"{option}={value}: not taken; --config-dir DIR adds yaml files of yours to the command's own"
        for option, value in given.items()
        if value
    ]


def sweeps_of_one_job(arguments: Any) -> list[str]:
    """Refuse several values of a key without --multirun; two numbers may be meant as a decimal."""
    if arguments.multirun:
        return []
    problems = []
    for override in parse(arguments.overrides)[0]:
        if override.is_sweep_override():
            key, _, value = str(override.input_line).partition("=")
            decimal = re.fullmatch(r"\d+,\d+", value)
            meant = f", or {key}={value.replace(',', '.')} if a decimal number is meant" if decimal else ""
            problems.append(f"{key}={value}: several values are several jobs: add --multirun{meant}")
    return problems

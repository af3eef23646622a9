"""Words of the command line as Hydra's overrides, and the choices of a sweep."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException


def parse(arguments: list[str]) -> tuple[list[Override], list[str]]:
    parser, overrides, problems = OverridesParser.create(), [], []
    for argument in arguments:
        try:
            overrides.append(parser.parse_override(argument))
        except HydraException:
            problems.append(
                f"{argument}: not of the form key=value (quote it for the shell if the value has spaces, "
                "commas or brackets: 'data.files=[a.txt,b.txt]')"
            )
    return overrides, problems


def choices(override: Override) -> list[str]:
    """The override as words of the command line, one for each value of its sweep."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    prefix = override.get_key_element()
    try:
        return [f"{prefix}={value}" for value in override.sweep_string_iterator()]
    except (TypeError, HydraException):  # a glob over a group's choices, which Hydra alone expands
        return []


def first_choice(override: Override) -> list[str]:
    """The first of `choices`; empty for a glob."""
    return choices(override)[:1]


def values(override: Override) -> list[Any]:
    if not override.is_sweep_override():
        return [override.value()]
    return [OverridesParser.create().parse_override(choice).value() for choice in choices(override)]


def written(override: Override) -> str:
    return str(override.input_line).partition("=")[2]

"""From words of a command line to plain dataclasses: Hydra composes a tree, and nobody past this file sees it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl  # applies settings to a tree; no public twin
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bertinchamps.errors import UserError
from bertinchamps.schemas import COMMANDS

Config = TypeVar("Config")


def config_dir() -> Path:
    """The directory of yaml files: beside the package in a wheel, at the repository's top in a checkout.

    Raises:
        UserError: neither is there.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "configs", package.parents[1] / "configs"):
        if (candidate / "pretrain.yaml").is_file():
            return candidate
    raise UserError(
        f"no configs/ found beside {package}: reinstall bertinchamps, or run it from its checkout"
    )


# By command, keys whose choices are in a folder of another name. For Hydra a folder's name is a choice of files in
# every command, and `format` is a plain key of predict.
FOLDERS = {"export": {"format": "exporting"}}


@cache
def store_schema(command: str) -> None:
    """Let Hydra check a command's yaml against its schema, from the first call on."""
    ConfigStore.instance().store(f"{command}_schema", node=COMMANDS[command])


def compose(command: str, words: Sequence[str] = (), with_hydra: bool = False) -> DictConfig:
    """The tree of a command's yaml and of words such as arch=small.

    Args:
        command: a key of `COMMANDS`.
        words: of the command line, in Hydra's grammar.
        with_hydra: keep the node `hydra`, Hydra's own settings.

    Raises:
        HydraException: there is no such group, choice or key.
        UserError: a yaml file of the user's own is not yaml, or not of the form that Hydra reads.
    """
    store_schema(command)
    try:
        with hydra.initialize_config_dir(str(config_dir()), version_base="1.3"):
            overrides = in_folders(command, words)
            return hydra.compose(command, overrides=overrides, return_hydra_config=with_hydra)
    except OmegaConfBaseException:
        raise
    except (YAMLError, ValueError, RecursionError, OSError) as error:
        raise UserError(f"a yaml file of --config-dir cannot be read: {_said(error)}") from error


def _said(error: Exception) -> str:
    """What is wrong with a yaml file, on one line, with its name where the error has it."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        what = getattr(error, "problem", None) or "unreadable"
        return f"{mark.name.strip()}, line {mark.line + 1}: not yaml ({what})"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]


def with_settings(tree: DictConfig, words: Sequence[str]) -> DictConfig:
    """A copy of a composed tree with single settings; as if they had been composed, in a hundredth of the time.

    Args:
        tree: composed from the groups alone.
        words: that choose no group, such as batch.size=8.

    Raises:
        HydraException: there is no such key, or it takes no such value.
    """
    changed = copy.deepcopy(tree)
    ConfigLoaderImpl._apply_overrides_to_config(
        OverridesParser.create().parse_overrides(list(words)), changed
    )
    return changed


def folder_of_key(command: str, key: str) -> str:
    """The folder of configs/ with the choices of a key."""
    return FOLDERS.get(command, {}).get(key, key)


def key_of_folder(command: str, folder: str) -> str:
    """The key whose choices are in a folder of configs/."""
    return next((key for key, name in FOLDERS.get(command, {}).items() if name == folder), folder)


def in_folders(command: str, words: Sequence[str]) -> list[str]:
    """Words of the command line that choose a file, with the folder that Hydra looks into instead of the key."""
    parts = [word.partition("=") for word in words]
    return [f"{folder_of_key(command, key)}{equals}{value}" for key, equals, value in parts]


def configuration(command: str, words: Sequence[str] = ()) -> Any:
    """The configuration of a command (an instance of its schema) and words that are known to be right."""
    return load(compose(command, words), COMMANDS[command])


def saved_configuration(command: str, file: Path) -> Any:
    """The configuration of a run, as its config.yaml has it; settings that its version did not know have defaults.

    Raises:
        UserError: the file is missing or damaged, or has a setting that this version does not know.
    """
    schema = COMMANDS[command]
    try:
        return load(
            cast(DictConfig, OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.load(file))), schema
        )
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(
            f"{file}: missing or damaged, or of another version ({type(error).__name__})"
        ) from error


def load(composed: DictConfig, schema: type[Config]) -> Config:
    """The composed configuration as plain dataclasses, which nobody mutates.

    Raises:
        UserError: a mandatory value (`???`) was not given, or a value comes from outside of the configuration.
    """
    _refuse_resolvers(composed)
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise UserError(
            "\n".join(f"{key}: a value is needed; add {key}=… to the command line" for key in missing)
        )
    plain = OmegaConf.to_container(composed, resolve=True, enum_to_str=True)
    return _build(schema, cast(dict[str, Any], plain))


def _refuse_resolvers(composed: DictConfig) -> None:
    """Raise UserError where a value is asked of a resolver, such as ${oc.env:NAME}; ${batch.size} is another key.

    A run writes its settings down, in config.yaml, on its page and to its tracker: a secret of the environment would
    be there, too.
    """
    raw = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=False))
    found = [
        f"{key}={value}: a configuration takes no value from the environment, because a run writes its settings down; "
        "what is no secret the shell can put in ($NAME), and in a yaml file the value itself can stand"
        for key, value in _texts(raw)
        if asks_a_resolver(value)
    ]
    if found:
        raise UserError("\n".join(found))


def _texts(node: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Full name and text of each value that is a text."""
    if isinstance(node, str):
        yield name, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, name)


def asks_a_resolver(text: str) -> bool:
    """Whether a text has ${NAME:…}, at whatever depth: within braces, a colon follows a resolver's name alone."""
    depth = place = 0
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text.startswith("${", place):
            depth += 1
        elif depth and text[place] == "}":
            depth -= 1
        elif depth and text[place] == ":":
            return True
        place += 1
    return False


def _build(schema: type[Config], values: dict[str, Any]) -> Config:
    by_name = {knob_.name: knob_ for knob_ in fields(cast(Any, schema))}
    arguments = {}
    for name, value in values.items():
        default = by_name[name].default_factory
        nested = isinstance(default, type) and is_dataclass(default)
        arguments[name] = _build(cast(type, default), value) if nested else value
    return schema(**arguments)

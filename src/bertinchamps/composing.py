"""From the tree that Hydra composed to plain dataclasses. Nobody past this file sees OmegaConf."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf

from bertinchamps.errors import UserError

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


def load(composed: DictConfig, schema: type[Config]) -> Config:
    """The composed configuration as plain dataclasses, which nobody mutates.

    Raises:
        UserError: a mandatory value (`???`) was not given.
    """
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise UserError(
            "\n".join(f"{key}: a value is needed; add {key}=… to the command line" for key in missing)
        )
    plain = OmegaConf.to_container(composed, resolve=True, enum_to_str=True)
    return _build(schema, cast(dict[str, Any], plain))


def _build(schema: type[Config], values: dict[str, Any]) -> Config:
    by_name = {knob_.name: knob_ for knob_ in fields(cast(Any, schema))}
    arguments = {}
    for name, value in values.items():
        default = by_name[name].default_factory
        nested = isinstance(default, type) and is_dataclass(default)
        arguments[name] = _build(cast(type, default), value) if nested else value
    return schema(**arguments)

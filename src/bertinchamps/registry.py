"""Name → builder: how a config names code without holding code.

A config node `{name: slanted_triangular, base: 0.25}` is built by the entry `slanted_triangular` of
the schedules' registry. Keyword arguments are checked against the builder's signature first, and
messages list the entries.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, NamedTuple, TypeVar

from bertinchamps.errors import UserError

T = TypeVar("T")
Builder = TypeVar("Builder", bound=Callable[..., Any])
Check = Callable[[Mapping[str, Any]], list[str]]


def closest(word: str, menu: Iterable[str]) -> str:
    """'; did you mean X?' for the nearest entry of the menu, or an empty string."""
    near = difflib.get_close_matches(word, list(menu), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


PLAIN = (bool, int, float, str, types.NoneType)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value from a config fits a plain annotation; any value fits other annotations."""
    choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = [choice for choice in choices if choice in PLAIN]
    for choice in choices:
        item = _item(choice)
        if item is not None:
            if isinstance(value, list | tuple) and all(_fits(part, item) for part in value):
                return True
        elif choice not in PLAIN:
            return True
    if isinstance(value, bool):
        return bool in plain
    return isinstance(value, tuple(plain)) or (float in plain and isinstance(value, int))


def _item(hint: Any) -> Any:
    """What a list of the annotation holds, if that is of a plain kind."""
    items = set(typing.get_args(hint)) - {...}
    is_list = isinstance(typing.get_origin(hint), type) and issubclass(typing.get_origin(hint), Iterable)
    return next(iter(items)) if is_list and len(items) == 1 and items <= set(PLAIN) else None


def described(hint: Any) -> str:
    """A plain annotation (a number, a text, null, a list of these) in words."""
    words = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        types.NoneType: "null",
    }
    choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    lists = {str: "a list of texts"}
    return " or ".join(
        words.get(choice) or lists.get(_item(choice), "a list of numbers") for choice in choices
    )


@dataclass(frozen=True)
class SharedSettings:
    """Settings that several entries take: a frozen dataclass, whose fields are settings beside the entry's own.

    A builder has one parameter for all of them, whose default is an object with the defaults of this entry.
    """

    def problems(self) -> list[str]:
        """Mistakes in the values, which fit the annotations, in the user's key names."""
        return []


class _Setting(NamedTuple):
    """What a builder takes.

    Attributes:
        default: `inspect.Parameter.empty` where there is none.
        hint: its annotation.
        parameter: of the builder: the setting itself, or the shared settings that it is a field of.
    """

    default: object
    hint: Any
    parameter: str


def _settings_of(builder: Callable[..., Any]) -> dict[str, _Setting]:
    """What a builder takes, by name; shared settings field by field."""
    hints = typing.get_type_hints(builder.__init__ if inspect.isclass(builder) else builder)
    found = {}
    for name, parameter in inspect.signature(builder).parameters.items():
        hint, default = hints.get(name, object), parameter.default
        if isinstance(default, SharedSettings):
            of_fields = typing.get_type_hints(type(default))
            for field in fields(default):
                found[field.name] = _Setting(getattr(default, field.name), of_fields[field.name], name)
        else:
            found[name] = _Setting(default, hint, name)
    return found


def _with_shared(builder: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a builder, from settings that it takes: those of shared settings are put together."""
    taken = _settings_of(builder)
    arguments = {key: value for key, value in settings.items() if taken[key].parameter == key}
    for name, parameter in inspect.signature(builder).parameters.items():
        if isinstance(parameter.default, SharedSettings):
            own = {key: value for key, value in settings.items() if taken[key].parameter == name}
            arguments[name] = replace(parameter.default, **own)
    return arguments


class Registry(Generic[T]):
    """Builders of one kind of thing, by name.

    Args:
        kind: what is registered, in the singular, for messages ("schedule").
        key: the config key that chooses among them ("schedule"), for messages.
        package: a package whose modules register themselves when imported; all of them are imported
            at the first look-up, so a new file is found without being listed anywhere.
    """

    def __init__(self, kind: str, key: str, package: str | None = None) -> None:
        self.kind, self.key, self.package = kind, key, package
        self._builders: dict[str, Callable[..., T]] = {}
        self._checks: dict[str, Check] = {}

    def register(self, name: str, check: Check | None = None) -> Callable[[Builder], Builder]:
        """Decorator that registers a class or function under a name.

        Args:
            name: in a config.
            check: lists mistakes in the values of its settings, in the user's key names.

        Raises:
            ValueError: the name is taken.
        """

        def decorate(builder: Builder) -> Builder:
            if name in self._builders:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._builders[name] = builder
            if check is not None:
                self._checks[name] = check
            return builder

        return decorate

    def names(self) -> list[str]:
        """The names of all entries, sorted."""
        if self.package is not None:
            package, self.package = self.package, None
            folder = importlib.import_module(package)
            for module in pkgutil.iter_modules(folder.__path__):
                importlib.import_module(f"{package}.{module.name}")
        return sorted(self._builders)

    def builder(self, name: str) -> Callable[..., T]:
        """The class or function that is registered under a name."""
        self.names()
        return self._builders[name]

    def problems(
        self, name: object, arguments: Mapping[str, Any] = {}, given: tuple[str, ...] = ()
    ) -> list[str]:
        """Everything wrong with building `name` from these keyword arguments, in the user's key names.

        Args:
            name: the entry asked for.
            arguments: keyword arguments from the config.
            given: parameters that the code, not the config, passes.
        """
        menu = self.names()
        if name not in menu:
            near = closest(str(name), menu)
            return [f"{self.key}={name}: no such {self.kind}{near} (one of: {', '.join(menu)})"]
        builder = self._builders[str(name)]
        taken = {key: setting for key, setting in _settings_of(builder).items() if key not in given}
        wrong = [
            f"{self.key}.{argument}: {name} takes no such setting{closest(argument, taken)}"
            f" (it takes: {', '.join(taken) or 'none'})"
            for argument in arguments
            if argument not in taken
        ]
        missing = [
            f"{self.key}.{key}: {name} needs it and has no default"
            for key, setting in taken.items()
            if setting.default is inspect.Parameter.empty and key not in arguments
        ]
        wrong += [
            f"{self.key}.{argument}={value}: must be {described(taken[argument].hint)}"
            for argument, value in arguments.items()
            if argument in taken and not _fits(value, taken[argument].hint)
        ]
        if wrong or missing:
            return wrong + missing
        for value in _with_shared(builder, arguments).values():
            wrong += value.problems() if isinstance(value, SharedSettings) else []
        return wrong + (self._checks[str(name)](arguments) if name in self._checks else [])

    def build(self, name: str, **arguments: Any) -> T:
        """Build the entry.

        Raises:
            UserError: no such entry, or arguments that do not fit its signature.
        """
        problems = self.problems(name, arguments)
        if problems:
            raise UserError("\n".join(problems))
        builder = self._builders[name]
        return builder(**_with_shared(builder, arguments))

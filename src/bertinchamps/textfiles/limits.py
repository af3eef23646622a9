"""How much a file may hold: a file of kilobytes may unpack to gigabytes, and a line may never end.

A command that has the keys `limits.*` reads within `limited`; elsewhere the defaults hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from bertinchamps.errors import UserError
from bertinchamps.schemas import ReadingConfig


class Limited(Protocol):
    """A configuration with limits."""

    limits: ReadingConfig


Given = TypeVar("Given", bound=Limited)
P = ParamSpec("P")
Result = TypeVar("Result")

MILLION = 1_000_000
# Values of JSON in a million bytes of a record. Text has some 12,000 commas; Python's objects of "[[],[],[],…" take
# twenty times as much memory as the characters.
MARKS_OF_A_MB = 31_250
_given: ContextVar[ReadingConfig | None] = ContextVar("limits", default=None)


@contextmanager
def limited(config: ReadingConfig) -> Iterator[None]:
    """Read within these limits."""
    token = _given.set(config)
    try:
        yield
    finally:
        _given.reset(token)


def reading(work: Callable[Concatenate[Given, P], Result]) -> Callable[Concatenate[Given, P], Result]:
    """Let a function of a configuration read within its limits."""

    @wraps(work)
    def within(config: Given, /, *more: P.args, **named: P.kwargs) -> Result:
        with limited(config.limits):
            return work(config, *more, **named)

    return within


def limits() -> ReadingConfig:
    """What holds now."""
    return _given.get() or ReadingConfig()


def key(name: str) -> str | None:
    """The user's setting of a limit; None where the command has none."""
    return None if _given.get() is None else f"limits.{name}"


def limit_problems(config: ReadingConfig) -> list[str]:
    """Limits that allow nothing, in the user's key names."""
    return [
        f"limits.{name}={value}: must be above 0" for name, value in vars(config).items() if not value > 0
    ]


def remedy(setting: str | None, what: str = "larger") -> str:
    """What to do about something that is too large."""
    return f"{setting}=N reads {what} ones" if setting else "is it the right file?"


class Room:
    """Counts the bytes that are read at once.

    Args:
        what: whose they are, for the message.
    """

    def __init__(self, what: object) -> None:
        self._what, self._left = what, int(limits().file_mb * MILLION)

    def take(self, size: int) -> None:
        """Count bytes. Raises UserError where they are more than are left."""
        self._left -= size
        if self._left < 0:
            raise UserError(
                f"{self._what}: unpacked more than {limits().file_mb:g} MB, which are not read at once; "
                f"{remedy(key('file_mb'))}"
            )


def check_values(text: str | bytes, where: str, most_mb: float, setting: str | None) -> None:
    """Raise UserError for JSON that would become far more memory than its characters take.

    Args:
        text: of a record.
        where: file and line, for the message.
        most_mb: millions of bytes that a record may have.
        setting: the user's setting of that, if there is one.
    """
    if len(text) <= MILLION:
        return
    marks = (b"[", b"{", b",") if isinstance(text, bytes) else ("[", "{", ",")
    if sum(map(text.count, marks)) > most_mb * MARKS_OF_A_MB:  # type: ignore[arg-type]
        raise UserError(
            f"{where}: more than {most_mb * MARKS_OF_A_MB:,.0f} values in one record; {remedy(setting)}"
        )

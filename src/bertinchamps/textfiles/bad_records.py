"""Records that cannot be read, such as a line that is no JSON: reading stops at one, or leaves it out and counts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from bertinchamps.errors import UserError

ON_ERROR = ("stop", "skip")
TOLD = 20  # mistakes that are kept in words


def on_error_problems(settings: Mapping[str, Any], node: str = "") -> list[str]:
    """What is wrong with `on_error` of a node of the configuration, in the user's key names."""
    choice, key = settings.get("on_error", ON_ERROR[0]), f"{node}.on_error" if node else "on_error"
    return [] if choice in ON_ERROR else [f"{key}={choice}: one of {', '.join(ON_ERROR)}"]


class BadRecords:
    """What is done with the records of a file or folder that cannot be read.

    Args:
        on_error: `stop`, or `skip`, which leaves them out and counts them.

    Attributes:
        skips: whether they are left out.
        count: of those left out.
        told: file, line and mistake of the first TOLD of them, without their text.
    """

    def __init__(self, on_error: str = ON_ERROR[0]) -> None:
        self.skips = on_error == "skip"
        self.count = 0
        self.told: list[str] = []

    def anew(self) -> Self:
        """Forget what was counted, since the same records are read again."""
        self.count, self.told = 0, []
        return self

    @contextmanager
    def record(self) -> Iterator[None]:
        """Read one record within; it is left out where reading it raises UserError, or the error is raised."""
        try:
            yield
        except UserError as error:
            self.leave_out(error)

    def leave_out(self, error: UserError) -> None:
        """Count a record that cannot be read. Raises its error where reading stops at such records."""
        if not self.skips:
            raise error
        self.count += 1
        if len(self.told) < TOLD:
            self.told.append(str(error))

    def lines(self) -> list[str]:
        """A line to print where records were left out."""
        if not self.count:
            return []
        return [
            f"left out, since they cannot be read: {self.count:,} of the records; the first is {self.told[0]}"
        ]

    def check(self, read: int) -> None:
        """Raise the first mistake where more records are left out than were read.

        Then it is hardly a mistake of single records: the file is another one, or a setting is wrong.

        Args:
            read: records that could be read.
        """
        if self.count > read:
            raise UserError(
                f"{self.told[0]}\n({self.count:,} of {read + self.count:,} records cannot be read, this is the first "
                "of them: on_error=skip leaves out single ones, and not most of a file)"
            )


STOP = BadRecords()  # reading stops at the first one

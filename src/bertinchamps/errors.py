"""The one exception that users see as a message instead of a traceback."""

import signal


class UserError(Exception):
    """Something the user can fix: the message says what is wrong, where, and what to do about it.

    Entry points print it without a traceback and exit with status 2. It never quotes document text.
    """


class Stopped(UserError):
    """The user asked for an end, and got a checkpoint: nothing else that was to follow is begun.

    Entry points exit with status 128 and the number of the signal, as programs do that a signal ends.

    Attributes:
        number: of the signal.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = int(number)


class ProcessEnded(UserError):
    """Another process of a distributed job ended, or cannot be reached: this one cannot go on without it."""


class ReportedByMain(UserError):
    """An error that the first process of a distributed job has, too, and tells: the others leave in silence."""


class OutOfMemory(UserError):
    """A process did not get the memory that it asked for; those beside it may have."""

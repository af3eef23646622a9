"""The end of a command that cannot go on: one message on standard error, status 2, no traceback."""

from __future__ import annotations

import errno
import os
import signal
import textwrap
import time

from bertinchamps.console import tell
from bertinchamps.errors import OutOfMemory, ProcessEnded, ReportedByMain, Stopped, UserError
from bertinchamps.launch import launched
from bertinchamps.signals import number_of

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# Of commands that a signal interrupts before they have their own words: runs that train, and outputs, have.
WAYS_ON = {
    "prepare": "the same command goes on with what is done",
    "pretrain": "the same command begins the run, with what is prepared of its documents",
    "study": "the same command goes on",
    "tune": "the same command goes on with the next trial",
}
FIRST_SPEAKS = 10.0  # seconds after which rank 0 has found and printed the same mistakes
FIRST_LEAVES = (
    1.0  # seconds after which rank 0 has printed an error that all ranks know; torchrun ends the others
)


def stop(command: str, problems: list[str], known_to_all: bool = True) -> None:
    """Print the problems and leave with status 2; do nothing where there is none.

    Args:
        command: its name.
        problems: mistakes, each with its remedy.
        known_to_all: True: other ranks wait, because rank 0 prints the same and torchrun then ends them.
    """
    if not problems:
        return
    place = launched()
    if not place.is_main and known_to_all:
        time.sleep(FIRST_SPEAKS)
    who = command if place.is_main else f"{command}, process {place.rank}"
    lines = [f"bertinchamps {who}: " + ("error" if len(problems) == 1 else f"{len(problems)} problems")]
    for problem in problems:
        lines.append(textwrap.indent(problem, "    ").replace("    ", "  - ", 1))
    tell("\n".join(lines))
    raise SystemExit(2)


def stop_for(command: str, error: UserError) -> None:
    """Print the error, unless rank 0 prints it, and leave with status 2; after a signal, with 128 and its number."""
    if isinstance(error, Stopped):
        if launched().is_main:
            tell(f"bertinchamps {command}: {error}")
        else:
            time.sleep(FIRST_LEAVES)
        raise SystemExit(128 + error.number)
    if isinstance(error, ReportedByMain):
        time.sleep(FIRST_LEAVES)
        raise SystemExit(2)
    stop(command, [str(error)], known_to_all=not isinstance(error, ProcessEnded | OutOfMemory))


def stop_for_signal(command: str, error: KeyboardInterrupt) -> None:
    """Say how the command goes on, and leave with 128 and the number of the signal that interrupted it."""
    number = number_of(error)
    if launched().is_main:
        way = WAYS_ON.get(command, "the same command begins again")
        tell(f"\nbertinchamps {command}: stopped by {signal.Signals(number).name}; {way}")
    raise SystemExit(128 + number) from error


def stop_for_place(command: str, error: OSError) -> None:
    """Leave without a traceback where standard output, or a file that nobody tells of in its own words, is refused.

    Raises:
        OSError: the error, where it is of another kind.
    """
    if error.filename is not None and error.errno in REFUSED:
        reason = f"{error.filename}: cannot be read or written ({error.strerror})"
        stop(command, [reason], known_to_all=False)
    if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # flushing it at exit would fail again
    if isinstance(error, BrokenPipeError):
        raise SystemExit(128 + signal.SIGPIPE) from error
    stop(command, [f"the output cannot be written ({error.strerror})"])

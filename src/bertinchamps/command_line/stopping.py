"""How a command ends that cannot go on: one message on standard error, status 2, no traceback."""

from __future__ import annotations

import errno
import os
import signal
import sys
import textwrap
import time

from bertinchamps.errors import ProcessEnded, ToldByFirst, UserError
from bertinchamps.launch import launched

FIRST_SPEAKS = 10.0  # seconds in which the first process of a job has found the same mistakes, and told them
FIRST_LEAVES = 1.0  # seconds in which it has told what is known to all; torchrun then ends whoever is left


def stop(command: str, problems: list[str], known_to_all: bool = True) -> None:
    """Print the problems and leave with status 2; do nothing where there is none.

    Args:
        command: that was given.
        problems: what is wrong, each with its remedy.
        known_to_all: the first process of a job is likely to say the same, and then the launcher ends this one
            before it speaks.
    """
    if not problems:
        return
    place = launched()
    if not place.first and known_to_all:
        time.sleep(FIRST_SPEAKS)
    who = command if place.first else f"{command}, process {place.rank}"
    lines = [f"bertinchamps {who}: " + ("error" if len(problems) == 1 else f"{len(problems)} problems")]
    for problem in problems:
        lines.append(textwrap.indent(problem, "    ").replace("    ", "  - ", 1))
    print("\n".join(lines), file=sys.stderr)  # noqa: T201
    raise SystemExit(2)


def stop_for(command: str, error: UserError) -> None:
    """Leave with status 2, after saying why unless the first process of the job says it."""
    if isinstance(error, ToldByFirst):
        time.sleep(FIRST_LEAVES)
        raise SystemExit(2)
    stop(command, [str(error)], known_to_all=not isinstance(error, ProcessEnded))


def stop_for_output(command: str, error: OSError) -> None:
    """Where nobody reads the output any more, or it cannot be written, leave without a traceback.

    Raises:
        OSError: it is about something else.
    """
    if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to write at the end would fail again
    if isinstance(error, BrokenPipeError):
        raise SystemExit(128 + signal.SIGPIPE) from error
    stop(command, [f"the output cannot be written ({error.strerror})"])

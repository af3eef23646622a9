"""Processes with one limit, each in a group of its own. None of them outlives its stage, whatever it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

DONE, FAILED, OUT_OF_TIME, INTERRUPTED = "done", "failed", "out of time", "interrupted"
MARK = "BERTINCHAMPS_GPU_MINUTES_STAGE"  # by it a stage's processes are found, those in other groups too
SECONDS_BETWEEN_LOOKS = 0.1
LONGEST_GOODBYE = 3.0  # seconds, after an interruption: whoever interrupted is waiting


class Command(NamedTuple):
    """What is run.

    Attributes:
        words: program and arguments.
        log: the file for standard output and errors.
        reported: statuses of failures that the stage's result explains better than the log's last lines.
    """

    words: Sequence[str]
    log: Path
    reported: Sequence[int] = ()


class Ended(NamedTuple):
    """How commands ended.

    Attributes:
        came: DONE, FAILED, OUT_OF_TIME or INTERRUPTED.
        statuses: of each command; below zero where a signal ended it.
        seconds: from the start to the end of the last one.
    """

    came: str
    statuses: list[int]
    seconds: float


def run(
    commands: Sequence[Command],
    seconds: float,
    folder: Path,
    environment: Mapping[str, str] = os.environ,
    grace: float = 2.0,
    ask: signal.Signals = signal.SIGTERM,
    stopped: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run commands side by side until the last one ends, but no longer than a limit.

    Args:
        commands: started at once.
        seconds: the limit, with `grace` inside it.
        folder: where they run.
        environment: of all of them.
        grace: seconds between `ask` and the kill.
        ask: the signal that lets a command finish what it writes.
        stopped: whether somebody interrupted; they are asked, and soon killed, then.
    """
    began = time.monotonic()
    mark = uuid.uuid4().hex
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            started.append(_start(command, folder, {**environment, MARK: mark}))
        why = _wait(started, began + seconds - grace, stopped)
        if why:
            for process in started:
                _signal(process.pid, ask)
            goodbye = min(grace, LONGEST_GOODBYE) if why == INTERRUPTED else grace
            _wait(started, time.monotonic() + goodbye, lambda: False)
    finally:
        _kill(started, mark)
    statuses = [process.wait() for process in started]
    return Ended(why or (FAILED if any(statuses) else DONE), statuses, time.monotonic() - began)


def _start(command: Command, folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("wb") as log:
        return subprocess.Popen(
            command.words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(
    started: Sequence[subprocess.Popen[bytes]], deadline: float, stopped: Callable[[], bool]
) -> str | None:
    """None once all have ended, or why they were not waited for any longer."""
    while any(process.poll() is None for process in started):
        if stopped():
            return INTERRUPTED
        if time.monotonic() >= deadline:
            return OUT_OF_TIME
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return None


def _kill(started: Sequence[subprocess.Popen[bytes]], mark: str) -> None:
    """End whatever is left: the groups of the commands, and what moved out of them."""
    for process in started:
        _signal(process.pid, signal.SIGKILL)
    for _ in range(3):  # one may start another while they are looked for
        left = list(_marked(mark))
        for number in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        if not left:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS / 2)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _marked(mark: str) -> Iterator[int]:
    """Living processes whose environment holds the mark; none where the system does not tell."""
    wanted = f"{MARK}={mark}".encode()
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in file.read_bytes().split(b"\0"):
                yield int(file.parent.name)

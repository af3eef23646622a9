"""Stages one after the other, each with a limit of its own, inside one total; what each leaves, on disk at once."""

from __future__ import annotations

import contextlib
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from benchmarks.gpu_minutes import files, processes
from benchmarks.gpu_minutes.page import page, short_table
from benchmarks.gpu_minutes.place import Place
from bertinchamps.durable import write_file, write_json
from bertinchamps.errors import UserError

SECONDS_FOR_THE_PAGE = 4.0
LEAST_SECONDS = 8.0  # no stage starts with less
NOT_REACHED = "not reached"


class Stage(Protocol):
    """What the ladder needs of a stage.

    Attributes:
        name: of its file of results and its logs.
        seconds: its limit, of which it may get less; the last stage gets what is left.
        takes_what_is_left: but for the limits of the stages after it.
        grace: seconds between `ask` and the kill, inside the limit.
        ask: the signal that lets it finish what it writes.
    """

    name: str
    seconds: float
    takes_what_is_left: bool
    grace: float
    ask: signal.Signals

    def commands(self, seconds: float) -> list[processes.Command]:
        """What is run side by side, given so much time.

        Raises:
            UserError: something that it needs is not there.
        """

    def result(self) -> dict[str, Any]:
        """What its processes wrote, whole or not."""


@dataclass
class Interruption:
    """SIGTERM, SIGINT and SIGHUP: the first one ends the running stage and all after it.

    Attributes:
        number: of the signal that came; None as long as none did.
    """

    number: int | None = field(default=None, init=False)

    def listen(self) -> None:
        """From now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.number = self.number or number

    def came(self) -> bool:
        """Whether one did."""
        return self.number is not None


def climb(
    stages: Sequence[Stage],
    place: Place,
    seconds: float,
    facts: Mapping[str, str],
    interruption: Interruption,
    began: float | None = None,
) -> int:
    """Run the stages; after each, write what it found and the page.

    Args:
        stages: in the order of their value.
        place: where things are.
        seconds: the total, the page's writing inside it.
        facts: of this call, by their names on the page.
        interruption: listened to before.
        began: when the total began, by `time.monotonic` (now).

    Returns:
        The exit status: 0 if all stages were done, 1 if not, 128 and the signal's number after an interruption.
    """
    deadline = (time.monotonic() if began is None else began) + seconds - SECONDS_FOR_THE_PAGE
    place.out.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        _result_file(place, stage).unlink(missing_ok=True)  # of an earlier call
    about = {"call": facts, "rehearsal": place.rehearsal}
    came = []
    for number, stage in enumerate(stages):
        allotted = allotment(stages, number, deadline - time.monotonic())
        outcome, result = _run(stage, place, allotted, interruption)
        came.append(outcome["came"])
        _say(f"{stage.name}: {came[-1]} in {outcome['seconds']:.0f} s of {outcome['limit']:.0f}")
        try:
            write_json(_result_file(place, stage), {"stage": {**about, **outcome}, **result})
            bring_together(place)
        except Exception as error:  # a full disk, say: the stages after it may still find something
            _say(f"{stage.name}: its result could not be written: {_reason(error, place)}")
    _say(f"\n{short_table(place.out)}")
    if interruption.number is not None:
        return 128 + interruption.number
    return 0 if all(one == processes.DONE for one in came) else 1


def bring_together(place: Place) -> None:
    """The page of all results in the folder, and the logs; nothing half written stays there."""
    write_file(place.out / "page.md", page(place.out))
    logs = sorted(file for file in place.work.glob("logs/**/*") if file.is_file())
    files.archive(place.out / "logs.zip", ((str(file.relative_to(place.logs)), file) for file in logs))
    for unfinished in place.out.glob(".*.unfinished"):
        unfinished.unlink()


def allotment(stages: Sequence[Stage], number: int, left: float) -> float:
    """Seconds for a stage.

    Args:
        stages: all of them.
        number: of the stage among them.
        left: seconds of the total.
    """
    if number == len(stages) - 1:
        return max(0.0, left)
    if stages[number].takes_what_is_left:
        later = sum(stage.seconds for stage in stages[number + 1 :])
        return max(0.0, left - later, left / 2)  # those after it have nothing to go on from without it
    return max(0.0, min(stages[number].seconds, left))


def _say(line: str) -> None:
    """On standard output, if anybody still listens."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def _result_file(place: Place, stage: Stage) -> Path:
    return place.out / f"{stage.name}.json"


def _run(
    stage: Stage, place: Place, seconds: float, interruption: Interruption
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How a stage ended, and what it found."""
    outcome: dict[str, Any] = {"limit": round(seconds, 1), "seconds": 0.0, "commands": [], "problem": []}
    if interruption.came() or seconds < LEAST_SECONDS:
        return {"came": NOT_REACHED, **outcome}, {}
    try:
        commands = stage.commands(seconds)
        around = place.environment()
        ended = processes.run(
            commands, seconds, place.root, around, stage.grace, stage.ask, interruption.came
        )
    except Exception as error:  # whatever it is, it must not cost the stages after this one
        return {"came": processes.FAILED, **outcome, "problem": [_reason(error, place)]}, {}
    outcome["seconds"] = round(ended.seconds, 1)
    outcome["commands"] = [place.plain(shlex.join(command.words)) for command in commands]
    for command, status in zip(commands, ended.statuses, strict=True):
        if status and status not in command.reported:
            last = [place.plain(line) for line in files.last_lines(command.log)]
            outcome["problem"] += [f"{command.log.stem}: status {status}", *last]
    try:
        return {"came": ended.came, **outcome}, stage.result()
    except Exception as error:
        outcome["problem"].append(f"its results cannot be read: {_reason(error, place)}")
        return {"came": processes.FAILED, **outcome}, {}


def _reason(error: Exception, place: Place) -> str:
    return place.plain(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")

#!/usr/bin/env python3
"""Gives every reader of files broken files, for as long as wanted, and reports what is no message for the user.

    python scripts/fuzz.py --seconds 600 --folder fuzzing
    python scripts/fuzz.py --seconds 60 --readers source_jsonl brat xmi
    python scripts/fuzz.py --seconds 600 --engine atheris      # libFuzzer chooses what to change (`fuzz_coverage.py`)

A reader (`fuzz_targets.py`) gets a good file or folder in which bytes, numbers, lines and pieces were changed, at
several places, also inside of compressed files. It may read it or raise UserError. Whatever else happens is a finding:
another exception, more seconds than --hang, more memory than --memory, a crash of the process, or a message that tells
a word of a text. Inputs whose outcome is new (a message in other words, or a line of our code that ran for the first
time, where Python is 3.12 or newer) are kept and changed further.

Each reader runs in a process of its own. Counts, kept inputs and findings are in FOLDER/READER, and the same command
goes on there; `FOLDER/READER/findings/NAME` has the files and the traceback. Exit status 1: there are findings.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import random
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz_changes import Files, changed, load, write
from fuzz_targets import MARK, TARGETS, Target
from machine import machine

ROOT = Path(__file__).resolve().parents[1]
MOST_KEPT = 400  # inputs of a reader
CURRENT, STATE, FINDINGS, KEPT = "current", "state.json", "findings", "kept"


class Hang(BaseException):
    """A reading took too long. No Exception, so that no reader takes it for one of its own."""


@dataclass
class State:
    """What was done with a reader.

    Attributes:
        executions: readings.
        seconds: of them.
        refused: of them, those that ended in a message for the user.
        findings: what was wrong, by a name that says where → how often.
        outcomes: kinds of outcome that were seen.
    """

    executions: int = 0
    seconds: float = 0.0
    refused: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    outcomes: list[str] = field(default_factory=list)


@contextmanager
def seconds_of(most: float) -> Iterator[None]:
    """Raise Hang after so many seconds."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Lines:
    """Lines of our code that run for the first time; none are seen before Python 3.12."""

    def __init__(self) -> None:
        self.new = 0
        watching = getattr(sys, "monitoring", None)
        if watching is None or watching.get_tool(watching.COVERAGE_ID) is not None:
            return
        watching.use_tool_id(watching.COVERAGE_ID, "fuzz")
        watching.register_callback(watching.COVERAGE_ID, watching.events.LINE, self._ran)
        watching.set_events(watching.COVERAGE_ID, watching.events.LINE)

    def _ran(self, code: Any, line: int) -> Any:
        del line
        self.new += "bertinchamps" in code.co_filename
        return sys.monitoring.DISABLE  # type: ignore[attr-defined]


class Fuzzer:
    """Reads changed files with one reader, and keeps count.

    Args:
        target: the reader.
        folder: for its state.
        hang: seconds that a reading may take.
        seed: of the changes, which also depend on how many were made before.
    """

    def __init__(self, target: Target, folder: Path, hang: float, seed: int = 0) -> None:
        self.target, self.folder, self._hang, self.seed = target, folder, hang, seed
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / STATE
        self.state = State(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else State()
        self._lines, self._seen = Lines(), set(self.state.outcomes)
        self.inputs: list[Files] = [
            *target.seeds(),
            *(load(each) for each in sorted((folder / KEPT).glob("*"))),
        ]

    def run(self, seconds: float, executions: float = float("inf")) -> None:
        """Change and read until the time or the number is used up; the good files come first."""
        began, first = time.monotonic(), self.state.executions
        good = iter(self.target.seeds() if first == 0 else ())
        while time.monotonic() - began < seconds and self.state.executions - first < executions:
            files = next(good, None)
            if files is None:
                dice = random.Random(f"{self.seed} {self.target.name} {self.state.executions}")
                files = changed(dice.choice(self.inputs), dice, self.inputs)
            self.read(files)
            if self.state.executions % 100 == 0:
                self.save(began)
        self.save(began)

    def save(self, began: float) -> None:
        """Write the counts down; began is when this process did, by the monotonic clock."""
        now = time.monotonic()
        self.state.seconds += now - max(began, getattr(self, "_saved", began))
        self._saved = now
        self.state.outcomes = sorted(self._seen)
        unfinished = self.folder / f".{STATE}"
        unfinished.write_text(json.dumps(asdict(self.state)), encoding="utf-8")
        unfinished.replace(self.folder / STATE)

    def read(self, files: Files) -> None:
        """One reading, and what came of it."""
        place = self.folder / CURRENT
        write(files, place)
        self.state.executions += 1
        self._lines.new = 0
        outcome, error = "read", None
        try:
            with seconds_of(self._hang):
                self.target.read(place)
        except Hang as late:
            outcome, error = f"hang of {self._hang:g} s", late
        except BaseException as other:
            outcome, error = f"{type(other).__name__}", other
        if (
            error is not None
            and isinstance(error, self.target.allowed)
            and not isinstance(error, MemoryError)
        ):
            self.state.refused += 1
            message = str(error)
            if MARK.lower() in message.lower():
                self._found(files, "a message tells a word of a text", message)
            outcome = re.sub(r"\d+|'[^']*'", "N", message.replace(str(place), ""))[:200]
        elif error is not None:
            self._found(files, f"{outcome} {where(error)}", "".join(traceback.format_exception(error)))
        kind = hashlib.blake2b(outcome.encode(errors="replace"), digest_size=8).hexdigest()
        if kind not in self._seen or self._lines.new:
            self._seen.add(kind)
            if len(self.inputs) < MOST_KEPT:
                self.inputs.append(files)
                write(files, self.folder / KEPT / f"{self.state.executions:09d}")

    def _found(self, files: Files, name: str, told: str) -> None:
        known = self.state.findings.get(name, 0)
        self.state.findings[name] = known + 1
        if not known:
            kept = self.folder / FINDINGS / re.sub(r"[^\w.-]+", "_", name)[:120]
            write(files, kept)
            (kept / "TRACEBACK.txt").write_text(told, encoding="utf-8", errors="replace")


def where(error: BaseException) -> str:
    """The innermost place of our code, or of whatever code, that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame for frame in frames if "bertinchamps" in frame.filename and "/scripts/" not in frame.filename
    ]
    last = (ours or list(frames) or [None])[-1]
    return "at no place" if last is None else f"{Path(last.filename).name}:{last.name}"


def limit_memory(more: float) -> None:
    """Let this process have so many bytes more than it has."""
    has = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (int(has + more), resource.RLIM_INFINITY))


def work(arguments: argparse.Namespace) -> None:
    """The process of one reader."""
    target = TARGETS[arguments.worker]
    fuzzer = Fuzzer(target, arguments.folder / target.name, arguments.hang, arguments.seed)
    coverage = importlib.import_module("fuzz_coverage") if arguments.engine == "atheris" else None
    with coverage.watched() if coverage else nullcontext():
        for files in target.seeds():  # imports what it needs, before memory is limited
            write(files, fuzzer.folder / CURRENT)
            target.read(fuzzer.folder / CURRENT)
    limit_memory(arguments.memory * 1e6)
    if coverage:
        coverage.guide(fuzzer, arguments.seconds)  # which ends the process
    else:
        fuzzer.run(arguments.seconds)


def campaign(target: Target, arguments: argparse.Namespace, seconds: float) -> State:
    """Run the process of a reader for so long, again where it crashed; returns its state."""
    folder, until = arguments.folder / target.name, time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        words = [sys.executable, __file__, "--worker", target.name, "--folder", str(arguments.folder)]
        words += ["--seconds", f"{left}", "--hang", f"{arguments.hang}", "--memory", f"{arguments.memory}"]
        words += ["--seed", str(arguments.seed), "--engine", arguments.engine]
        try:
            done = subprocess.run(
                words, timeout=left + 30 + 10 * arguments.hang, capture_output=True, check=False
            )
            crash = "" if done.returncode == 0 else f"crash with status {done.returncode}"
            told = done.stderr.decode(errors="replace")
        except subprocess.TimeoutExpired:
            crash, told = "hang that no signal ends", ""
        state = read_state(folder)
        if not crash:
            return state
        state.findings[crash] = state.findings.get(crash, 0) + 1
        state.executions += 1  # so that the changes are others
        kept = folder / FINDINGS / crash.replace(" ", "_")
        if not kept.exists():
            write(load(folder / CURRENT), kept)
            (kept / "TRACEBACK.txt").write_text(told, encoding="utf-8")
        (folder / STATE).write_text(json.dumps(asdict(state)), encoding="utf-8")
    return read_state(folder)


def read_state(folder: Path) -> State:
    """The state in a reader's folder."""
    file = folder / STATE
    return State(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else State()


def table(states: dict[str, State]) -> Iterator[str]:
    """A line for each reader, and one for all."""
    yield f"{'reader':<22} {'executions':>12} {'refused':>9} {'a second':>9} {'outcomes':>9}  findings"
    for name, state in states.items():
        pace = state.executions / max(state.seconds, 1e-9)
        outcomes = len(state.outcomes)
        yield (
            f"{name:<22} {state.executions:>12,} {state.refused:>9,} {pace:>9,.0f} {outcomes:>9,}  "
            f"{'; '.join(state.findings) or '0'}"
        )
    executions, findings = (
        sum(state.executions for state in states.values()),
        sum(len(state.findings) for state in states.values()),
    )
    yield f"{'all':<22} {executions:>12,} {'':>9} {'':>9} {'':>9}  {findings}"


def main() -> int:
    """Entry point; returns the exit status."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument(
        "--seconds", type=float, default=600, help="in all, shared by the readers (%(default)s)"
    )
    words.add_argument("--readers", nargs="+", choices=TARGETS, default=list(TARGETS), help="(all)")
    words.add_argument(
        "--folder", type=Path, default=Path("fuzzing"), help="for states, inputs, findings (%(default)s)"
    )
    words.add_argument("--hang", type=float, default=10, help="seconds that a reading may take (%(default)s)")
    words.add_argument(
        "--memory",
        type=float,
        default=2000,
        help="MB that a reader may have besides its modules (%(default)s)",
    )
    words.add_argument("--seed", type=int, default=0, help="of the changes (%(default)s)")
    words.add_argument(
        "--engine",
        choices=("changes", "atheris"),
        default="changes",
        help="atheris: by coverage; Linux, `pip install atheris` (%(default)s)",
    )
    words.add_argument("--worker", choices=TARGETS, help=argparse.SUPPRESS)
    arguments = words.parse_args()
    if arguments.engine == "atheris" and importlib.util.find_spec("atheris") is None:
        words.error("--engine atheris: it is not installed; pip install atheris")
    arguments.folder = arguments.folder.absolute()
    if arguments.worker:
        work(arguments)
        return 0
    states: dict[str, State] = {}
    for name in arguments.readers:
        states[name] = campaign(TARGETS[name], arguments, arguments.seconds / len(arguments.readers))
        print(list(table(states))[-2], flush=True)
    made_on = machine()
    print("\n".join([made_on, *table(states)]))
    tally = {name: asdict(state) | {"outcomes": len(state.outcomes)} for name, state in states.items()}
    (arguments.folder / "fuzz.json").write_text(
        json.dumps({"machine": made_on, **tally}, indent=2), encoding="utf-8"
    )
    return int(any(state.findings for state in states.values()))


if __name__ == "__main__":
    sys.exit(main())

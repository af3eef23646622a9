"""Whose turn it is on the device: rows compile together and are measured one after the other, in order of value.

A row's process builds its model, compiles, and asks for the device's memory; runs its first updates, frees what it can,
and waits, compiled, until it is measured. So nothing starts or compiles twice. Three rules keep the device whole:

- a process is started if what all hold, plus the most that one of them needs beside what it holds, fits the memory;
- first updates run while nothing is measured, as many together as fit;
- measuring begins when all that were started are ready, or half of the time is over; one row at a time. What starts
  later compiles meanwhile, on the host.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks import running
from benchmarks.device_link import COMPILED, FAILED, MEASURE, MEASURED, READY, RUN, serve
from benchmarks.device_plan import Memory, Row

COMPILING, ASKING, FIRST, PARKED, MEASURING = "compiling", "asking", "first updates", "parked", "measuring"
LOOK = 0.5  # seconds between looks at the clock
TO_DIE = 10.0  # seconds that a killed process may take


class Limits(NamedTuple):
    """Of the whole and of each row.

    Attributes:
        seconds: in all.
        compiling: seconds of a row from its start until it has compiled.
        measuring: seconds of its first updates, and of each of its turns.
        gigabytes: of the device, for all rows together.
        processes: at once.
    """

    seconds: float
    compiling: float
    measuring: float
    gigabytes: float
    processes: int


class Findings(Protocol):
    """Receives the results of the rows, as they come."""

    def ready(self, row: Row, first_update: float | None) -> None: ...
    def measured(self, row: Row, message: Mapping[str, Any], plain: float | None) -> None: ...
    def failed(self, row: Row, problem: str, log: str) -> None: ...


class Worker:
    """A row's process.

    Args:
        row: that it measures.
        memory: that it takes.
        context: starts it.
        given: to `device_link.serve`, behind its end of the connection, the row and the log's name.
        log: what it prints.
    """

    def __init__(
        self,
        row: Row,
        memory: Memory,
        context: BaseContext,
        given: tuple[Any, ...],
        log: Path,
    ) -> None:
        self.row, self.memory, self.log = row, memory, log
        self.link: Connection
        self.link, end = context.Pipe()
        self.process: Any = context.Process(target=serve, args=(end, row, str(log), *given))
        self.process.start()
        end.close()
        self.state, self.since = COMPILING, time.perf_counter()
        self.rate: float | None = None  # tokens a second, when it was measured last

    def turn_to(self, state: str, command: str | None = None) -> None:
        """Another state from now on, and the command that brings it about."""
        self.state, self.since = state, time.perf_counter()
        if command is not None:
            with contextlib.suppress(OSError):  # the worker has just died, which is noticed below
                self.link.send(command)

    @property
    def taken(self) -> float:
        """Gigabytes at this moment."""
        return self.memory.peak if self.state in (FIRST, MEASURING) else self.memory.held

    def kill(self) -> None:
        """End the process, and wait until its memory is free."""
        self.process.kill()
        self.process.join(TO_DIE)
        self.link.close()

    def printed(self) -> str:
        """What the process has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


class Schedule:
    """Runs rows on one device.

    Args:
        rows: in order of value.
        memory: of each.
        limits: of time, memory and processes.
        findings: receives the results of the rows.
        start: makes the process of a row.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        memory: Mapping[str, Memory],
        limits: Limits,
        findings: Findings,
        start: Callable[[Row, Memory], Worker],
    ) -> None:
        self._memory, self._limits, self._findings, self._start = memory, limits, findings, start
        self._order = {row.name: place for place, row in enumerate(rows)}
        self._waiting = list(rows)
        self._workers: list[Worker] = []
        self._open = {row.name for row in rows}  # neither measured nor failed
        self._renewed: set[str] = set()  # rows whose plain way was measured again for them
        self._measuring = False  # whether measuring has begun

    def run(self) -> None:
        """Until all rows are measured, or the time is over."""
        began = time.perf_counter()
        ends = began + self._limits.seconds
        try:
            while self._open and (left := ends - time.perf_counter()) > 0:
                self._start_what_fits()
                self._let_run()
                half = time.perf_counter() > began + self._limits.seconds / 2
                self._measure_next(half)
                self._listen(min(left, LOOK))
                self._end_overruns()
        finally:
            for worker in self._workers:
                worker.process.kill()  # all, before any is waited for
            for worker in self._workers:
                worker.kill()

    def _start_what_fits(self) -> None:
        for row in list(self._waiting):
            if len(self._workers) >= self._limits.processes:
                return
            memory = self._memory[row.name]
            together = [memory, *(worker.memory for worker in self._workers)]
            needed = sum(each.held for each in together) + max(each.peak - each.held for each in together)
            if needed > self._limits.gigabytes:
                if not self._workers:
                    self._waiting.remove(row)
                    self._fail(row, f"needs {needed:.0f} GB by estimate, of {self._limits.gigabytes:g}", "")
                continue
            self._waiting.remove(row)
            self._workers.append(self._start(row, memory))
            self._workers.sort(key=lambda worker: self._order[worker.row.name])

    def _let_run(self) -> None:
        """Give the device's memory to those that have compiled."""
        if any(worker.state == MEASURING for worker in self._workers):
            return
        for worker in self._workers:
            more = worker.memory.peak - worker.memory.held
            fits = sum(other.taken for other in self._workers) + more <= self._limits.gigabytes
            if worker.state == ASKING and fits and (not worker.row.alone or self._is_last(worker)):
                worker.turn_to(FIRST, RUN)

    def _is_last(self, worker: Worker) -> bool:
        return self._open == {worker.row.name}

    def _measure_next(self, half: bool) -> None:
        """Let the next row measure, if the device is quiet."""
        if any(worker.state in (MEASURING, FIRST) for worker in self._workers):
            return
        compiling = any(w.state in (COMPILING, ASKING) and not w.row.alone for w in self._workers)
        if compiling and not self._measuring and not half:
            return
        parked = [worker for worker in self._workers if worker.state == PARKED]
        worker = next((worker for worker in parked if worker.row.name in self._open), None)
        if worker is None:
            return
        self._measuring = True
        plain = self._worker_of(worker.row.against)
        if plain in parked and worker.row.name not in self._renewed:
            self._renewed.add(worker.row.name)
            worker = plain
        worker.turn_to(MEASURING, MEASURE)

    def _worker_of(self, name: str) -> Worker | None:
        return next((worker for worker in self._workers if worker.row.name == name), None)

    def _listen(self, seconds: float) -> None:
        links = {worker.link: worker for worker in self._workers}
        for link in wait(list(links), timeout=seconds):
            worker = links[link]
            if worker not in self._workers:  # it was ended when another worker reported
                continue
            try:
                message = worker.link.recv()
            except (EOFError, OSError):
                worker.process.join(TO_DIE)
                last = running.last_line(worker.printed())
                self._drop(worker, f"its process ended with status {worker.process.exitcode}: {last}")
                continue
            self._hear(worker, message)

    def _hear(self, worker: Worker, message: Mapping[str, Any]) -> None:
        if message["status"] == COMPILED:
            worker.turn_to(ASKING)
        elif message["status"] == READY:
            if worker.state == FIRST:
                self._findings.ready(worker.row, message["first_update_seconds"])
            worker.turn_to(PARKED)
            self._end_if_done(worker)
        elif message["status"] == MEASURED:
            plain = self._worker_of(worker.row.against)
            first, *_ = message["rows"]
            worker.rate = first.get("tokens_per_second")
            if worker.row.name in self._open:
                self._findings.measured(worker.row, message, None if plain is None else plain.rate)
            if message["last"]:
                self._open.discard(worker.row.name)
        elif message["status"] == FAILED:
            self._drop(worker, message["problem"])

    def _end_if_done(self, worker: Worker) -> None:
        """End a process that is measured and that no other row is compared with."""
        rows = [*self._waiting, *(other.row for other in self._workers)]
        needed = any(row.against == worker.row.name and row.name in self._open for row in rows)
        if worker.row.name not in self._open and not needed:
            self._remove(worker)

    def _end_overruns(self) -> None:
        now = time.perf_counter()
        for worker in list(self._workers):
            compiles = worker.state == COMPILING or (worker.state == FIRST and worker.row.alone)
            works = worker.state in (FIRST, MEASURING)
            limit = self._limits.compiling if compiles else self._limits.measuring
            if (compiles or works) and now - worker.since > limit:
                self._drop(worker, f"overran its {limit:g} s of {worker.state}")

    def _drop(self, worker: Worker, problem: str) -> None:
        self._remove(worker)
        self._fail(worker.row, problem, worker.printed())

    def _remove(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.kill()
        for other in list(self._workers):  # one that was kept for this row's sake alone
            if other in self._workers and other.state == PARKED:
                self._end_if_done(other)

    def _fail(self, row: Row, problem: str, log: str) -> None:
        if row.name in self._open:
            self._open.discard(row.name)
            self._findings.failed(row, problem, log)

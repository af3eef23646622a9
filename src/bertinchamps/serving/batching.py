"""One thread for the models: texts of several requests that want the same go through a model together."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertinchamps.serving.models import Pair, Work

Observed = Callable[
    [int, int, float], None
]  # requests and texts that went through a model together, and seconds


class Full(Exception):
    """Too many texts wait already."""


class Closed(Exception):
    """The service ends, and takes no more texts."""


class Failed(Exception):
    """The model raised an error, whose class is the message: the message of the error may hold text."""


@dataclass(eq=False)
class _Job:
    """The texts of a request."""

    work: Work
    texts: Sequence[Pair]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Sequence[Any]]
    dropped: bool = False
    arrived: float = field(default_factory=time.monotonic)


class Collector:
    """Collects texts of requests, and puts them through the models in a thread.

    Args:
        texts: that go through a model together, at the most, unless one request has more.
        wait: seconds for which the first text waits for others, at the most: not longer than until as many requests
            are there as the last time, so that who asks alone does not wait.
        room: texts that wait.
        observe: called after each batch.
    """

    def __init__(self, texts: int, wait: float, room: int, observe: Observed) -> None:
        self._most, self._wait, self._room, self._observe = texts, wait, room, observe
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._expected = texts  # requests that were there when the last ones went through the model
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Texts that wait."""
        return sum(len(job.texts) for job in list(self._jobs) if not job.dropped)

    async def answers(self, work: Work, texts: Sequence[Pair], seconds: float) -> Sequence[Any]:
        """The answers of a model, one for each text.

        Args:
            work: what the model does; requests of one `work` are put together.
            texts: of one request.
            seconds: to wait.

        Raises:
            Full: there is no room.
            Closed: the service ends.
            Failed: the model raised an error.
            TimeoutError: there was no answer in time.
        """
        loop = asyncio.get_running_loop()
        job = _Job(work, texts, loop, loop.create_future())
        with self._changed:
            if self._closed:
                raise Closed
            if self.waiting + len(texts) > max(self._room, len(texts) if not self._jobs else 0):
                raise Full
            self._jobs.append(job)
            self._changed.notify()
        try:
            return await asyncio.wait_for(job.answer, seconds)
        finally:  # whoever left, by time or by closing the connection, is not computed any more
            job.dropped = True

    def close(self) -> None:
        """Take no more texts; those that wait are answered first."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            began = time.perf_counter()
            answers = self._answers_of(batch)
            texts = sum(len(job.texts) for job in batch)
            self._observe(len(batch), texts, time.perf_counter() - began)  # figures have it before clients do
            for job, answer in zip(batch, answers, strict=True):
                _tell(job, answer)

    def _next(self) -> list[_Job]:
        """Jobs of one work, in the order in which they came; none at the end."""
        with self._changed:
            while True:
                while self._jobs and self._jobs[0].dropped:
                    self._jobs.popleft()
                if not self._jobs:
                    if self._closed:
                        return []
                    self._changed.wait()
                    continue
                left = self._jobs[0].arrived + self._wait - time.monotonic()
                batch = self._together()
                enough = (
                    len(self._jobs) >= self._expected or sum(len(job.texts) for job in batch) >= self._most
                )
                if enough or left <= 0 or self._closed:
                    self._expected = len(self._jobs)
                    for job in batch:
                        self._jobs.remove(job)
                    return batch
                self._changed.wait(left)

    def _together(self) -> list[_Job]:
        first, *others = self._jobs
        batch, texts = [first], len(first.texts)
        for job in others:
            if job.work is first.work and not job.dropped and texts + len(job.texts) <= self._most:
                batch.append(job)
                texts += len(job.texts)
        return batch

    def _answers_of(self, batch: Sequence[_Job]) -> list[Sequence[Any] | Failed]:
        """The answer of each job, or how the model failed on it."""
        try:
            answers = batch[0].work([text for job in batch for text in job.texts])
        except Exception as error:
            if len(batch) == 1:
                return [Failed(type(error).__name__)]
            return [own for job in batch for own in self._answers_of([job])]  # one must not spoil the others
        ends = list(itertools.accumulate(len(job.texts) for job in batch))
        return [answers[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _tell(job: _Job, answer: Sequence[Any] | Failed) -> None:
    def set_answer() -> None:
        if not job.answer.done():
            if isinstance(answer, Failed):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result(answer)

    if not job.loop.is_closed():
        job.loop.call_soon_threadsafe(set_answer)

"""Where a process that has imported what commands import would start another Python, it forks."""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

MODULES = ("bertinchamps", "benchmarks", "pytest")
OPEN_FILES = 4096
READ_BY_LIBRARIES = ("OMP_", "MKL_", "MPL", "PYTHONHASHSEED")  # when they are imported
READ_BY_ROOMS = ("PYTHONPATH", "HF_", "HUGGING", "TRANSFORMERS_")


class ForkingPopen(subprocess.Popen[Any]):
    """`subprocess.Popen`, whose `python -m bertinchamps.…` or `python script.py` is a fork of this process.

    The fork has a session, an environment, a directory and streams as they are asked for, and no other open file.
    """

    run: ClassVar[Callable[[list[str]], int]]  # runs the words behind `python`; its result is the exit status
    rooms: ClassVar[bool]  # whether this process has imported our rooms, which know where the Hub is

    def __init__(self, args: Any, *others: Any, **options: Any) -> None:
        self._words = _words(args)
        environment = options.get("env") or os.environ
        if self._words is not None and not self._same(environment):
            self._words = None
        self._options = options
        super().__init__(args, *others, **options)

    def _same(self, environment: Mapping[str, str]) -> bool:
        """Whether libraries would be as they are here."""
        read = READ_BY_LIBRARIES + (READ_BY_ROOMS if self.rooms else ())
        return all(
            environment.get(name) == os.environ.get(name)
            for name in {*environment, *os.environ}
            if name.startswith(read)
        )

    def _execute_child(self, *given: Any) -> None:
        if self._words is None:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        pipes = given[10:16]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(pipes[0], pipes[3], pipes[5])
            sys.argv[:] = self._words
            os._exit(ForkingPopen.run(self._words))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _become(self, *streams: int) -> None:
        """What a new program would be: see `Popen`."""
        copies = [os.dup(stream if stream != -1 else number) for number, stream in enumerate(streams)]
        for number, copy in enumerate(copies):
            os.dup2(copy, number)
        os.closerange(3, OPEN_FILES)
        if self._options.get("start_new_session"):
            os.setsid()
        for signal_number in signal.valid_signals():
            if callable(signal.getsignal(signal_number)):
                signal.signal(signal_number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        Path("/proc/self/comm").write_text(Path(sys.executable).name, encoding="utf-8")
        os.chdir(self._options.get("cwd") or ".")
        before = os.environ.get("PYTHONPATH")
        if (environment := self._options.get("env")) is not None:
            environment = dict(environment)
            os.environ.clear()
            os.environ.update(environment)
        sys.path[0] = str(Path.cwd())
        if os.environ.get("PYTHONPATH") != before:
            sys.path[1:1] = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]
        weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # what ends with the parent
        multiprocessing.process._children.clear()  # type: ignore[attr-defined]


def _words(args: Any) -> list[str] | None:
    """The module or script with its arguments, if this is a Python that a fork may stand for."""
    if not isinstance(args, Sequence) or isinstance(args, str):
        return None
    python, *words = map(str, args)
    if python != sys.executable:
        return None
    if words[:1] == ["-u"]:
        del words[0]
    if words[0] == "-m":
        return words[1:] if words[1].split(".")[0] in MODULES else None
    return words if words[0].endswith(".py") else None

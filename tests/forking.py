"""Where a process that has imported what commands import would start another Python, it forks."""

from __future__ import annotations

import inspect
import multiprocessing.process
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

MODULES = ("bertinchamps", "benchmarks", "pytest")
OPEN_FILES = 4096
PATH = "PYTHONPATH"
OWN_PATH = os.environ.get(PATH, "")
# What stages read when they are imported: see `warm`.
READ_BY = {
    "libraries": ("OMP_", "MKL_", "MPL", "PYTHONHASHSEED"),
    "hub": ("HF_", "HUGGING", "TRANSFORMERS_"),
    "rooms": (PATH,),
}
STAGES = tuple(READ_BY)

# The options that a fork honours; with any other, a new Python is started.
HONOURED = {
    "args", "bufsize", "stdin", "stdout", "stderr", "close_fds", "cwd", "env", "universal_newlines",
    "start_new_session", "encoding", "errors", "text",
}  # fmt: skip
STREAMS = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def can_fork(popen: type) -> bool:
    """Whether this Python has the private names that a fork needs, as 3.11, 3.12 and 3.13 do.

    Where it has not, whatever would be forked is a new Python, which takes longer and does the same.
    """
    execute = getattr(popen, "_execute_child", None)
    return (
        callable(execute)
        and set(STREAMS) <= set(inspect.signature(execute).parameters)
        and hasattr(popen, "_close_pipe_fds")
        and hasattr(multiprocessing.process, "_children")
        and hasattr(weakref.finalize, "_registry")
        and hasattr(threading, "_shutdown")
    )


def entries(path: str) -> list[str]:
    """The folders of a PYTHONPATH."""
    return [str(Path(entry).absolute()) for entry in path.split(os.pathsep) if entry]


INSTALLED = [folder for folder in sys.path[1:] if folder not in entries(OWN_PATH)]


def look_in_new_places() -> None:
    """Import from where a new Python would in this directory and environment."""
    before = [str(Path.cwd()), *entries(os.environ.get(PATH, ""))]
    sys.path[:] = [*before, *(folder for folder in INSTALLED if folder not in before)]


class ForkingPopen(subprocess.Popen[Any]):
    """`subprocess.Popen`, whose `python -m bertinchamps.…`, `python FILE.py` and `python -c CODE` are forks.

    The fork has a session, an environment, a directory and streams as they are asked for, and no other open file.
    """

    run: ClassVar[Callable[[list[str]], int]]  # runs the words behind `python`; its result is the exit status
    stage: ClassVar[str]  # what this process has imported
    possible: ClassVar[bool] = can_fork(subprocess.Popen)

    def __init__(self, args: Any, *others: Any, **options: Any) -> None:
        self._words = _words(args) if self.possible and not others and set(options) <= HONOURED else None
        if self._words is not None and not self._same(options.get("env") or os.environ):
            self._words = None
        self._options = options
        super().__init__(args, *others, **options)

    def _same(self, environment: Mapping[str, str]) -> bool:
        """Whether what was imported would be as it is here."""
        stages = STAGES[: STAGES.index(self.stage) + 1]
        read = tuple(prefix for stage in stages for prefix in READ_BY[stage])
        return all(
            environment.get(name) == os.environ.get(name)
            for name in {*environment, *os.environ}
            if name.startswith(read)
        )

    def _execute_child(self, *given: Any) -> None:
        execute = super()._execute_child  # type: ignore[misc]
        if self._words is None:
            execute(*given)
            return
        named = inspect.signature(execute).bind(*given).arguments
        pipes = [named[stream] for stream in STREAMS]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(named["p2cread"], named["c2pwrite"], named["errwrite"])
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
        if (environment := self._options.get("env")) is not None:
            environment = dict(environment)
            os.environ.clear()
            os.environ.update(environment)
        look_in_new_places()
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]
        weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # what ends with the parent
        multiprocessing.process._children.clear()  # type: ignore[attr-defined]


def _words(args: Any) -> list[str] | None:
    """What follows `python` (and `-m`), if this is a Python that a fork may stand for."""
    if not isinstance(args, Sequence) or isinstance(args, str):
        return None
    python, *words = map(str, args)
    if python != sys.executable:
        return None
    if words[:1] == ["-u"]:
        del words[0]
    if words[:1] == ["-m"]:
        return words[1:] if words[1].split(".")[0] in MODULES else None
    return words if words and (words[0] == "-c" or words[0].endswith(".py")) else None

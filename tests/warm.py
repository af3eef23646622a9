"""A process that has imported what commands import, and forks for each command: `support.command` starts it.

Each fork has arguments, environment, directory and streams of its own, and has paid for no import. It ends as
`python -m` does, but for the modules, which nobody takes apart.

Run as a script, this file is that process. It reads requests, a line of JSON each, from standard input, and answers
with a line: the process id of the fork, then its exit status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from types import ModuleType
from typing import Any

# None of these reads where the Hub is.
LIBRARIES = (
    "torch", "numpy", "pandas", "pyarrow.parquet", "pyarrow.dataset", "sklearn.metrics", "spacy.lang.fr",
    "hydra", "regex", "zstandard", "httpx", "aiohttp", "fsspec", "dill", "multiprocess", "xxhash",
    "matplotlib.figure",
)  # fmt: skip
# Read when a library is imported: a process that was started with others cannot stand for one with these.
READ_AT_IMPORT = ("PYTHON", "OMP_", "MKL_", "TORCH", "CUDA_", "MPL")
OF_THE_HUB = ("HF_", "HUGGING", "TRANSFORMERS_")


class Warm:
    """The forking process.

    Args:
        environment: of the process, which libraries read when they are imported.
        rooms: import our rooms and transformers, too, with the Hub that the environment names.
    """

    def __init__(self, environment: Mapping[str, str], rooms: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *(["rooms"] if rooms else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._busy = threading.Lock()

    def run(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        stdin: str | None,
        timeout: float,
    ) -> subprocess.CompletedProcess[str]:
        """What `python -m WORDS` would have done.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        with self._busy, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "0").write_text(stdin or "", encoding="utf-8")
            request = {
                "words": list(words),
                "cwd": str(cwd),
                "environment": dict(environment),
                "streams": name,
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            fork = self._answer(timeout)
            try:
                status = self._answer(timeout)
            except TimeoutError:
                os.kill(fork, 9)
                self._answer(timeout)
                raise subprocess.TimeoutExpired(words, timeout) from None
            out, err = ((folder / stream).read_text(encoding="utf-8") for stream in "12")
        return subprocess.CompletedProcess(list(words), status, out, err)

    def _answer(self, timeout: float) -> int:
        assert self._process.stdout is not None
        with DefaultSelector() as selector:
            selector.register(self._process.stdout, EVENT_READ)
            if not selector.select(timeout):
                raise TimeoutError
        return int(self._process.stdout.readline())


_WARM: dict[tuple[Any, ...], Warm] = {}


def process_for(environment: Mapping[str, str], rooms: bool = True) -> Warm:
    """A warm process whose libraries were imported in an environment like this one.

    Args:
        environment: of the command.
        rooms: False: a command with a Hub of its own, so nothing that reads where it is may be imported before.
    """
    read = READ_AT_IMPORT + (OF_THE_HUB if rooms else ())
    key = (rooms, *sorted((name, value) for name, value in environment.items() if name.startswith(read)))
    if key not in _WARM:
        _WARM[key] = Warm(environment, rooms)
    return _WARM[key]


def python(
    code: str, *arguments: str, environment: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `python -c CODE` would have done, in a process that has imported libraries, and none that knows a Hub."""
    words = ["-c", code, *arguments]
    return process_for(environment, rooms=False).run(words, Path.cwd(), environment, None, timeout)


def serve() -> list[str]:
    """Answer requests, and return in each fork with the words of its command; leave when nobody asks any more."""
    unread = b""
    while True:
        while b"\n" not in unread:
            more = os.read(0, 2**16)
            if not more:
                raise SystemExit
            unread += more
        line, _, unread = unread.partition(b"\n")
        fork = os.fork()
        if fork == 0:
            return become(json.loads(line))
        os.write(1, b"%d\n" % fork)
        _, status = os.waitpid(fork, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


def become(request: Mapping[str, Any]) -> list[str]:
    """Take the place, the environment and the streams of a request."""
    for stream, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_CREAT), (2, os.O_WRONLY | os.O_CREAT)):
        opened = os.open(f"{request['streams']}/{stream}", flags)
        os.dup2(opened, stream)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    words: list[str] = request["words"]
    sys.path[0] = request["cwd"]
    sys.argv[:] = words
    return words


def warm_up() -> None:
    """Import rooms, and do once what is kept: the fonts of a figure, spaCy's rules of French."""
    import bertinchamps

    importlib.import_module("transformers.models.auto.modeling_auto")
    for module in pkgutil.walk_packages(bertinchamps.__path__, "bertinchamps."):
        command = (
            module.name.count(".") == 1 and not module.ispkg
        )  # `runpy` warns where what it runs is imported
        if not command and "__main__" not in module.name:
            importlib.import_module(module.name)
    importlib.import_module("bertinchamps.tasks.tagging.sentences").sentences("Une phrase.")
    plot_loss = importlib.import_module("bertinchamps.training.figures").plot_loss
    records = [
        {"kind": kind, "step": step, "tokens": 100 * step, "loss": 6.0 / step}
        for kind in ("train", "held_out")
        for step in (1, 2)
    ]
    with tempfile.TemporaryDirectory() as folder:
        plot_loss(records, "warm", Path(folder) / "loss")


def run_command(words: list[str]) -> int:
    """Run a module as `python -m` does, or code as `python -c` does.

    Returns:
        The exit status.
    """
    status: object = 0
    try:
        if words[0] == "-c":
            main = sys.modules["__main__"] = ModuleType("__main__")
            del sys.argv[1]
            exec(compile(words[1], "<string>", "exec"), vars(main))
        else:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python does
    atexit._run_exitfuncs()
    if isinstance(status, str):
        print(status, file=sys.stderr)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = 120
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    if sys.argv[1:] == ["rooms"]:
        warm_up()
    gc.collect()
    gc.freeze()  # a fork leaves what is there where it is
    os._exit(run_command(serve()))

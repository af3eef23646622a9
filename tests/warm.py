"""A process that has imported what commands import, and forks for each command: `support.command` starts it.

Each fork has arguments, environment, directory, umask and streams of its own, and has paid for no import. It ends as
`python -m` does, but for the modules, which nobody takes apart.

There are up to three of them, each a fork of the one before, so that nothing is imported twice:

- `libraries`: what reads neither where the Hub is nor where our rooms are;
- `hub`: and transformers, for one Hub;
- `rooms`: and our rooms, for one PYTHONPATH.

Run as a script, this file is the first. Each reads requests, a line of JSON each, from standard input. It answers
with the process id of a fork when the fork begins, and with the process id and the exit status when it has ended.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import forking
from forking import PATH, READ_BY, STAGES, ForkingPopen

LIBRARIES = (
    "torch", "numpy", "pandas", "pyarrow.parquet", "pyarrow.dataset", "sklearn.metrics", "spacy.lang.fr",
    "hydra", "regex", "zstandard", "httpx", "aiohttp", "fsspec", "dill", "multiprocess", "xxhash",
    "matplotlib.figure", "faker",
)  # fmt: skip
# Read when libraries are imported: a process that was started with others cannot stand for one with these.
READ_AT_IMPORT = ("PYTHON", "TORCH", "CUDA_")


class Warm:
    """The forking process.

    Args:
        environment: of the process, which libraries read when they are imported.
        stage: one of STAGES.
        before: the process of the stage before, if there is one.
    """

    def __init__(self, environment: Mapping[str, str], stage: str, before: Warm | None) -> None:
        self._busy = threading.Lock()
        self._heard = b""
        self._begun: list[int] = []
        self._ended: dict[int, int] = {}
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name) / "2"
        if before is None:
            with self._errors.open("wb") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**environment, PATH: forking.OWN_PATH},
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._requests, self._answers = self._process.stdin, self._process.stdout
            return
        pipes = [self._errors.with_name(name) for name in ("0", "1")]
        for pipe in pipes:
            os.mkfifo(pipe)
        before.begin([stage], Path(__file__).parent, environment, [*map(str, pipes), str(self._errors)])
        self._requests, self._answers = pipes[0].open("wb"), pipes[1].open("rb")

    def start(
        self,
        words: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        stdin: str = "",
        stdout: Path | None = None,
    ) -> Fork:
        """Begin what `python -m WORDS` does; its standard output may go elsewhere."""
        streams = tempfile.TemporaryDirectory()
        files = [f"{streams.name}/0", str(stdout or f"{streams.name}/1"), f"{streams.name}/2"]
        Path(files[0]).write_text(stdin, encoding="utf-8")
        return Fork(self, self.begin(words, cwd, environment, files), streams)

    def begin(
        self, words: Sequence[str], cwd: Path, environment: Mapping[str, str], streams: Sequence[str]
    ) -> int:
        """The process id of a new fork, whose streams are these files."""
        os.umask(umask := os.umask(0o077))
        request = {
            "words": list(words),
            "cwd": str(cwd),
            "environment": dict(environment),
            "umask": umask,
            "streams": list(streams),
        }
        with self._busy:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            while not self._begun:
                self._listen(60)
            return self._begun.pop()

    def status(self, fork: int, timeout: float) -> int | None:
        """The exit status of a fork; None while it runs.

        Args:
            fork: a process id.
            timeout: seconds to wait for its end.
        """
        deadline = time.monotonic() + timeout
        with self._busy:
            while fork not in self._ended and self._listen(max(0.0, deadline - time.monotonic())):
                pass
            return self._ended.get(fork)

    def _listen(self, timeout: float) -> bool:
        """Whether anything was heard within some seconds."""
        if not select.select([self._answers], [], [], timeout)[0]:
            return False
        more = os.read(self._answers.fileno(), 2**16)
        assert more, f"the warm process has ended: {self._errors.read_text(encoding='utf-8')}"
        *lines, self._heard = (self._heard + more).split(b"\n")
        for fork, *status in (map(int, line.split()) for line in lines):
            if status:
                self._ended[fork] = status[0]
            else:
                self._begun.append(fork)
        return True


class Fork:
    """A command in a process of its own, with the methods of `subprocess.Popen` that tests use.

    Attributes:
        pid: its process id.
    """

    def __init__(self, warm: Warm, pid: int, streams: tempfile.TemporaryDirectory[str]) -> None:
        self.pid = pid
        self._warm, self._streams = warm, streams

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._warm.status(self.pid, 0)

    def wait(self, timeout: float) -> int:
        """The exit status.

        Raises:
            subprocess.TimeoutExpired: it runs longer.
        """
        status = self._warm.status(self.pid, timeout)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return status

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it wrote to standard output and to standard error, once it has ended."""
        self.wait(timeout)
        out, err = (Path(self._streams.name) / "1", Path(self._streams.name) / "2")
        return out.read_text(encoding="utf-8") if out.exists() else "", err.read_text(encoding="utf-8")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_WARM: dict[tuple[Any, ...], Warm] = {}


def process_for(environment: Mapping[str, str], stage: str = "rooms") -> Warm:
    """A warm process whose modules were imported in an environment like this one.

    Args:
        environment: of the command.
        stage: `libraries`: a command with a Hub of its own; `hub`: one with rooms of its own.
    """
    number = STAGES.index(stage)
    read = READ_AT_IMPORT + tuple(prefix for each in STAGES[: number + 1] for prefix in READ_BY[each])
    decide = {name: value for name, value in environment.items() if name.startswith(read)}
    if stage != "rooms":
        decide.pop(PATH, None)
    key = (stage, *sorted(decide.items()))
    if key not in _WARM:
        before = process_for(environment, STAGES[number - 1]) if number else None
        _WARM[key] = Warm(environment, stage, before)
    return _WARM[key]


def run(
    words: Sequence[str], cwd: Path, environment: Mapping[str, str], stdin: str, timeout: float, stage: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m WORDS` would have done.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    fork = process_for(environment, stage).start(words, cwd, environment, stdin)
    try:
        out, err = fork.communicate(timeout)
    except subprocess.TimeoutExpired:
        fork.kill()
        raise
    return subprocess.CompletedProcess(list(words), fork.wait(0), out, err)


def python(
    code: str, *arguments: str, environment: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `python -c CODE` would have done, in a process that has imported libraries, and none that knows a Hub."""
    given = {**environment, "OMP_NUM_THREADS": "1"}
    return run(["-c", code, *arguments], Path.cwd(), given, "", timeout, "libraries")


def serve() -> list[str]:
    """Answer requests, and return in each fork with the words of its command; leave when nobody asks any more."""
    unread, forks = (
        b"",
        dict[int, int](),
    )  # process ids by descriptors, which can be read when the process has ended
    while True:
        for ready in select.select([0, *forks], [], [])[0]:
            if ready in forks:
                fork = forks.pop(ready)
                os.close(ready)
                _, status = os.waitpid(fork, 0)
                os.write(1, b"%d %d\n" % (fork, os.waitstatus_to_exitcode(status)))
                continue
            more = os.read(0, 2**16)
            if not more:
                raise SystemExit
            *requests, unread = (unread + more).split(b"\n")
            for request in requests:
                fork = os.fork()
                if fork == 0:
                    for descriptor in forks:
                        os.close(descriptor)
                    return become(json.loads(request))
                forks[os.pidfd_open(fork)] = fork
                os.write(1, b"%d\n" % fork)


def become(request: Mapping[str, Any]) -> list[str]:
    """Take the place, the environment, the umask and the streams of a request."""
    for stream, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_CREAT), (2, os.O_WRONLY | os.O_CREAT)):
        opened = os.open(request["streams"][stream], flags)
        os.dup2(opened, stream)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(request["umask"])
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup, and send it
    words: list[str] = request["words"]
    forking.look_in_new_places()
    sys.argv[:] = words
    return words


def shorten_windows() -> None:
    """Let `data.online` shuffle some thousand tokens together, not a million, which the first batch waits for."""
    importlib.import_module("bertinchamps.data.online").WINDOW = 1 << 12


def draw_once() -> None:
    """Let the first run draw its losses; the others get a copy of that figure, which no test looks at."""
    figures = importlib.import_module("bertinchamps.training.figures")
    drawn, figure = figures.plot_loss, dict[str, bytes]()

    def plot_loss(records: Any, title: str, file_stem: Path) -> list[Path]:
        if not figure:
            figure.update({file.suffix: file.read_bytes() for file in drawn(records, title, file_stem)})
        files = [file_stem.with_suffix(suffix) for suffix in figure]
        for file in files:
            file.write_bytes(figure[file.suffix])
        return files

    figures.plot_loss = plot_loss  # type: ignore[attr-defined]


def assume_a_peak() -> None:
    """Let the processor's peak be some number, which takes a fifth of a second to measure."""
    peak = importlib.import_module("bertinchamps.training.peak").Peak(1e11, "measured")
    importlib.import_module("bertinchamps.training.runtime").peak_of = lambda *asked: peak  # type: ignore[attr-defined]


def warm_up(stage: str) -> None:
    """Import what a stage has, and do once what is kept.

    That are Hydra's plugins, the conversions of checkpoints in transformers, spaCy's rules of French, the figure of a
    run, the templates of pages, and what Hydra learns of the grammar when it composes a configuration.
    """
    if stage == "libraries":
        for library in LIBRARIES:
            importlib.import_module(library)
        importlib.import_module("hydra.core.plugins").Plugins.instance()
        return
    if stage == "hub":
        for library in ("transformers.models.auto.modeling_auto", "datasets", "peft"):
            importlib.import_module(library)
        importlib.import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping("bert")
        return
    import bertinchamps

    for module in pkgutil.walk_packages(bertinchamps.__path__, "bertinchamps."):
        command = (
            module.name.count(".") == 1 and not module.ispkg
        )  # `runpy` warns where what it runs is imported
        if not command and "__main__" not in module.name:
            importlib.import_module(module.name)
    shorten_windows()
    draw_once()
    assume_a_peak()
    importlib.import_module("bertinchamps.tasks.tagging.sentences").sentences("Une phrase.")
    with tempfile.TemporaryDirectory() as folder:
        importlib.import_module("bertinchamps.training.figures").plot_loss([], "warm", Path(folder) / "loss")
    package = Path(bertinchamps.__path__[0])
    for file in package.rglob("*.jinja"):
        importlib.import_module("bertinchamps.pages").template(file.relative_to(package).as_posix())
    for composed in (["pretrain", "data=demo", "arch=tiny"], ["finetune", "task=demo"], ["predict"]):
        importlib.import_module("bertinchamps.composing").compose(composed[0], composed[1:])


def run_command(words: list[str]) -> int:
    """Run a module as `python -m` does, a script as `python` does, or code as `python -c` does.

    Returns:
        The exit status.
    """
    status: object = 0
    try:
        if words[0] == "-c":
            main = sys.modules["__main__"] = ModuleType("__main__")
            del sys.argv[1]
            exec(compile(words[1], "<string>", "exec"), vars(main))
        elif words[0].endswith(".py"):
            sys.path[0] = str(Path(words[0]).resolve().parent)
            runpy.run_path(words[0], run_name="__main__")
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
    ForkingPopen.run = run_command
    subprocess.Popen = ForkingPopen  # type: ignore[misc]
    words = ["libraries"]
    while words[0] in STAGES:
        warm_up(words[0])
        ForkingPopen.stage = words[0]
        gc.collect()
        gc.freeze()  # a fork leaves what is there where it is
        words = serve()
    os._exit(run_command(words))

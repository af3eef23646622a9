"""What many tests share: small settings, and two ways to run a command with them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.composing import compose, config_dir, folder_of_key, load, with_settings
from bertinchamps.errors import UserError
from bertinchamps.schemas import COMMANDS
from warm import Fork, process_for, run

TIMEOUT = 300.0  # seconds for a command
ROOT = Path(__file__).resolve().parents[1]

# A port of this machine that is kept, and where nobody listens but `data.loopback_hub` while it serves: the Hub has
# one address for each command, out of reach or not, so libraries, which fix it at their import, are imported once.
KEPT = socket.socket()
KEPT.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
KEPT.bind(("127.0.0.1", 0))
HUB_PORT: int = KEPT.getsockname()[1]
HF_HOME = tempfile.TemporaryDirectory(prefix="hf_home")
NO_HUB = {"HF_ENDPOINT": f"http://127.0.0.1:{HUB_PORT}", "HF_HOME": HF_HOME.name}

PATH = re.compile(r"(?<==)/[\w./-]+")  # an absolute path, as the value of a setting

# Seconds on a CPU: the smallest model on a few hundred generated documents.
QUICK = [
    "data=demo",
    "data.documents=400",
    "tokenizer.vocab_size=400",
    "arch=tiny",
    "runtime=eager",
    "runtime.threads=1",
    "blocks.sequence_length=32",
    "blocks.held_out_share=0.05",
    "batch.micro_batch=4",
    "batch.size=8",
    "evaluation.blocks=8",
    "evaluation.every=0.5",
]


@contextmanager
def before_update(step: int, do: Callable[[Any], object]) -> Iterator[None]:
    """A context in which trainers do something before the update that follows so many."""
    from bertinchamps.training.trainer import Trainer

    update = Trainer._update

    def changed(trainer: Trainer) -> bool:
        if trainer.step == step:
            do(trainer)
        return update(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_update", changed)
        yield


def stop(trainer: Any) -> None:
    """What a signal asks of a trainer."""
    trainer.stop_requested = True


def fail(trainer: Any) -> None:
    """An error of the user's."""
    del trainer
    raise UserError("here")


def composed(*overrides: str, command: str = "pretrain") -> Any:
    """The configuration of a command line, as dataclasses; nobody else has this one.

    Composing takes a fifth of a second, so it is done once for each choice of files, whose tree single settings change.
    """
    paths: list[str] = []

    def number(path: re.Match[str]) -> str:
        paths.append(path[0])
        return f"/path{len(paths) - 1:04}"

    return _with_paths(_composed(command, tuple(PATH.sub(number, word) for word in overrides)), paths)


@cache
def _composed(command: str, overrides: tuple[str, ...]) -> Any:
    choices = [word for word in overrides if _chooses_a_file(command, word)]
    settings = [word for word in overrides if word not in choices]
    return load(with_settings(_tree(command, tuple(choices)), settings), COMMANDS[command])


@cache
def _tree(command: str, choices: tuple[str, ...]) -> Any:
    return compose(command, choices)


def _chooses_a_file(command: str, word: str) -> bool:
    return (config_dir() / folder_of_key(command, word.lstrip("+~").partition("=")[0])).is_dir()


def _with_paths(node: Any, paths: list[str]) -> Any:
    """A copy of a configuration, with the paths in the places of their numbers."""
    if is_dataclass(node):
        return replace(node, **{name: _with_paths(value, paths) for name, value in vars(node).items()})  # type: ignore[type-var]
    if isinstance(node, dict):
        return {key: _with_paths(value, paths) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_paths(value, paths) for value in node]
    return (
        re.sub(r"/path(\d{4})", lambda found: paths[int(found[1])], node) if isinstance(node, str) else node
    )


def command(
    *words: str, cwd: Path, stdin: str | None = None, fresh: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m bertinchamps.…` as a user would; the process is a fork of one that has imported torch.

    Args:
        words: the module, and what follows it.
        cwd: where.
        stdin: text on standard input.
        fresh: start a new Python, which has imported nothing.
        environment: variables beside those of this process, such as a PYTHONPATH of other rooms.
    """
    given = {**os.environ, "OMP_NUM_THREADS": "1", **NO_HUB, **environment}
    if not fresh:
        if any(name.startswith("HF_") for name in environment):
            stage = "libraries"
        else:  # a PYTHONPATH may have other rooms
            stage = "hub" if "PYTHONPATH" in environment else "rooms"
        return run(words, cwd, given, stdin or "", TIMEOUT, stage)
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=given,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def started(*words: str, cwd: Path, stdout: Path | None = None) -> Fork:
    """Begin such a command, and do not wait for its end; its standard output may go to a file or a named pipe."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", **NO_HUB}
    return process_for(given).start(words, cwd, given, stdout=stdout)


def metrics(run: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The records of a kind in a run's metrics, but for a last line that is still being written."""
    *lines, _ = (run / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    return [record for line in lines if (record := json.loads(line))["kind"] == kind]


def losses(run: Path) -> list[float]:
    """The training losses of a run, in order."""
    return [record["loss"] for record in metrics(run)]

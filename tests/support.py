"""What many tests share: small settings, and two ways to run a command with them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from bertinchamps.composing import configuration
from warm import process_for

TIMEOUT = 300.0  # seconds for a command
ROOT = Path(__file__).resolve().parents[1]

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


def composed(*overrides: str, command: str = "pretrain") -> Any:
    """The configuration of a command line, as dataclasses; nobody else has this one."""
    return pickle.loads(_composed(command, overrides))


@cache
def _composed(command: str, overrides: tuple[str, ...]) -> bytes:
    return pickle.dumps(configuration(command, overrides))


def command(
    *words: str, cwd: Path, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m bertinchamps.…` as a user would; the process may be a fork of one that has imported torch.

    Args:
        words: the module, and what follows it.
        cwd: where.
        stdin: text on standard input.
        environment: variables beside those of this process. With one of Python's, a new Python is started.
    """
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    ours = words[0].split(".")[0] == "bertinchamps"
    if ours and not any(name.startswith("PYTHON") for name in environment):
        return process_for(given).run(words, cwd, given, stdin, TIMEOUT)
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


def metrics(run: Path, kind: str = "train") -> list[dict[str, Any]]:
    """The records of a kind in a run's metrics."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for line in lines if (record := json.loads(line))["kind"] == kind]


def losses(run: Path) -> list[float]:
    """The training losses of a run, in order."""
    return [record["loss"] for record in metrics(run)]

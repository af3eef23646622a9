"""The files of a run's directory: run.json of its beginning, and the summary of its end."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bertinchamps.durable import read_json
from bertinchamps.records import with_current_keys

SUMMARIES = {"pretrain": "summary.json", "finetune": "results.json"}  # of a finished run, by command
SUMMARY_KEYS = {
    "pretrain": (
        "held_out", "spent.seconds", "spent.steps", "spent.tokens", "spent.flops",
        "tokens_per_second", "peak_flops", "peak_origin",
    ),
    "finetune": ("scores", "selection.value"),
}  # fmt: skip
FOLDS = "folds"  # in a run's directory: the runs of its cross-validation, which belong to it
TEACHERS = "teachers"  # likewise the runs of the teachers that it fine-tuned itself
PACKAGES = ("bertinchamps", "torch", "transformers", "tokenizers", "datasets", "numpy")


def read_summary(folder: Path, command: str = "pretrain") -> dict[str, Any]:
    """The summary in a finished run's directory.

    Raises:
        UserError: the file is missing or damaged.
    """
    return with_current_keys(read_json(folder / SUMMARIES[command], *SUMMARY_KEYS[command]))


def is_part(folder: Path) -> bool:
    """Whether a run is a fold or a teacher of another one, not a run by itself."""
    return folder.parent.name in (FOLDS, TEACHERS) and (folder.parent.parent / "run.json").is_file()


def parts_of(run: Path) -> list[Path]:
    """The directories of a run's folds and teachers, and of theirs."""
    return sorted(file.parent for file in run.rglob("run.json") if is_part(file.parent))


def read_facts(folder: Path) -> dict[str, Any]:
    """The content of a run's run.json: command, versions, fingerprint of the data.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read_json(folder / "run.json", "command", "data_fingerprint", "versions")


def last_finished(runs_dir: str, *commands: str) -> Path | None:
    """The run of some commands that was finished last, at any depth below a folder; None where there is none."""
    runs = [
        file
        for command in commands
        for file in Path(runs_dir).expanduser().rglob(SUMMARIES[command])
        if (file.parent / "model").is_dir()
        and (file.parent / "run.json").is_file()
        and not is_part(file.parent)
    ]
    return max(runs, key=lambda file: file.stat().st_mtime).parent if runs else None


def facts_of(command: str, data_fingerprint: str) -> dict[str, Any]:
    """What run.json says of a run that begins now."""
    return {
        "command": shlex.join(["python", "-m", f"bertinchamps.{command}", *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "data_fingerprint": data_fingerprint,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of these sources, with -dirty where files were changed; None where they are no checkout of git."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists() or not (root / "src" / "bertinchamps").is_dir():
        return None
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "not installed"

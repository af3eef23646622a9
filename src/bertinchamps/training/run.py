"""A run's directory: its place, its settings, and whether the run can be resumed.

RUN/
    .lock             held by the process that trains it
    config.yaml       every setting, resolved
    run.json          command, versions, fingerprint of the data
    metrics.jsonl     a line an update and an evaluation
    checkpoints/      to resume from
    model/            the finished model
    summary.json      scores and cost (of pretraining; results.json of fine-tuning): its presence marks the run as
                      finished
    loss.png loss.svg
    report.html       all of it as a page
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

import yaml

from bertinchamps.console import Tell
from bertinchamps.durable import take_lock, why_not_writable, write_file, write_json
from bertinchamps.errors import Stopped, UserError
from bertinchamps.launch import launched
from bertinchamps.signals import number_of
from bertinchamps.training import checkpoint
from bertinchamps.training.run_files import SUMMARIES, facts_of, read_facts
from bertinchamps.training.settings import compared, deciding_settings, settings_of

BEFORE_A_RUN = (".lock", "config.yaml", ".config.yaml.unfinished", ".run.json.unfinished")


class RunConfig(Protocol):
    """The settings that runs need, of a dataclass."""

    @property
    def run_dir(self) -> str | None: ...
    @property
    def runs_dir(self) -> str: ...
    @property
    def resume(self) -> str: ...


@dataclass(frozen=True)
class Run:
    """An opened run.

    Attributes:
        folder: the run's directory.
        command: "pretrain" or "finetune".
        resumed_from: the checkpoint to resume from; None for a new run.
        state: the checkpoint's JSON state; empty for a new run.
        lock: held open as long as this process trains the run.
        finished: whether the run was finished before.
    """

    folder: Path
    command: str
    resumed_from: Path | None
    state: dict[str, Any]
    lock: IO[str]
    finished: bool = False


def open_run(
    command: str,
    config: RunConfig,
    data_fingerprint: str,
    label: str,
    tell: Tell,
    settled: Mapping[str, Any] | None = None,
) -> Run:
    """Open the directory of a new run, or of a run to resume.

    Args:
        command: "pretrain" or "finetune".
        config: a dataclass with `run_dir`, `runs_dir` and `resume`.
        data_fingerprint: of the corpus as it is now.
        label: goes into a new directory's name.
        tell: prints what was decided.
        settled: what settings such as `model=last` resolve to, JSON-able, for run.json, where a resumed run reads it.

    Raises:
        UserError: the directory is taken, or the run to go on with was started with other settings or
            other data: nothing on disk has changed then. Or the directory cannot be written.
    """
    old = _run_to_resume(command, config, data_fingerprint, tell)
    try:
        folder = _new_folder(config, label) if old is None else old
        lock = _lock(folder)
        if lock is None:
            raise UserError(f"{folder}: another process is training this run; wait for it, or stop it first")
        if old is None:
            settings = yaml.safe_dump(asdict(cast(Any, config)), sort_keys=False, allow_unicode=True)
            write_file(folder / "config.yaml", settings)
            # last: it makes the directory a run
            write_json(folder / "run.json", {**facts_of(command, data_fingerprint), **(settled or {})})
            return Run(folder, command, None, {}, lock)
    except OSError as error:
        place = old or config.run_dir or config.runs_dir
        raise UserError(
            f"{place}: no run can be written there ({error.strerror}); make room, or name another place with run_dir="
        ) from error
    _check_same(old, config, data_fingerprint)
    if (old / SUMMARIES[command]).exists():
        return Run(old, command, None, {}, lock, finished=True)
    resumed_from = checkpoint.latest(old / "checkpoints", tell)
    if resumed_from is None:
        tell(f"{old}: no whole checkpoint yet; starting over in it")
        return Run(old, command, None, {}, lock)
    tell(f"going on from {resumed_from}")
    return Run(old, command, resumed_from, checkpoint.read_state(resumed_from), lock)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's lock, so that nobody trains it meanwhile.

    Raises:
        UserError: another process trains it now.
    """
    lock = _lock(folder)
    if lock is None:
        raise UserError(f"{folder}: this run is being trained now; wait for its end, or stop it")
    with lock:
        yield


@contextmanager
def going_on(run: Run) -> Iterator[None]:
    """Hold the lock of an opened run, and say to whom a signal interrupts how the run goes on.

    Raises:
        Stopped: a signal came where no training ends its update first.
    """
    with run.lock:
        try:
            yield
        except KeyboardInterrupt as error:
            told = f"stopped; the same command with resume={run.folder} goes on"
            raise Stopped(told, number_of(error)) from error


def finish(run: Run, summary: dict[str, Any]) -> None:
    """Write the summary, which marks the run as finished."""
    write_json(run.folder / SUMMARIES[run.command], summary)


def _run_to_resume(command: str, config: RunConfig, data_fingerprint: str, tell: Tell) -> Path | None:
    if config.resume == "never":
        return None
    if config.resume != "auto":
        for problem in _no_run_problems(config):
            raise UserError(problem)
        return Path(config.resume).expanduser()
    if config.run_dir is not None:
        folder = Path(config.run_dir).expanduser()
        return folder if (folder / "run.json").is_file() else None

    def same(folder: Path) -> bool:
        settings = _settings_of(folder)
        if settings is None:
            tell(f"{folder / 'config.yaml'} is missing or damaged: the run is skipped")
            return False
        before, now = compared(settings, config)
        whole = now == deciding_settings(config)
        return before == now and (whole or _fingerprint_of(folder) == data_fingerprint)

    for file in sorted(Path(config.runs_dir).expanduser().glob("*/run.json"), reverse=True):
        unfinished = not (file.parent / SUMMARIES[command]).exists()
        if unfinished and same(file.parent) and _lock(file.parent) is not None:
            return file.parent
    tell(f"resume=auto: no unfinished run with these settings in {config.runs_dir}; starting a new one")
    return None


def _new_folder(config: RunConfig, label: str) -> Path:
    if config.run_dir is not None:
        folder = Path(config.run_dir).expanduser()
        _refuse_taken(folder, config.run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    parent = Path(config.runs_dir).expanduser()
    stem = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{label}"
    for number in range(1, 1000):
        folder = parent / (stem if number == 1 else f"{stem}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise UserError(f"{parent / stem}: taken a thousand times; set run_dir")


def _check_same(folder: Path, config: RunConfig, data_fingerprint: str) -> None:
    settings = _settings_of(folder)
    if settings is None:
        raise UserError(
            f"{folder / 'config.yaml'}: missing or damaged, so the run's settings cannot be compared with these; "
            "restore the file from a copy, or start a new run without resume"
        )
    before, now = compared(settings, config)
    changed = [
        f"{key} was {before.get(key)!r} and is now {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise UserError(
            f"{folder} was started with other settings, so the run cannot be resumed with these:\n"
            + "\n".join(changed)
            + "\nGive the same settings, or start a new run without resume."
        )
    recorded = read_facts(folder)["data_fingerprint"]
    if recorded != data_fingerprint:
        raise UserError(
            f"{folder}: the corpus is not the one this run began with (fingerprint {recorded} then, "
            f"{data_fingerprint} now): a file was altered, added or removed. Restore the files to resume, or "
            "start a new run without resume."
        )


def _settings_of(folder: Path) -> dict[str, Any] | None:
    """The deciding settings of a run's directory; None where its config.yaml is missing or damaged."""
    try:
        config = yaml.safe_load((folder / "config.yaml").read_bytes())
        return settings_of(config) if isinstance(config, dict) and config else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def _fingerprint_of(folder: Path) -> str | None:
    """The fingerprint of a run's data; None where run.json is damaged."""
    try:
        return str(read_facts(folder)["data_fingerprint"])
    except UserError:
        return None


def place_problems(config: RunConfig) -> list[str]:
    """Why no directory can be made for a run, in the user's key names; checked before any long work."""
    key = "runs_dir" if config.run_dir is None else "run_dir"
    place = Path(getattr(config, key)).expanduser()
    # a job of several processes may be a restart by torchrun, which resumes the run
    if config.run_dir is not None and config.resume == "never" and launched().world_size == 1:
        try:
            _refuse_taken(place, config.run_dir)
        except UserError as error:
            return [str(error)]
    if config.resume not in ("never", "auto"):
        return _no_run_problems(config)
    reason = why_not_writable(place / "run.json")
    return (
        []
        if reason is None
        else [f"{key}={getattr(config, key)}: no directory can be made there ({reason}); name another place"]
    )


def _no_run_problems(config: RunConfig) -> list[str]:
    """Why there is no run to go on with where `resume` says."""
    if (Path(config.resume).expanduser() / "run.json").is_file():
        return []
    return [f"resume={config.resume}: no run there (no run.json); resume=auto looks in {config.runs_dir}"]


def _refuse_taken(folder: Path, given: str) -> None:
    # files of a process that was killed while making the directory are no run yet, and are overwritten
    if folder.is_dir() and any(file.name not in BEFORE_A_RUN for file in folder.iterdir()):
        raise UserError(
            f"run_dir={given}: not empty, and nothing in it was touched. "
            "Add resume=auto to go on with that run, or choose another directory."
        )


def _lock(folder: Path) -> IO[str] | None:
    """The run's lock, held until it is closed or the process ends; None where another process has it."""
    stream = (folder / ".lock").open("w")
    if not take_lock(stream):
        stream.close()
        return None
    return stream

"""Run a command of `sys.argv`: report its mistakes, or run its job; Hydra runs the jobs of a sweep."""

from __future__ import annotations

import math
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import hydra
from hydra._internal.utils import get_args_parser  # the parser that hydra.main itself uses; no public twin
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bertinchamps.command_line.help import help_text
from bertinchamps.command_line.memory import within_memory
from bertinchamps.command_line.mistakes import Check, examine
from bertinchamps.command_line.options import (
    other_configurations,
    shared_directory,
    sweeps_of_one_job,
    too_many_processes,
    unknown_options,
)
from bertinchamps.command_line.readable import readable
from bertinchamps.command_line.stopping import stop, stop_for, stop_for_place, stop_for_signal
from bertinchamps.composing import config_dir, load, store_schema
from bertinchamps.console import tell
from bertinchamps.errors import Stopped, UserError
from bertinchamps.launch import launched
from bertinchamps.schemas import COMMANDS
from bertinchamps.signals import interrupting

Config = TypeVar("Config")
Job = Callable[[Config], float | None]

# Iterations that a CPU thread of GNU OpenMP spins while it waits. The default, nearly for ever, made training 7 times
# slower beside any other program (docs/log.md).
SPIN_COUNT = "3000"
FOR_OTHERS = ("report",)  # commands whose files keep the permissions that the user's umask gives
SCORES = {"pretrain": "held-out", "finetune": "dev"}  # the heading of the score in the table of a sweep


class Command(NamedTuple):
    """What belongs to a command; "module:function", whose module is imported when it is needed.

    Attributes:
        job: runs one configuration and returns its score, or None.
        checks: every mistake in one configuration, in the user's key names.
        several_processes: True: the job can run in several processes of torchrun.
    """

    job: str
    checks: str
    several_processes: bool = False


JOBS = {
    "pretrain": Command("bertinchamps.pretrain:score", "bertinchamps.checks.pretraining:problems", True),
    "prepare": Command("bertinchamps.prepare:prepare", "bertinchamps.checks.preparation:problems"),
    "finetune": Command("bertinchamps.finetune:score", "bertinchamps.checks.finetuning:problems", True),
    "predict": Command("bertinchamps.predict:predict", "bertinchamps.checks.prediction:problems"),
    "suggest": Command("bertinchamps.suggest:suggest", "bertinchamps.checks.suggesting:problems"),
    "study": Command("bertinchamps.study:study", "bertinchamps.checks.studying:problems"),
    "tune": Command("bertinchamps.tune:tune", "bertinchamps.checks.tuning:problems"),
    "merge": Command("bertinchamps.merge:merge", "bertinchamps.checks.merging:problems"),
    "compress": Command("bertinchamps.compress:compress", "bertinchamps.checks.compressing:problems"),
    "export": Command("bertinchamps.export:export", "bertinchamps.checks.exporting:problems"),
    "publish": Command("bertinchamps.publish:publish", "bertinchamps.checks.publishing:problems"),
    "purge": Command("bertinchamps.purge:purge", "bertinchamps.checks.purging:problems"),
    "serve": Command("bertinchamps.serve:serve", "bertinchamps.checks.serving:problems"),
    "report": Command("bertinchamps.report:report", "bertinchamps.checks.reporting:problems"),
    "demo_notes": Command("bertinchamps.demo_notes:demo_notes", "bertinchamps.checks.demo_notes:problems"),
}


def run(command: str, job: str | None = None, settings: Sequence[str] = ()) -> None:
    """Run one of the commands on `sys.argv`; a signal ends it with a message.

    A module that takes long to import is imported after the words of the command line have proved right.

    Args:
        command: the name of the yaml and of the schema.
        job: "module:function" in place of the command's own.
        settings: words of the command line that hold unless the user gives the same keys.

    Raises:
        SystemExit: with status 2 after printing the mistakes, as argument parsers do; with 128 and the number of a
            signal that came.
    """
    try:
        with interrupting():
            _run(command, job, settings)
    except KeyboardInterrupt as error:
        stop_for_signal(command, error)


def _run(command: str, job: str | None, settings: Sequence[str]) -> None:
    _keep_out_of_workers()
    own = JOBS[command]
    work, check = opened_later(job or own.job), opened_later(own.checks)
    given = {word.partition("=")[0] for word in sys.argv[1:]}
    sys.argv[1:1] = [word for word in settings if word.partition("=")[0] not in given]
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is imported
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
    if command not in FOR_OTHERS:
        os.umask(os.umask(0o077) | 0o077)  # runs, predictions, tokenizers and caches come from documents
    stop(command, unknown_options(sys.argv[1:]))
    sys.argv[1:] = readable(sys.argv[1:], command)
    arguments = get_args_parser().parse_args()
    if arguments.help:
        _show_help(command, arguments.overrides)
        return
    composing_only = bool(
        arguments.cfg or arguments.info or arguments.hydra_help or arguments.shell_completion
    )
    folder = Path(arguments.config_dir).resolve() if arguments.config_dir else None
    try:
        stop(command, [] if own.several_processes else too_many_processes())
        stop(
            command,
            [*shared_directory(arguments), *other_configurations(arguments), *sweeps_of_one_job(arguments)],
        )
        problems, configs = examine(command, arguments.overrides, None if composing_only else check, folder)
        stop(command, problems)
        if len(configs) == 1 and not arguments.multirun and not arguments.resolve:
            scores = _run_alone(command, work, configs[0])
        else:
            scores = _run_with_hydra(command, work, check)
    except UserError as error:
        stop(command, [str(error)])
    except OSError as error:
        stop_for_place(command, error)
    _conclude(command, scores)
    if own.several_processes and launched().world_size > 1:
        opened_later("bertinchamps.training.distributed:leave")()


def _keep_out_of_workers() -> None:
    """Let worker processes not import the command's module again, and torch with it.

    `multiprocessing` imports the main module in a process that it spawns, unless it is a package's `__main__`.
    """
    spec = sys.modules["__main__"].__spec__
    if spec is not None and spec.name.startswith("bertinchamps."):
        spec.name = f"{spec.name}.__main__"


def _show_help(command: str, overrides: list[str]) -> None:
    try:
        print(help_text(command, overrides), flush=True)  # noqa: T201
    except OSError as error:
        stop_for_place(command, error)


def opened_later(name: str) -> Callable[..., Any]:
    """The function "module:function", whose module is imported when the function is called."""
    return lambda *given: pkgutil.resolve_name(name)(*given)


def _conclude(command: str, scores: list[tuple[str, float]]) -> None:
    """Print the table of a sweep; leave with status 2 where a job failed."""
    if len(scores) > 1 and launched().is_main:
        rows = [f"{score:<9.4f} {what}" for what, score in scores]
        print("\n".join(["", f"{SCORES.get(command, 'score'):<9} settings", *rows]))  # noqa: T201
    if any(math.isnan(score) for _, score in scores):
        raise SystemExit(2)


def _run_alone(command: str, job: Job[Config], config: Config) -> list[tuple[str, float]]:
    """Run the one job of a command line that was checked."""
    try:
        score = within_memory(command, lambda: job(config))
    except UserError as error:
        stop_for(command, error)
    return [] if score is None else [("", score)]


def _run_with_hydra(command: str, job: Job[Config], check: Check[Config]) -> list[tuple[str, float]]:
    """Let Hydra compose and run the jobs of a sweep, or show the configuration.

    Returns:
        Each job's settings and score; NaN: the job failed.
    """
    scores: list[tuple[str, float]] = []

    def task(composed: DictConfig) -> float | None:
        config: Config = load(composed, COMMANDS[command])
        try:
            problems = check(config)
            if problems:
                raise UserError("\n".join(problems))
            score = within_memory(command, lambda: job(config))
        except UserError as error:
            together = launched().world_size > 1  # one process cannot begin the next job without the others
            if HydraConfig.get().mode != RunMode.MULTIRUN or isinstance(error, Stopped) or together:
                stop_for(command, error)  # SystemExit: Hydra wraps any other exception in a traceback
            tell(f"bertinchamps {command}: this job failed: {error}")
            score = math.nan
        if score is not None:
            scores.append((" ".join(HydraConfig.get().overrides.task), score))
        return score

    task.__name__ = command
    store_schema(command)
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=command)(task)()
    return scores

"""From `python -m bertinchamps.X key=value …` to a checked configuration and a running job.

Hydra stops at the first mistake of a command line. Here all of them are looked for first, told
together and each with its remedy, before anything that takes long is imported or started.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import itertools
import json
import math
import os
import pkgutil
import re
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser  # the parser that hydra.main itself uses; no public twin
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bertinchamps.command_line.help import APPENDED, help_text
from bertinchamps.composing import config_dir, load
from bertinchamps.errors import ProcessEnded, Stopped, ToldByFirst, UserError
from bertinchamps.launch import launched
from bertinchamps.registry import closest
from bertinchamps.schemas import COMMANDS

Config = TypeVar("Config")
Job = Callable[[Config], float | None]
Check = Callable[[Config], list[str]]


class Command(NamedTuple):
    """What belongs to a command; "module:function", whose module is imported when it is needed.

    Attributes:
        job: does the work of one configuration and returns its score, if it has one.
        checks: every mistake in one configuration, in the user's key names.
        several_processes: the job knows what to do where torchrun starts several.
    """

    job: str
    checks: str
    several_processes: bool = False


JOBS = {
    "pretrain": Command("bertinchamps.pretrain:score", "bertinchamps.checks.pretraining:problems", True),
    "prepare": Command("bertinchamps.prepare:prepare", "bertinchamps.checks.preparation:problems"),
    "finetune": Command("bertinchamps.finetune:score", "bertinchamps.checks.finetuning:problems", True),
    "predict": Command("bertinchamps.predict:predict", "bertinchamps.checks.prediction:problems"),
    "report": Command("bertinchamps.report:report", "bertinchamps.checks.reporting:problems"),
}
MOST_SWEEP_JOBS_CHECKED = 64  # composing one takes tens of milliseconds; each job checks itself again
# How long a CPU thread of GNU OpenMP spins while it waits for the others. By default nearly for ever, which
# made training 7 times slower beside any other program (docs/log.md).
SPIN_COUNT = "3000"
FIRST_SPEAKS = 10.0  # seconds in which the first process of a job has found the same mistakes, and told them
FIRST_LEAVES = 1.0  # seconds in which it has told what is known to all; torchrun then ends whoever is left
FOR_OTHERS = (
    "report",
)  # what these write is meant to be passed on, and has the permissions that the user chose
SCORES = {"pretrain": "held-out", "finetune": "dev"}  # what a command's score is, in the table of a sweep
NO_CODE = "not taken: a configuration names no code to run, and no environment"
SET_IN_HYDRA = ("hydra.sweep.dir", "hydra.verbose")
NO_LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
STOCK_HYDRA: dict[str, Any] = {
    "callbacks": {},
    "job_logging": NO_LOGGING,
    "hydra_logging": NO_LOGGING,
    "launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"},
    "sweeper._target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "env": {},
    "job.env_set": {},
    "job.env_copy": [],
}
# In a value, what Hydra reads without quotes goes on to one of these, quoted strings apart.
QUOTED_OR_MARK = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[,\[\]{}])""")


def run(command: str, job: str | None = None, settings: Sequence[str] = ()) -> None:
    """Run one of the commands on `sys.argv`.

    Nothing that takes long to import is imported before the words of the command line have proved right.

    Args:
        command: the name of the yaml and schema.
        job: "module:function" in place of the command's own.
        settings: words of the command line that hold unless the user gives the same keys.

    Raises:
        SystemExit: with status 2 after printing what is wrong, as argument parsers do.
    """
    own = JOBS[command]
    work: Job[Any] = _opened_later(job or own.job)
    check: Check[Any] = _opened_later(own.checks)
    given = {word.partition("=")[0] for word in sys.argv[1:]}
    sys.argv[1:1] = [word for word in settings if word.partition("=")[0] not in given]
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is imported, which is later
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, instead of being printed by Hydra
    if command not in FOR_OTHERS:
        os.umask(os.umask(0o077) | 0o077)  # runs, predictions, tokenizers and caches come from documents
    for name, schema in COMMANDS.items():
        ConfigStore.instance().store(f"{name}_schema", node=schema)
    stop(command, _unknown_options(sys.argv[1:]))
    sys.argv[1:] = _readable(sys.argv[1:])
    arguments = get_args_parser().parse_args()
    if arguments.help:
        with contextlib.suppress(BrokenPipeError):  # whoever reads it may have seen enough
            print(help_text(command, arguments.overrides), flush=True)  # noqa: T201
        return
    composing_only = bool(
        arguments.cfg or arguments.info or arguments.hydra_help or arguments.shell_completion
    )
    folder = Path(arguments.config_dir).resolve() if arguments.config_dir else None
    try:
        stop(command, [] if own.several_processes else _several_processes())
        stop(
            command,
            [
                *_shared_directory(arguments),
                *_other_configurations(arguments),
                *_sweeps_of_one_job(arguments),
            ],
        )
        stop(command, mistakes(command, arguments.overrides, None if composing_only else check, folder))
        scores = _run_with_hydra(command, work, check)
    except UserError as error:
        stop(command, [str(error)])
    except OSError as error:
        _stop_for_output(command, error)
    if len(scores) > 1 and launched().first:
        rows = [f"{score:<9.4f} {what}" for what, score in scores]
        print("\n".join(["", f"{SCORES.get(command, 'score'):<9} settings", *rows]))  # noqa: T201
    if any(math.isnan(score) for _, score in scores):
        raise SystemExit(2)
    if own.several_processes and launched().size > 1:
        pkgutil.resolve_name("bertinchamps.training.distributed:leave")()


def _opened_later(name: str) -> Callable[[Any], Any]:
    """The function "module:function", whose module is imported when it is called."""
    return lambda config: pkgutil.resolve_name(name)(config)


def _stop_for_output(command: str, error: OSError) -> None:
    """Where nobody reads the output any more, or it cannot be written, leave without a traceback.

    Raises:
        OSError: it is about something else.
    """
    if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to write at the end would fail again
    if isinstance(error, BrokenPipeError):
        raise SystemExit(128 + signal.SIGPIPE) from error
    stop(command, [f"the output cannot be written ({error.strerror})"])


def stop(command: str, problems: list[str], known_to_all: bool = True) -> None:
    """Print the problems and leave with status 2; do nothing where there is none.

    Args:
        command: that was given.
        problems: what is wrong, each with its remedy.
        known_to_all: the first process of a job is likely to say the same, and then the launcher ends this one
            before it speaks.
    """
    if not problems:
        return
    place = launched()
    if not place.first and known_to_all:
        time.sleep(FIRST_SPEAKS)
    who = command if place.first else f"{command}, process {place.rank}"
    lines = [f"bertinchamps {who}: " + ("error" if len(problems) == 1 else f"{len(problems)} problems")]
    for problem in problems:
        lines.append(textwrap.indent(problem, "    ").replace("    ", "  - ", 1))
    print("\n".join(lines), file=sys.stderr)  # noqa: T201
    raise SystemExit(2)


def _stop_for(command: str, error: UserError) -> None:
    """Leave with status 2, after saying why unless the first process of the job says it."""
    if isinstance(error, ToldByFirst):
        time.sleep(FIRST_LEAVES)
        raise SystemExit(2)
    stop(command, [str(error)], known_to_all=not isinstance(error, ProcessEnded))


def _run_with_hydra(command: str, job: Job[Config], check: Check[Config]) -> list[tuple[str, float]]:
    scores: list[tuple[str, float]] = []

    def task(composed: DictConfig) -> float | None:
        config: Config = load(composed, COMMANDS[command])
        try:
            problems = check(config)
            if problems:
                raise UserError("\n".join(problems))
            score = job(config)
        except UserError as error:
            together = launched().size > 1  # one process cannot begin the next job without the others
            if HydraConfig.get().mode != RunMode.MULTIRUN or isinstance(error, Stopped) or together:
                _stop_for(command, error)  # leaves, because Hydra would wrap anything else in a traceback
            print(f"bertinchamps {command}: this job failed: {error}", file=sys.stderr)  # noqa: T201
            score = math.nan
        if score is not None:
            scores.append((" ".join(HydraConfig.get().overrides.task), score))
        return score

    task.__name__ = command
    hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=command)(task)()
    return scores


def _readable(words: list[str]) -> list[str]:
    """The command line as Hydra's grammar has it: options first, and letters beyond ASCII in quotes."""
    quoted = [part for word in words for part in _with_budget(_quoted(word))]
    settings: list[str] = get_args_parser().parse_intermixed_args(quoted).overrides
    return [word for word in quoted if word not in settings] + settings


def _with_budget(word: str) -> list[str]:
    """A budget of any length, such as +budget=5m, as the preset whose recipe it has and a number of hours."""
    length = re.fullmatch(r"\+budget=(\d+(?:\.\d+)?)([smhd])", word)
    if length is None or (config_dir() / "budget" / f"{word.partition('=')[2]}.yaml").is_file():
        return [word]
    hours = float(length[1]) * {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}[length[2]]
    return [f"+budget={'10m' if hours < 1 else '24h'}", f"budget.hours={hours:.10g}"]


def _quoted(word: str) -> str:
    key, equals, value = word.partition("=")
    if value.isascii() or key.startswith("-") or not equals:
        return word
    parts = QUOTED_OR_MARK.split(value)
    for place in range(0, len(parts), 2):  # what is between quoted strings and marks
        if not parts[place].isascii():
            parts[place] = json.dumps(parts[place].strip(), ensure_ascii=False)
    return f"{key}={''.join(parts)}"


def _several_processes() -> list[str]:
    """Refuse a job of several processes."""
    size = launched().size
    if size == 1:
        return []
    return [
        f"torchrun started {size} processes, and this command runs in one; only pretrain and finetune train in "
        "several: start it with python -m"
    ]


def _shared_directory(arguments: Any) -> list[str]:
    """One directory for the jobs of a sweep."""
    if not arguments.multirun:
        return []
    overrides, _ = _parse(arguments.overrides)
    return [
        f"{override.input_line}: the jobs of a sweep need a directory each; give runs_dir= for all of them"
        for override in overrides
        if override.key_or_group == "run_dir" and not override.is_sweep_override()
    ]


def _unknown_options(words: list[str]) -> list[str]:
    """Settings written as options."""
    known = get_args_parser()._option_string_actions
    problems = []
    for word, following in zip(words, [*words, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        if re.match(r"--?[A-Za-z]", word) and name not in known:
            value = value if equals or "=" in following or following.startswith("-") else following
            setting = f"{name.lstrip('-').replace('-', '_')}={value or '…'}"
            problems.append(f"{word}: no such option; settings are written key=value, such as {setting}")
    return problems


def _sweeps_of_one_job(arguments: Any) -> list[str]:
    """Several values of a key without --multirun; with two numbers, a decimal comma may be meant."""
    if arguments.multirun:
        return []
    problems = []
    for override in _parse(arguments.overrides)[0]:
        if override.is_sweep_override():
            key, _, value = str(override.input_line).partition("=")
            decimal = re.fullmatch(r"\d+,\d+", value)
            meant = f", or {key}={value.replace(',', '.')} if a decimal number is meant" if decimal else ""
            problems.append(f"{key}={value}: several values are several jobs: add --multirun{meant}")
    return problems


def _other_configurations(arguments: Any) -> list[str]:
    """Options of Hydra that would read another configuration than the command's, unchecked."""
    given = {
        "--config-path": arguments.config_path,
        "--config-name": arguments.config_name,
        "--experimental-rerun": arguments.experimental_rerun,  # it would unpickle a file
    }
    return [
        f"{option}={value}: not taken; --config-dir DIR adds yaml files of yours to the command's own"
        for option, value in given.items()
        if value
    ]


# ------------------------------------------------------------------------------ all mistakes at once


def mistakes(
    command: str, arguments: list[str], check: Check[Config] | None = None, own: Path | None = None
) -> list[str]:
    """Everything wrong with a command line: syntax, groups, keys, types, and what `check` finds.

    Args:
        command: name of the yaml and schema.
        arguments: the words of the command line that are no options.
        check: every mistake in one configuration, in the user's key names.
        own: a directory of yaml files of the user's own.
    """
    overrides, problems = _parse(arguments)
    problems += [f"{word}: {NO_CODE}" for word in _of_hydra(overrides)]
    overrides = [override for override in overrides if not override.key_or_group.startswith("hydra")]
    folders = [config_dir(), *([own] if own else [])]
    search_path = [f"hydra.searchpath=[file://{own}]"] if own else []
    groups = [override for override in overrides if _is_group(folders, override)]
    values = [override for override in overrides if not _is_group(folders, override)]
    group_problems = {id(override): _group_problem(command, folders, override) for override in groups}
    good_groups = [override for override in groups if group_problems[id(override)] is None]
    problems += [problem for problem in group_problems.values() if problem is not None]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        words = [*search_path, *(word for override in good_groups for word in _single(override))]
        unknown = [override for override in groups if override not in good_groups]
        try:
            base = compose(command, overrides=words)
        except HydraException as error:
            # without a group that must be chosen: the likeliest stands in for a misspelt one, to check the rest
            stand_ins = [word for override in unknown for word in _likeliest(folders, override)]
            if not stand_ins:
                return [*problems, _first_lines(error)]
            base, check = compose(command, overrides=[*words, *stand_ins]), None
            inside = tuple(f"{override.key_or_group}." for override in unknown)
            values = [override for override in values if not override.key_or_group.startswith(inside)]
        problems += _code_in_yaml(compose(command, overrides=words, return_hydra_config=True)) if own else []
        value_problems = {id(override): _value_problems(base, override) for override in values}
        good_values = [override for override in values if not value_problems[id(override)]]
        problems += [problem for found in value_problems.values() for problem in found]
        if check is not None:
            problems += _check_jobs(command, search_path, [*good_groups, *good_values], check)
    return list(dict.fromkeys(problems))  # each once, in order


def _parse(arguments: list[str]) -> tuple[list[Override], list[str]]:
    parser, overrides, problems = OverridesParser.create(), [], []
    for argument in arguments:
        try:
            overrides.append(parser.parse_override(argument))
        except HydraException:
            problems.append(
                f"{argument}: not of the form key=value (quote it for the shell if the value has spaces, "
                "commas or brackets: 'data.files=[a.txt,b.txt]')"
            )
    return overrides, problems


def _of_hydra(overrides: list[Override]) -> list[str]:
    """Words that set what Hydra itself does, other than where a sweep is written."""
    keys = [override for override in overrides if override.key_or_group.startswith("hydra")]
    return [str(override.input_line) for override in keys if override.key_or_group not in SET_IN_HYDRA]


def _code_in_yaml(composed: DictConfig) -> list[str]:
    """What the user's own yaml files would make Hydra run or set: its callbacks, loggers and launchers name classes."""
    problems = []
    for key, stock in STOCK_HYDRA.items():
        node = OmegaConf.select(composed, f"hydra.{key}")
        found = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
        if found != stock:
            problems.append(f"hydra.{key} in a yaml file of --config-dir: {NO_CODE}")
    return problems


def _is_group(folders: list[Path], override: Override) -> bool:
    return override.package is None and any((folder / override.key_or_group).is_dir() for folder in folders)


def _group_problem(command: str, folders: list[Path], override: Override) -> str | None:
    group = override.key_or_group
    appended = group in APPENDED
    if APPENDED.get(group, command) != command:
        remedy = (
            "python -m bertinchamps.prepare takes it, and other commands find what it built"
            if group == "cluster"
            else "a recipe of pretraining; here give single settings (budget.epochs=…)"
        )
        return f"+{group}={_plain(override)}: {remedy}"
    if override.type == OverrideType.CHANGE and appended:
        written = _plain(override)
        if group == "budget" and re.fullmatch(r"\d+(\.\d+)?", written):
            return f"budget={written}: of what? Give a length of time, such as +budget={written}m or +budget={written}h"
        return f"{group}={written}: write +{group}={written}, with a plus"
    if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD) and not appended:
        return f"+{group}={_plain(override)}: write {group}={_plain(override)}, without the plus"
    menu = _menu(folders, group)
    for choice in _choices(override):
        name = choice.partition("=")[2]
        if name not in menu:
            if group == "budget":
                return f"{choice}: a length of time is a number and s, m, h or d, such as +budget=5m"
            return f"{choice}: no such choice{closest(name, menu)} (one of: {', '.join(menu)})"
    return None


def _menu(folders: list[Path], group: str) -> list[str]:
    """The choices of a group."""
    return sorted(file.stem for folder in folders for file in (folder / group).glob("*.yaml"))


def _likeliest(folders: list[Path], override: Override) -> list[str]:
    """The choice of the override's group that is most like the one given, as a word."""
    group = override.key_or_group
    menu = _menu(folders, group)
    if group in APPENDED or not menu:
        return []
    name = (_single(override) or [""])[0].partition("=")[2]
    return [f"{group}={(difflib.get_close_matches(name, menu, n=1) or menu)[0]}"]


def _value_problems(base: DictConfig, override: Override) -> list[str]:
    key = override.key_or_group
    known = [name for name in _flat_keys(base) if not isinstance(OmegaConf.select(base, name), DictConfig)]
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(base, parent) if parent else base
    exists = isinstance(node, DictConfig) and leaf in node.keys()  # noqa: SIM118 (`in node` is False for null)
    if override.type == OverrideType.DEL or (exists and override.type != OverrideType.CHANGE):
        return [] if exists else [f"~{key}: no such key{closest(key, known)}"]
    if not exists:
        if parent and isinstance(node, DictConfig):
            menu = [str(name) for name in node]
            return [f"{key}: no such key{closest(leaf, menu)} ({parent} has: {', '.join(menu)})"]
        return [f"{key}: no such key{_closest_key(key, known)}; --help lists them all"]
    problems = []
    for value in _values(override):
        try:
            OmegaConf.update(base.copy(), key, value, merge=True)
        except OmegaConfBaseException as error:
            problems.append(f"{key}={value}: {str(error).splitlines()[0]}")
        else:
            if isinstance(node._get_node(leaf), DictConfig) and not isinstance(value, dict):
                problems.append(f"{key}={value}: {key} is a group of settings; give one of {key}.…")
    return problems


def _closest_key(key: str, known: list[str]) -> str:
    """The nearest key, by its whole name or, for a key in the wrong place, by its last part."""
    same_leaf = [candidate for candidate in known if candidate.rpartition(".")[2] == key.rpartition(".")[2]]
    return f"; did you mean {same_leaf[0]!r}?" if len(same_leaf) == 1 else closest(key, known)


def _check_jobs(
    command: str, search_path: list[str], overrides: list[Override], check: Check[Config]
) -> list[str]:
    problems: list[str] = []
    jobs = itertools.product(*(list(_choices(override)) for override in overrides))
    for job in itertools.islice(jobs, MOST_SWEEP_JOBS_CHECKED):
        try:
            problems += check(load(compose(command, overrides=[*search_path, *job]), COMMANDS[command]))
        except UserError as error:
            problems.append(str(error))
        except (HydraException, OmegaConfBaseException) as error:
            problems.append(_first_lines(error))
    return problems


def _first_lines(error: Exception) -> str:
    """Hydra's message on one line: its beginning, or the whole of it where it lists the choices."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if line.endswith("Available options:"):
            return f"{' '.join(lines[: index + 1])} {', '.join(lines[index + 1 :])}"
    return " ".join(lines[:2])


def _flat_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        child = node._get_node(key)
        yield f"{prefix}{key}"
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            yield from _flat_keys(child, f"{prefix}{key}.")


def _choices(override: Override) -> list[str]:
    """The override as command-line words, one for each value that a sweep would give it."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    prefix = override.get_key_element()
    try:
        return [f"{prefix}={value}" for value in override.sweep_string_iterator()]
    except (TypeError, HydraException):  # a glob over a group's choices, which only Hydra can expand
        return []


def _single(override: Override) -> list[str]:
    """The first of the override's choices, if it can be told."""
    return _choices(override)[:1]


def _values(override: Override) -> list[Any]:
    if not override.is_sweep_override():
        return [override.value()]
    return [OverridesParser.create().parse_override(choice).value() for choice in _choices(override)]


def _plain(override: Override) -> str:
    return str(override.input_line).partition("=")[2]

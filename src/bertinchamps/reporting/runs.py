"""Finds runs and reads their scores and costs. A run that cannot be read is listed with the reason."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical
from bertinchamps.reporting.earlier import older_settings
from bertinchamps.reporting.required import (
    COSTS,
    cost_problems,
    held_out_problems,
    is_number,
    score_problems,
    split_of,
    split_problems,
    subtask_problems,
    with_current_protocols,
)
from bertinchamps.schemas import FinetuneConfig
from bertinchamps.training.run_files import is_part
from bertinchamps.training.settings import settings_but_the_seed

NUMBERS = ("parameters", "tokens_per_second")  # of a summary of pretraining
FINETUNING_KEYS = {
    "task": str, "model_label": str, "parameters": int, "seed": int, "data_fingerprint": str, "command": str,
    "hardware": str, "finished": str, "cost": dict, "scores": dict, "data": dict, "remarks": list,
}  # fmt: skip
SIZES = ("trained_parameters", "stored_bytes")
# A setting that a run's version did not know has its default.
DEFAULTS = settings_but_the_seed(asdict(FinetuneConfig()))
RUN_FILES = ("results.json", "summary.json", "run.json")


@dataclass(frozen=True)
class FinetuningRun:
    """A finished fine-tuning run: the keys of its results.json, and its folder.

    Attributes:
        subtasks: the same run with the scores of each task that is a part of its task.
        trained_on: of such a subtask, the task that the run was trained on; otherwise empty.
        sizes: SIZES of the model.
    """

    folder: Path
    task: str
    head: str | None
    model_label: str
    parameters: int
    seed: int
    settings: Mapping[str, Any]
    data_fingerprint: str
    command: str
    hardware: str
    finished: str
    cost: Mapping[str, float]
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]]
    data: Mapping[str, Mapping[str, Any]]
    remarks: tuple[str, ...]
    pretraining_saw: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # none: an earlier version's
    subtasks: tuple[FinetuningRun, ...] = ()
    trained_on: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)  # none: an earlier version's

    @property
    def digest(self) -> str:
        """Digest of the settings without the seed: runs of one digest on the same data are repetitions."""
        return hashlib.blake2b(canonical(self.settings).encode(), digest_size=6).hexdigest()

    @property
    def split(self) -> str:
        """The split whose scores are shown: test, or dev where test was not scored."""
        return split_of(self.scores)


@dataclass(frozen=True)
class PretrainingRun:
    """A finished pretraining run: its cost and its held-out scores."""

    folder: Path
    command: str
    data_fingerprint: str
    shape: str
    tokenizer: str
    objective: str
    parameters: int
    device: str
    tokens_per_second: float
    cost: Mapping[str, float]
    held_out: Mapping[str, float]
    before: Mapping[str, float] = field(default_factory=dict)  # of the model that training went on from


class LeftOut(NamedTuple):
    """A run that is in no table, and the reason."""

    folder: Path
    reason: str


@dataclass
class Gathered:
    """All runs below a directory."""

    finetuning: list[FinetuningRun] = field(default_factory=list)
    pretraining: list[PretrainingRun] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


class _Unreadable(Exception):
    """A run's files lack what the report needs; the message names it."""


def gather(*places: Path, dev: bool = False) -> Gathered:
    """Read every run below some directories, at any depth.

    Args:
        places: the directories.
        dev: runs that did not score test count, too, with their scores of dev.

    Raises:
        UserError: below one of them there is no run at all, or below all of them none that is finished.
    """
    by_place = [
        {
            file.parent
            for name in RUN_FILES
            for file in place.rglob(name)
            if not is_part(file.parent.resolve()) or file.parent == place
        }
        for place in places
    ]
    for place, found in zip(places, by_place, strict=True):
        if not found:
            raise UserError(
                f"{place}: no runs in there (no results.json, summary.json or run.json at any depth); "
                "make one with python -m bertinchamps.finetune, or name the directory that holds them"
            )
    folders = sorted(set().union(*by_place))
    gathered = Gathered()
    for folder in folders:
        try:
            if (folder / "results.json").exists():
                gathered.finetuning.append(_finetuning_run(folder, dev))
            elif (folder / "summary.json").exists():
                gathered.pretraining.append(_pretraining_run(folder))
            else:
                raise _Unreadable("not finished: still training, or stopped (resume=auto goes on)")
        except _Unreadable as error:
            gathered.left_out.append(LeftOut(folder, str(error)))
    if not gathered.finetuning and not gathered.pretraining:
        reasons = "\n".join(f"{folder}: {reason}" for folder, reason in gathered.left_out)
        raise UserError(f"{', '.join(map(str, places))}: no finished run in there\n{reasons}")
    _leave_out_repetitions(gathered)
    return gathered


def above(folders: Sequence[Path]) -> Path:
    """The closest directory that holds all of these."""
    return Path(os.path.commonpath([folder.parent for folder in folders]))


def _leave_out_repetitions(gathered: Gathered) -> None:
    """Keep the last of runs with the same settings and seed: the same seed twice is no second sample."""
    last: dict[tuple[object, ...], FinetuningRun] = {}
    for run in sorted(gathered.finetuning, key=lambda run: (run.finished, run.folder)):
        key = (run.task, run.head, run.model_label, run.data_fingerprint, run.digest, run.seed)
        if key in last:
            reason = f"same settings and seed as {run.folder}, which finished later"
            gathered.left_out.append(LeftOut(last[key].folder, reason))
        last[key] = run
    kept = {run.folder for run in last.values()}
    gathered.finetuning = [run for run in gathered.finetuning if run.folder in kept]
    gathered.left_out.sort()


def _finetuning_run(folder: Path, dev: bool) -> FinetuningRun:
    found = _read_json(folder / "results.json")
    problems = [
        f"{key} is missing or not of type {kind.__name__}"
        for key, kind in FINETUNING_KEYS.items()
        if not isinstance(found.get(key), kind)
    ]
    if not problems:
        found["scores"] = with_current_protocols(found["scores"])
        problems = [
            *cost_problems(found["cost"], "cost"),
            *split_problems(found["scores"], dev),
            *score_problems(found["scores"]),
            *subtask_problems(found.get("subtasks", {})),
        ]
    if problems:
        raise _Unreadable(f"results.json: {'; '.join(problems)}")
    kept = {key: found[key] for key in FINETUNING_KEYS}
    settings = found["settings"] if isinstance(found.get("settings"), dict) else older_settings(folder, found)
    run = FinetuningRun(
        folder,
        head=found.get("head"),
        settings={**DEFAULTS, **settings},
        pretraining_saw=_pretraining_saw(found.get("pretraining_saw")),
        sizes={key: found[key] for key in SIZES if isinstance(found.get(key), int)},
        **{**kept, "remarks": tuple(found["remarks"])},
    )
    subtasks = [
        (title, own) for title, own in found.get("subtasks", {}).items() if own["scores"].get(run.split)
    ]
    return replace(run, subtasks=tuple(_subtask(run, title, own) for title, own in subtasks))


def _subtask(run: FinetuningRun, title: str, found: Mapping[str, Any]) -> FinetuningRun:
    """A run with the scores of a subtask; what it was trained on is a setting, so it repeats no run on the subtask."""
    return replace(
        run,
        task=title,
        trained_on=run.task,
        settings={**run.settings, "trained_on": run.task, "trained_on_data": run.data_fingerprint},
        data_fingerprint=found["data_fingerprint"],
        scores=found["scores"],
        data={},
        remarks=tuple(f"{run.task}: {remark}" for remark in run.remarks),
        pretraining_saw=_pretraining_saw(found.get("pretraining_saw")),
    )


def _pretraining_saw(found: object) -> dict[str, Mapping[str, Any]]:
    """Split → whether pretraining saw its text; empty for a run that does not say it in full."""
    facts = found if isinstance(found, dict) else {}
    return {
        split: fact
        for split, fact in facts.items()
        if isinstance(fact, dict)
        and (
            not fact.get("measured")
            or not fact.get("pretrained", True)
            or all(isinstance(fact.get(key), int) for key in ("lines", "found", "left"))
        )
    }


def _pretraining_run(folder: Path) -> PretrainingRun:
    summary, facts = _read_json(folder / "summary.json"), _read_json(folder / "run.json")
    problems = [
        *cost_problems(summary.get("spent"), "spent", COSTS[:-1]),
        *held_out_problems(summary.get("held_out")),
        *(f"{key} is missing or not a finite number" for key in NUMBERS if not is_number(summary, key)),
    ]
    if problems:
        raise _Unreadable(f"summary.json: {'; '.join(problems)}")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        shape = f"{config['arch']['num_hidden_layers']} × {config['arch']['hidden_size']}"
        tokenizer = str(config["tokenizer"]["path"] or config["tokenizer"]["normalizer"])
        if origin := summary.get("continued_from"):
            shape, tokenizer = f"goes on from {origin['model']}", "that of the model"
        objective = str(config["objective"]["name"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        raise _Unreadable("config.yaml: missing, or without arch, tokenizer and objective") from None
    return PretrainingRun(
        folder=folder,
        command=str(facts.get("command", "")),
        data_fingerprint=str(facts.get("data_fingerprint", "")),
        shape=shape,
        tokenizer=tokenizer,
        objective=objective,
        parameters=summary["parameters"],
        device=str(summary.get("device", "")),
        tokens_per_second=summary["tokens_per_second"],
        cost=summary["spent"],
        held_out=summary["held_out"],
        before=summary.get("held_out_before") or {},
    )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _Unreadable(f"{file.name}: cannot be read ({error.strerror})") from None
    except ValueError:  # no JSON, or no UTF-8
        raise _Unreadable(f"{file.name}: not whole JSON") from None
    if not isinstance(content, dict):
        raise _Unreadable(f"{file.name}: not a JSON object")
    return content

"""Groups runs: settings that differ in their seed only, and sections of settings that may stand side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bertinchamps.data.pretraining_facts import in_a_cell
from bertinchamps.fingerprints import canonical
from bertinchamps.reporting.published import Published, PublishedScore
from bertinchamps.reporting.runs import FinetuningRun

SPLITS = ("test", "dev")  # in this order
LONGEST_DIFFERENCE = 3  # settings that a label names
ABSENT = canonical(None)  # the value of a setting that a run does not have


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed only.

    Attributes:
        label: the model, the head where the task has one, and the settings that differ from others of that name.
        runs: one a seed, in the order of seeds.
    """

    label: str
    runs: tuple[FinetuningRun, ...]

    def scores(self, split: str, protocol: str) -> list[Mapping[str, Any]]:
        """The scores of each run; each must have this split and protocol."""
        return [run.scores[split][protocol] for run in self.runs]

    def saw(self, split: str) -> str:
        """Whether pretraining saw the text of a split, as measured; empty if no run says it."""
        if not any(run.pretraining_saw for run in self.runs):
            return ""
        return " / ".join(dict.fromkeys(_saw(run, split) for run in self.runs))

    @property
    def seeds(self) -> str:
        """The number of seeds, and the seeds."""
        seeds = ", ".join(str(run.seed) for run in self.runs)
        return f"{len(self.runs)} seeds: {seeds}" if len(self.runs) > 1 else f"1 seed: {seeds}"


def _saw(run: FinetuningRun, split: str) -> str:
    """Whether pretraining saw the text of a split: of all of it, or else of each subtask."""
    fact = run.pretraining_saw.get(split)
    if not run.subtasks or (fact and fact.get("measured")):
        return in_a_cell(fact)
    return ", ".join(f"{own.task} {in_a_cell(own.pretraining_saw.get(split))}" for own in run.subtasks)


@dataclass(frozen=True)
class Section:
    """Settings that were scored on the same data.

    Attributes:
        task: name of the task in results.json.
        data_fingerprint: fingerprint of the data.
        split: whose scores are shown: test, or dev for runs that did not score test.
        title: the task's name for people.
        file_stem: beginning of the names of the section's files.
        settings: in the order of labels.
        published: the published scores of the task.
        notes: remarks of the runs and of the report.
    """

    task: str
    data_fingerprint: str
    split: str
    title: str
    file_stem: str
    settings: tuple[Setting, ...]
    published: tuple[PublishedScore, ...]
    notes: tuple[str, ...]

    def scored(self, split: str, protocol: str) -> list[Setting]:
        """The settings with runs that were scored on this split by this protocol, each with these runs alone."""
        narrowed = (
            Setting(
                setting.label,
                tuple(run for run in setting.runs if protocol in run.scores.get(split, {})),
            )
            for setting in self.settings
        )
        return [setting for setting in narrowed if setting.runs]

    @property
    def protocols(self) -> list[str]:
        """The protocols that runs were scored by, in the order of the runs."""
        return list(
            dict.fromkeys(
                name for setting in self.settings for run in setting.runs for name in run.scores[self.split]
            )
        )


def sections(runs: Iterable[FinetuningRun], published: Published) -> list[Section]:
    """One section for each task and state of its data: the paper's tasks first, in its order.

    A run on several tasks is in the section of its own task and, as a setting of its own, in those of its subtasks.
    Runs that did not score test are in sections of their own, behind all others.
    """
    order = list(published.tasks)
    with_subtasks = [each for run in runs for each in (run, *run.subtasks)]
    found = [
        section
        for split in SPLITS
        for task, of_task in _grouped(
            (run for run in with_subtasks if run.split == split), lambda run: run.task
        )
        for section in _of_task(task, split, of_task, published)
    ]
    found.sort(key=lambda section: order.index(section.task) if section.task in order else len(order))
    return found


def _of_task(task: str, split: str, runs: list[FinetuningRun], published: Published) -> Iterator[Section]:
    """The sections of a task, one for each state of its data."""
    by_data = _grouped(runs, lambda run: run.data_fingerprint)
    by_data.sort(key=lambda pair: (-len(pair[1]), pair[0]))
    title, stem = published.tasks.get(task, task), task
    if split != "test":
        title, stem = f"{title}, {split} alone", f"{stem}_{split}"
    for position, (fingerprint, of_data) in enumerate(by_data):
        # published scores stand beside the data that most runs used: at most one state is the published one
        beside = split == "test" and position == 0
        yield Section(
            task=task,
            data_fingerprint=fingerprint,
            split=split,
            title=title if position == 0 else f"{title}, other data ({fingerprint[:12]})",
            file_stem=stem if position == 0 else f"{stem}_data_{fingerprint[:12]}",
            settings=_settings(of_data),
            published=tuple(score for score in published.scores if score.task == task and beside),
            notes=tuple(_notes(of_data, [name for name, _ in by_data])),
        )


def _settings(runs: list[FinetuningRun]) -> tuple[Setting, ...]:
    """Runs of the same settings; where several settings have one label, each label names the differences."""

    def label(run: FinetuningRun) -> str:
        trained_on = f"trained on {run.trained_on}" if run.trained_on else None
        return ", ".join(filter(None, (run.model_label, run.head, trained_on)))

    found = []
    for name, of_label in _grouped(runs, label):
        by_digest = _grouped(of_label, lambda run: run.digest)
        differing = _differing([of_setting[0] for _, of_setting in by_digest])
        telling = _telling(differing, len(by_digest))
        for _, of_setting in by_digest:
            difference = _difference(of_setting[0], telling, more=len(differing) > len(telling))
            found.append(Setting(f"{name}{difference}", tuple(sorted(of_setting, key=lambda run: run.seed))))
    return tuple(sorted(found, key=lambda setting: setting.label))


def _difference(run: FinetuningRun, telling: list[str], more: bool) -> str:
    """The settings that tell a run from others of its label, in brackets; empty if there are no others.

    Few settings often tell all apart, such as those of a study's grid, while more differ because these do. `…` says
    that more differ than are named; where those that are named leave runs alike, the digest tells them apart.
    """
    named = [f"{key}={run.settings.get(key)}" for key in telling[:LONGEST_DIFFERENCE]]
    if len(telling) > LONGEST_DIFFERENCE:
        named.append(f"… {run.digest}")
    elif more:
        named.append("…")
    return f" ({', '.join(named)})" if named else ""


def _differing(runs: list[FinetuningRun]) -> dict[str, list[str]]:
    """The value of each run, by key, for the settings in which runs differ, in the order of the alphabet."""
    keys = sorted({key for run in runs for key in run.settings})
    values = {key: [canonical(run.settings.get(key)) for run in runs] for key in keys}
    return {key: of_key for key, of_key in values.items() if len(set(of_key)) > 1}


def _telling(differing: Mapping[str, list[str]], number: int) -> list[str]:
    """Few keys whose values tell as many runs apart as all keys do; each next key is the one that tells most.

    Args:
        differing: of `_differing`.
        number: of runs.
    """
    chosen: list[str] = []
    told: list[tuple[str, ...]] = [()] * number  # the values of the chosen keys, by run

    def with_key(key: str) -> list[tuple[str, ...]]:
        return [(*so_far, value) for so_far, value in zip(told, differing[key], strict=True)]

    while differing:
        # of equal ones, a key that each run has says more than `adapter.rank=None`
        best = max(differing, key=lambda key: (len(set(with_key(key))), -differing[key].count(ABSENT)))
        further = with_key(best)
        if len(set(further)) == len(set(told)):
            break
        chosen.append(best)
        told = further
    return chosen


def _notes(runs: list[FinetuningRun], fingerprints: list[str]) -> list[str]:
    notes = [f"Data {runs[0].data_fingerprint}{_counts(runs)}"]
    if len(fingerprints) > 1:
        notes.append(
            f"The runs of {runs[0].task} were made on {len(fingerprints)} different states of its data "
            f"({', '.join(fingerprints)}); scores on different data do not compare, so each has tables of its own. "
            "If they are corpora of their own, name each with task.title= when fine-tuning."
        )
    return notes + list(dict.fromkeys(remark for run in runs for remark in run.remarks))


def _counts(runs: list[FinetuningRun]) -> str:
    """The counts of each split in which the runs agree (windows, for one, depend on the tokenizer)."""
    runs = [run for run in runs if not run.trained_on] or runs[:1]
    splits = []
    for split, counts in runs[0].data.items():
        same = [
            f"{count:,} {name}"
            for name, count in counts.items()
            if isinstance(count, int) and all(run.data.get(split, {}).get(name) == count for run in runs)
        ]
        splits += [f"{split} {', '.join(same)}"] if same else []
    return f": {'; '.join(splits)}." if splits else "."


def _grouped(
    runs: Iterable[FinetuningRun], key: Callable[[FinetuningRun], str]
) -> list[tuple[str, list[FinetuningRun]]]:
    return [(name, list(group)) for name, group in groupby(sorted(runs, key=key), key)]

"""Distillation: a student learns the mean probabilities of fine-tuned models (Hinton et al., 2015).

The teachers read the training texts, and texts without labels if there are any. They may have other encoders and
tokenizers than the student, because spans, words and classes are the same for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

from bertinchamps.console import all_shown
from bertinchamps.data.line_sets import Index, words_of
from bertinchamps.errors import UserError
from bertinchamps.schemas import DistillationConfig, FinetuneConfig
from bertinchamps.tasks.evaluated import Evaluated
from bertinchamps.tasks.examples import Examples
from bertinchamps.tasks.facts import FILE, TaskFacts, read_facts
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import Kind, KindTask, LearnsFromTeachers, ReadsWholeTexts, Teaches
from bertinchamps.tasks.lessons import Lessons, Opinion
from bertinchamps.tasks.saved_model import SavedModel, folder_of, open_model
from bertinchamps.tasks.texts.losses import PLAIN
from bertinchamps.tasks.thresholds import FIXED
from bertinchamps.textfiles.texts import entry_problems, texts_of
from bertinchamps.training.run_files import TEACHERS, read_summary
from bertinchamps.training.runtime import Runtime

LEAST_PROBABILITY = 0.01  # of a span in a lesson; nearly all spans of a text are below
PASSAGE = 1_000  # characters of a document that are read, at the most, so that many documents are read
SPENT = (
    "seconds", "training_seconds", "tokens", "flops", "flops_dense", "energy_kwh", "euro", "gram_co2",
)  # fmt: skip
NGRAM = 13  # words that a text without labels may not share with dev or test


class Teachers:
    """Several fine-tuned models, whose probabilities are averaged.

    Args:
        config: which models.
        batch: windows that go through a model at once.
        runtime: device and precision.

    Raises:
        UserError: a model cannot be opened.

    Attributes:
        folders: of the models.
    """

    def __init__(self, config: DistillationConfig, batch: int, runtime: Runtime) -> None:
        self.folders = [folder for name in config.teachers for folder in folders_of(name)]
        self._teachers = [_open(folder, batch, runtime) for folder in self.folders]

    def opinions(self, texts: Sequence[Input]) -> list[Opinion]:
        """For each text the mean probabilities."""
        answers = [_opinions(teacher, texts) for teacher in self._teachers]
        share, mixed = 1 / len(answers), cast(Teaches, self._teachers[0].predictor).mixed
        return [mixed((share, said) for said in of_text) for of_text in zip(*answers, strict=True)]

    def scores(
        self, task: KindTask, facts: TaskFacts, splits: Mapping[str, Sequence[Any]], config: FinetuneConfig
    ) -> dict[str, Any]:
        """The scores of their mean probabilities for dev, and for test where it is given.

        Args:
            task: of the student.
            facts: of the student.
            splits: examples with their labels.
            config: how thresholds are chosen, and what is reported.
        """
        said = {split: self.opinions(_inputs(splits[split])) for split in ("dev", "test") if split in splits}
        choice = config.selection.thresholds
        judge, predicted = cast(LearnsFromTeachers, task).judged(facts, said, choice)
        evaluated = Evaluated(judge, config.report)
        return {split: evaluated.scores(split, found) for split, found in predicted.items()}

    def facts(self, run: Path) -> dict[str, Any]:
        """The teachers' directories as `models`; `seconds` of fine-tuning those that a student's run made itself."""
        seconds = math.fsum(cost["seconds"] for cost in self.costs(run))
        return {"models": [str(folder) for folder in self.folders], "seconds": seconds}

    def costs(self, run: Path) -> list[dict[str, Any]]:
        """What the teachers cost that a student's run made itself."""
        own = [folder.parent for folder in self.folders if folder.parents[1] == run / TEACHERS]
        return [read_summary(each, "finetune")["cost"] for each in own]


def lessons_of(teachers: Teachers, config: DistillationConfig, examples: Examples, seed: int) -> Lessons:
    """What the teachers say of train, and of the texts without labels.

    Args:
        teachers: opened models.
        config: weight, files, and how many passages.
        examples: of the task; a passage that shares NGRAM words with dev or test is left out. Where whole texts are
            read, passages are whole texts.
        seed: chooses the passages.
    """
    passages = list(_passages(config, examples, seed))
    return Lessons(
        config.weight,
        teachers.opinions(_inputs(examples.splits["train"])),
        list(zip(passages, teachers.opinions([Input("", text, "") for text in passages]), strict=True)),
    )


def key_of(config: DistillationConfig) -> str | None:
    """The key that gives a student teachers; None where there are none."""
    if config.teachers:
        return "distillation.teachers"
    return "distillation.own_teachers" if config.own_teachers else None


def joint_cost(cost: Mapping[str, Any], teachers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The cost of a student with that of its own teachers: sums; of memory the peak; steps and epochs the student's."""
    sums = {key: cost[key] + sum(own[key] for own in teachers) for key in SPENT}
    peak = max(each["peak_memory_bytes"] for each in (cost, *teachers))
    return {**cost, **sums, "peak_memory_bytes": peak}


def config_of_teacher(config: FinetuneConfig, run: Path, number: int) -> FinetuneConfig:
    """The settings of the fine-tuning of an own teacher, which is resumed where it was begun.

    It is evaluated as often as the student, on dev alone: thresholds and temperature are the student's business.

    Args:
        config: of the student.
        run: the student's directory.
        number: of the teacher, from 1; the first one has the student's seed.
    """
    epochs, own = config.budget.epochs, config.distillation.teacher_epochs
    every = config.selection.every_epochs * (own / epochs if own and epochs else 1)
    return replace(
        config,
        distillation=DistillationConfig(),
        budget=replace(config.budget, epochs=own or epochs),
        selection=replace(
            config.selection,
            folds=None,
            every_epochs=every,
            score_test=False,
            thresholds=FIXED,
            recall=None,
            precision=None,
        ),
        seed=config.seed + number - 1,
        run_dir=str(run / TEACHERS / str(number)),
        resume="auto",
    )


def with_teachers(config: FinetuneConfig, teachers: Sequence[Path]) -> FinetuneConfig:
    """Settings of a student whose own teachers are these runs."""
    given = config.distillation
    return replace(
        config,
        distillation=replace(given, teachers=[*given.teachers, *map(str, teachers)], own_teachers=0),
    )


def student_problems(key: str, kind: Kind, loss: str) -> list[str]:
    """Why a student cannot have teachers.

    Args:
        key: that gives it teachers.
        kind: of its task.
        loss: name of its loss.
    """
    if kind.refuses_teachers is not None:
        return [f"{key}: not for this task: {kind.refuses_teachers}; leave it out"]
    if isinstance(kind, ReadsWholeTexts) and loss != PLAIN:
        return [f"{key}: a student learns probabilities by loss={PLAIN}, not by loss={loss}; leave one out"]
    return []


def teacher_problems(config: DistillationConfig, kind: Kind, head: str, labels: Sequence[str]) -> list[str]:
    """Why these teachers cannot teach a student of this kind, head and labels, in the user's key names."""
    found = []
    folders: list[Path] = []
    for name in config.teachers:
        try:
            folders += folders_of(name)
        except UserError as error:
            found.append(f"distillation.teachers: {error}")
    for folder in folders:
        try:
            facts = read_facts(folder)
        except UserError as error:
            found.append(f"distillation.teachers: {error}")
            continue
        theirs, needed = (facts.head, head) if kind.has_heads else (facts.kind, kind.name)
        if theirs != needed:
            what = "head" if kind.has_heads else "kind"
            found.append(
                f"distillation.teachers: {folder} has {what}={theirs}, but teachers need the student's, "
                f"{what}={needed}"
            )
        # The same labels have one order: `label_names` sorts.
        elif unknown := sorted(set(labels) ^ set(facts.labels)):
            found.append(
                f"distillation.teachers: {folder} was trained with other labels than the student: "
                f"{all_shown(unknown)}"
            )
    return found + entry_problems("distillation.files", config.files)


def folders_of(name: str) -> list[Path]:
    """The directories of fine-tuned models, given as one of them, as its run's, or as a directory of runs.

    Raises:
        UserError: no fine-tuned model is there, or a damaged one.
    """
    runs = sorted(str(file.parent) for file in Path(name).expanduser().glob(f"*/model/{FILE}"))
    return [folder_of(each) for each in runs or [name]]


def _open(folder: Path, batch: int, runtime: Runtime) -> SavedModel:
    """A fine-tuned model, one of spans with those of at least LEAST_PROBABILITY."""
    facts = read_facts(folder)
    least = (LEAST_PROBABILITY,) * len(facts.labels)
    return open_model(folder, replace(facts, thresholds=least), batch, runtime)


def _opinions(teacher: SavedModel, texts: Sequence[Input]) -> list[Opinion]:
    """What one teacher says of each text."""
    with teacher.reading():
        return cast(Teaches, teacher.predictor).opinions(teacher.model, texts)


def _inputs(examples: Sequence[Any]) -> list[Input]:
    """The texts of examples, with their pairs or words where they have such."""
    return [
        Input(each.name, each.text, each.name, getattr(each, "pair", None), getattr(each, "words", None))
        for each in examples
    ]


def _passages(config: DistillationConfig, examples: Examples, seed: int) -> Iterator[str]:
    """Passages of different documents, chosen at random (reservoir sampling, Vitter, 1985)."""
    random, chosen = Random(seed), []
    whole = isinstance(examples.kind, ReadsWholeTexts)  # whose examples are read from their beginning, too
    documents = (text for entry in config.files for text in texts_of(entry))
    for number, text in enumerate(documents):
        if number < config.passages:
            chosen.append(text if whole else _passage(text, random))
        elif (place := random.randrange(number + 1)) < config.passages:
            chosen[place] = text if whole else _passage(text, random)
    held_out = [
        text for split in ("dev", "test") if split in examples.splits for text in examples.texts(split)
    ]
    index = Index({"dev and test": held_out}, NGRAM)
    yield from (each for each in chosen if each.strip() and index.find(words_of(each)) is None)


def _passage(text: str, random: Random) -> str:
    """At most PASSAGE characters from the beginning of a line, or of a word, on."""
    if len(text) <= PASSAGE:
        return text
    start = random.randrange(len(text) - PASSAGE)
    line = text.find("\n", start, start + PASSAGE // 2)
    start = line + 1 if line >= 0 else text.find(" ", start, start + PASSAGE // 2) + 1 or start
    return text[start : start + PASSAGE].rpartition(" ")[0] or text[start : start + PASSAGE]

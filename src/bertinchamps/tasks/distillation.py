"""Distillation: a student learns the mean probabilities of fine-tuned models (Hinton et al., 2015).

The teachers read the training texts, and texts without labels if there are any. They may have other encoders and
tokenizers than the student, because a span is known by its place in the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, cast

from bertinchamps.console import all_shown
from bertinchamps.contract import AnnotatedText
from bertinchamps.data.line_sets import Index, words_of
from bertinchamps.errors import UserError
from bertinchamps.schemas import DistillationConfig, FinetuneConfig
from bertinchamps.tasks.examples import Examples
from bertinchamps.tasks.facts import FILE, read_facts
from bertinchamps.tasks.saved_model import SavedModel, folder_of, open_model
from bertinchamps.tasks.tagging.lessons import Lessons, mixed
from bertinchamps.tasks.tagging.nested import Nested, without_crossings
from bertinchamps.tasks.tagging.predictor import EntityPredictor, with_entities
from bertinchamps.tasks.tagging.representations import Found
from bertinchamps.tasks.tagging.thresholds import best_thresholds
from bertinchamps.tasks.tagging.windows import Words, windows_of
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
        self._labels = read_facts(self.folders[0]).labels

    def spans(self, texts: Sequence[str], words: Sequence[Words | None] | None = None) -> list[list[Found]]:
        """For each text its spans with their mean probabilities."""
        words = words or [None] * len(texts)
        share = 1 / len(self._teachers)
        answers = [_spans(teacher, texts, words) for teacher in self._teachers]
        return [mixed((share, spans) for spans in of_text) for of_text in zip(*answers, strict=True)]

    def label(
        self, splits: Mapping[str, Sequence[AnnotatedText]], choice: str
    ) -> dict[str, list[AnnotatedText]]:
        """The documents of dev, and of test where there is one, with the entities that the teachers find together.

        Args:
            splits: documents, those of dev with their true entities.
            choice: `selection.thresholds`: those that are best on dev, or 0.5 (fixed).
        """
        read = {split: self._of(splits[split]) for split in ("dev", "test") if split in splits}
        chosen: Sequence[float] = [0.5] * len(self._labels)
        if choice != FIXED:
            chosen = best_thresholds(splits["dev"], read["dev"], self._labels, choice)
        least = dict(zip(self._labels, chosen, strict=True))
        return {
            split: [
                with_entities(
                    document,
                    without_crossings(one for one in spans if one.confidence > least[one.entity.label]),
                )
                for document, spans in zip(splits[split], found, strict=True)
            ]
            for split, found in read.items()
        }

    def facts(self, run: Path) -> dict[str, Any]:
        """The teachers' directories as `models`; `seconds` of fine-tuning those that a student's run made itself."""
        seconds = math.fsum(cost["seconds"] for cost in self.costs(run))
        return {"models": [str(folder) for folder in self.folders], "seconds": seconds}

    def costs(self, run: Path) -> list[dict[str, Any]]:
        """What the teachers cost that a student's run made itself."""
        own = [folder.parent for folder in self.folders if folder.parents[1] == run / TEACHERS]
        return [read_summary(each, "finetune")["cost"] for each in own]

    def _of(self, documents: Sequence[AnnotatedText]) -> list[list[Found]]:
        return self.spans(
            [document.text for document in documents], [document.words for document in documents]
        )


def lessons_of(teachers: Teachers, config: DistillationConfig, examples: Examples, seed: int) -> Lessons:
    """What the teachers say of train, and of the texts without labels.

    Args:
        teachers: opened models.
        config: weight, files, and how many passages.
        examples: of the task; a passage that shares NGRAM words with dev or test is left out.
        seed: chooses the passages.
    """
    train = examples.splits["train"]
    passages = list(_passages(config, examples, seed))
    return Lessons(
        config.weight,
        teachers.spans([document.text for document in train], [document.words for document in train]),
        list(zip(passages, teachers.spans(passages), strict=True)),
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


def teacher_problems(config: DistillationConfig, labels: Sequence[str]) -> list[str]:
    """Why these teachers cannot teach these labels, in the user's key names."""
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
        if facts.head != "nested":
            found.append(
                f"distillation.teachers: {folder} has head={facts.head}, but teachers need head=nested, whose spans "
                "have probabilities"
            )
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
    """A fine-tuned model that finds spans of at least LEAST_PROBABILITY."""
    facts = read_facts(folder)
    teacher = open_model(folder, facts, batch, runtime)
    least = [LEAST_PROBABILITY] * len(facts.labels)
    cast(EntityPredictor, teacher.predictor).representation = Nested(facts.labels, least)
    return teacher


def _spans(teacher: SavedModel, texts: Sequence[str], words: Sequence[Words | None]) -> list[list[Found]]:
    """For each text the spans of a teacher, with their probabilities."""
    predictor = cast(EntityPredictor, teacher.predictor)
    representation = cast(Nested, predictor.representation)
    windows = list(windows_of(texts, predictor.subwords, words))
    with teacher.reading():
        answers = predictor.window_logits(teacher.model, windows)
    found = predictor.entities(windows, answers, representation.spans)
    return [found.get(index, []) for index in range(len(texts))]


def _passages(config: DistillationConfig, examples: Examples, seed: int) -> Iterator[str]:
    """Passages of different documents, chosen at random (reservoir sampling, Vitter, 1985)."""
    random, chosen = Random(seed), []
    documents = (text for entry in config.files for text in texts_of(entry))
    for number, text in enumerate(documents):
        if number < config.passages:
            chosen.append(_passage(text, random))
        elif (place := random.randrange(number + 1)) < config.passages:
            chosen[place] = _passage(text, random)
    held_out = [
        text for split in ("dev", "test") if split in examples.splits for text in examples.texts(split)
    ]
    index = Index({"dev and test": held_out}, NGRAM)
    yield from (passage for passage in chosen if index.find(words_of(passage)) is None)


def _passage(text: str, random: Random) -> str:
    """At most PASSAGE characters from the beginning of a line, or of a word, on."""
    if len(text) <= PASSAGE:
        return text
    start = random.randrange(len(text) - PASSAGE)
    line = text.find("\n", start, start + PASSAGE // 2)
    start = line + 1 if line >= 0 else text.find(" ", start, start + PASSAGE // 2) + 1 or start
    return text[start : start + PASSAGE].rpartition(" ")[0] or text[start : start + PASSAGE]

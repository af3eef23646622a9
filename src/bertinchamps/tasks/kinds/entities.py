"""Entities: typed spans of a text, flat or nested (`kind = "ner"`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bertinchamps.contract import AnnotatedText
from bertinchamps.metrics.error_analysis import error_analysis
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.schemas import FinetuneBatchConfig, FinetuneConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.formats import brat, conll, spans_jsonl
from bertinchamps.tasks.inputs import ID, Input, Inputs
from bertinchamps.tasks.kinds import BySplit, kinds
from bertinchamps.tasks.lessons import Lessons
from bertinchamps.tasks.tagging.columns import tagged
from bertinchamps.tasks.tagging.predictor import EntityPredictor
from bertinchamps.tasks.tagging.recognition import METRICS, EntityRecognition
from bertinchamps.tasks.tagging.representations import Representation, representations
from bertinchamps.tasks.tagging.windows import SubwordTokenizer

COLUMNS = ("entity_type", "entity_start", "entity_end", "entity_text", "confidence")
ENTITIES = "entities"


@kinds.register("ner")
class Entities:
    """Named-entity recognition."""

    name = "ner"
    metrics = METRICS
    has_heads = True
    formats: tuple[str, ...] = (
        *("brat", "jsonl", "csv", "tsv", "conll", "html"),
        *("label_studio", "doccano", "prodigy", "xmi"),
    )
    reads_words = True
    reads_entities = False
    keeps_text = False  # a text has a row for each of its entities
    wants = ("recall", "precision")
    record = "document"
    mixes_records: str | None = None
    refuses_teachers: str | None = None

    def example_problems(self, splits: BySplit, labels: Sequence[str]) -> list[str]:
        found = brat.label_problems(labels)
        if not any(document.entities for document in splits["dev"]):
            found.append(
                "task: no entity in the dev split, so no score could select the weights: give another dev split "
                "(task.dev), or raise selection.dev_share"
            )
        return found

    def facts(self, config: FinetuneConfig, title: str, splits: BySplit, labels: Sequence[str]) -> TaskFacts:
        choice = config.selection.thresholds
        return TaskFacts(
            title, self.name, config.head, tuple(labels), config.max_length, threshold_choice=choice
        )

    def build_model(self, facts: TaskFacts, source: EncoderSource) -> DownstreamModel:
        return heads.build(str(facts.head), source=source, classes=_representation(facts).classes)

    def build_predictor(
        self, facts: TaskFacts, tokenizer: Any, batch: int, device: torch.device
    ) -> EntityPredictor:
        subwords = SubwordTokenizer(tokenizer, facts.max_length)
        padding = tokenizer.pad_token_id
        return EntityPredictor(_representation(facts), subwords, padding, batch, device, facts.temperature)

    def build_task(
        self,
        splits: BySplit,
        predictor: EntityPredictor,
        batch: FinetuneBatchConfig,
        seed: int,
        lessons: Lessons | None = None,
    ) -> EntityRecognition:
        return EntityRecognition(splits, predictor, batch, seed, lessons)

    def write_split(
        self, folder: Path, task: EntityRecognition, split: str, predicted: Sequence[AnnotatedText]
    ) -> None:
        """Write the split as brat, JSON lines and IOB2 columns, the gold entities as brat, and an analysis of errors.

        SPLIT/brat/NAME.txt NAME.ann    loadable by brat, scorable by BRATeval
        SPLIT/gold/NAME.txt NAME.ann    the gold entities
        SPLIT.jsonl SPLIT.conll         the predictions as JSON lines and as IOB2 columns
        SPLIT_errors.md                 errors by type and label, for reading
        """
        gold = task.splits[split]
        write_brat(folder / split / "brat", predicted)
        write_brat(folder / split / "gold", gold)
        spans_jsonl.write(folder / f"{split}.jsonl", predicted)
        conll.write(folder / f"{split}.conll", tagged(predicted))
        (folder / f"{split}_errors.md").write_text(error_analysis(gold, predicted), encoding="utf-8")

    def found(self, prediction: AnnotatedText) -> AnnotatedText:
        return prediction

    def columns(self, facts: TaskFacts) -> tuple[str, ...]:
        return COLUMNS

    def output_keys(self, inputs: Inputs) -> set[str]:
        return {ENTITIES} | ({ID, "text"} - {inputs.id_column, inputs.text_column})

    def rows(self, facts: TaskFacts, prediction: AnnotatedText, beside: list[str]) -> Iterator[list[str]]:
        """A row for each entity, or one without an entity."""
        for entity, confidence in prediction.by_place():
            covered = prediction.text[entity.start : entity.end].translate(brat.SPACES)
            share = "" if confidence is None else f"{confidence:.{spans_jsonl.DIGITS}f}"
            yield [*beside, entity.label, str(entity.start), str(entity.end), covered, share]
        if not prediction.entities:
            yield [*beside, *[""] * len(COLUMNS)]

    def as_object(
        self, facts: TaskFacts, given: Input, prediction: AnnotatedText, inputs: Inputs
    ) -> dict[str, Any]:
        """Id, text and entities, and the user's other fields without earlier lists of entities."""
        others = {
            name: value
            for name, value in given.fields
            if name not in (ID, inputs.text_column)
            and not (name in spans_jsonl.LISTS and isinstance(value, list))
        }
        return {**spans_jsonl.as_item(prediction), **others}


def _representation(facts: TaskFacts) -> Representation:
    thresholds = {"thresholds": facts.thresholds} if facts.thresholds else {}
    return representations.build(str(facts.head), labels=facts.labels, **thresholds)


def write_brat(folder: Path, documents: Sequence[AnnotatedText]) -> None:
    """Write a brat folder that holds exactly these documents; an existing folder is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for document in documents:
        brat.write_document(folder, document)

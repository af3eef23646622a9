"""Relations: typed, directed links between two entities of a document (`kind = "relations"`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bertinchamps.contract import AnnotatedText, RelatedText
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.metrics.relation_errors import relation_errors
from bertinchamps.metrics.relations import GIVEN
from bertinchamps.model.encoders import EncoderSource, unknown_id
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.schemas import FinetuneBatchConfig, FinetuneConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.formats import brat, brat_relations, relations_jsonl, spans_jsonl
from bertinchamps.tasks.formats.related import by_place
from bertinchamps.tasks.inputs import ID, Input, Inputs
from bertinchamps.tasks.kinds import BySplit, kinds
from bertinchamps.tasks.lessons import Lessons
from bertinchamps.tasks.relations.extraction import Finder, Predicted, RelationExtraction
from bertinchamps.tasks.relations.pairs import PairMaker
from bertinchamps.tasks.relations.predictor import NO_RELATION, RelationPredictor
from bertinchamps.tasks.relations.settings import of_details, of_task
from bertinchamps.tasks.saved_model import entity_finder
from bertinchamps.tasks.tagging.windows import SubwordTokenizer

ARGUMENT = ("type", "start", "end", "text")
COLUMNS = (
    "relation_type",
    *(f"{side}_{each}" for side in ("head", "tail") for each in ARGUMENT),
    "confidence",
)
LISTS = (*spans_jsonl.LISTS, relations_jsonl.RELATIONS)


@kinds.register("relations")
class Relations:
    """Relation extraction between given entities."""

    name = "relations"
    metrics = PROTOCOLS[GIVEN].choosing
    has_heads = False
    formats = ("brat", "jsonl", "csv", "tsv")
    reads_words = True  # files of brat are named after the texts
    reads_entities = True
    keeps_text = False  # a text has a row for each of its relations
    wants: tuple[str, ...] = ()
    record = "document"
    mixes_records: str | None = "pairs without a relation are chosen among those of all documents together"
    refuses_teachers: str | None = "a relation is between entities, which a text without labels does not have"

    def example_problems(self, splits: BySplit, labels: Sequence[str]) -> list[str]:
        types = {entity.label for split in splits.values() for text in split for entity in text.entities}
        found = [*brat.label_problems(types), *brat.label_problems(labels)]
        if not any(document.relations for document in splits["dev"]):
            found.append(
                "task: no relation in the dev split, so no score could select the weights: give another dev split "
                "(task.dev), or raise selection.dev_share"
            )
        return found

    def facts(self, config: FinetuneConfig, title: str, splits: BySplit, labels: Sequence[str]) -> TaskFacts:
        """With the settings of pairs, and the types of arguments that the relations of train have."""
        details = of_task(config.task, splits["train"]).as_details()
        return TaskFacts(title, self.name, None, tuple(labels), config.max_length, details=details)

    def build_model(self, facts: TaskFacts, source: EncoderSource) -> DownstreamModel:
        types = len(of_details(facts.details).marked_types)
        return heads.build("relations", source=source, classes=(NO_RELATION, *facts.labels), types=types)

    def build_predictor(
        self, facts: TaskFacts, tokenizer: Any, batch: int, device: torch.device
    ) -> RelationPredictor:
        settings = of_details(facts.details)
        maker = PairMaker(SubwordTokenizer(tokenizer, facts.max_length), settings, unknown_id(tokenizer))
        padding = tokenizer.pad_token_id
        return RelationPredictor(maker, settings, facts.labels, padding, batch, device, facts.temperature)

    def build_task(
        self,
        splits: BySplit,
        predictor: RelationPredictor,
        batch: FinetuneBatchConfig,
        seed: int,
        lessons: Lessons | None = None,
    ) -> RelationExtraction:
        del lessons  # refused by checks/finetuning.py
        ner = predictor.settings.ner
        finder: Finder | None = None
        if ner is not None:
            finder = entity_finder(ner, batch.evaluation, predictor.device)
        return RelationExtraction(splits, predictor, batch, seed, finder)

    def write_split(self, folder: Path, task: RelationExtraction, split: str, predicted: Predicted) -> None:
        """Write the split as brat and JSON lines, the gold relations as brat, and an analysis of errors.

        SPLIT/brat/NAME.txt NAME.ann          the gold entities and the predicted relations
        SPLIT/gold/NAME.txt NAME.ann          the gold entities and relations
        SPLIT/end_to_end/NAME.txt NAME.ann    found entities and the relations between them, with task.ner
        SPLIT.jsonl SPLIT_end_to_end.jsonl    the predictions as JSON lines
        SPLIT_errors.md SPLIT_end_to_end_errors.md    errors by type, for reading
        """
        gold = task.splits[split]
        write_brat(folder / split / "gold", gold)
        for place, name, documents in (
            ("brat", split, predicted.given),
            ("end_to_end", f"{split}_end_to_end", predicted.end_to_end),
        ):
            if documents is not None:
                write_brat(folder / split / place, documents)
                relations_jsonl.write(folder / f"{name}.jsonl", documents)
                page = relation_errors(gold, documents)
                (folder / f"{name}_errors.md").write_text(page, encoding="utf-8")

    def columns(self, facts: TaskFacts) -> tuple[str, ...]:
        return COLUMNS

    def output_keys(self, inputs: Inputs) -> set[str]:
        return {"entities", relations_jsonl.RELATIONS} | (
            {ID, "text"} - {inputs.id_column, inputs.text_column}
        )

    def rows(self, facts: TaskFacts, prediction: RelatedText, beside: list[str]) -> Iterator[list[str]]:
        """A row for each relation in the order of the text, or one without a relation."""
        order = {at: place for place, at in enumerate(by_place(prediction.entities))}
        confidences = prediction.confidences or (None,) * len(prediction.relations)
        pairs = zip(prediction.relations, confidences, strict=True)
        for relation, confidence in sorted(
            pairs, key=lambda pair: (order[pair[0].head], order[pair[0].tail])
        ):
            cells = [relation.label]
            for entity in (prediction.entities[relation.head], prediction.entities[relation.tail]):
                covered = prediction.text[entity.start : entity.end].translate(brat.SPACES)
                cells += [entity.label, str(entity.start), str(entity.end), covered]
            share = "" if confidence is None else f"{confidence:.{spans_jsonl.DIGITS}f}"
            yield [*beside, *cells, share]
        if not prediction.relations:
            yield [*beside, *[""] * len(COLUMNS)]

    def as_object(
        self, facts: TaskFacts, given: Input, prediction: RelatedText, inputs: Inputs
    ) -> dict[str, Any]:
        """Id, text, entities and relations, and the user's other fields without earlier lists of both."""
        others = {
            name: value
            for name, value in given.fields
            if name not in (ID, inputs.text_column) and not (name in LISTS and isinstance(value, list))
        }
        return {**relations_jsonl.as_item(prediction), **others}


def write_brat(folder: Path, documents: Sequence[AnnotatedText | RelatedText]) -> None:
    """Write a brat folder that holds exactly these documents; an existing folder is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for document in documents:
        brat_relations.write_document(folder, document)

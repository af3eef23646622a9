"""Predictions on disk, in the formats of the trade. They hold document text, and go nowhere else.

predictions/SPLIT/brat/NAME.txt NAME.ann    loadable by brat, scorable by BRATeval
predictions/SPLIT/gold/NAME.txt NAME.ann    what the corpus says, beside it
predictions/SPLIT.jsonl SPLIT.conll         the same as JSON lines and as IOB2 columns
predictions/SPLIT_errors.md                 what went wrong, for people
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText, LabelledText
from bertinchamps.metrics.error_analysis import error_analysis
from bertinchamps.spans import ByPlace, flat_entities
from bertinchamps.tasks.classification import TextClassification, TextLabeller
from bertinchamps.tasks.entities import word_tags
from bertinchamps.tasks.formats import brat, conll, json_lines, spans_jsonl
from bertinchamps.tasks.ner import EntityRecognition
from bertinchamps.tasks.sentences import sentences
from bertinchamps.tasks.windows import words_of


def write_predictions(
    folder: Path, task: EntityRecognition | TextClassification, split: str, predicted: Any
) -> None:
    """Write a split's predictions into a folder.

    Args:
        folder: made if it does not exist.
        task: that made them.
        split: its name.
        predicted: what `task.predict` returned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(task, TextClassification):
        json_lines.write(
            folder / f"{split}.jsonl", _class_lines(task.labeller, predicted, task.splits[split])
        )
        return
    gold = task.splits[split]
    write_brat(folder / split / "brat", predicted)
    write_brat(folder / split / "gold", gold)
    spans_jsonl.write(folder / f"{split}.jsonl", predicted)
    conll.write(folder / f"{split}.conll", tagged(predicted))
    (folder / f"{split}_errors.md").write_text(error_analysis(gold, predicted), encoding="utf-8")


def write_brat(folder: Path, documents: Sequence[AnnotatedText]) -> None:
    """A folder of brat that holds exactly these documents; an earlier one of that name is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for document in documents:
        brat.write_document(folder, document)


def tagged(documents: Iterable[AnnotatedText]) -> Iterator[conll.TaggedText]:
    """Sentences with IOB2 tags; of entities inside one another the longest is kept, as columns hold one tag.

    Sentences and words are those of the file that the document is from, where it said them.
    """
    for document in documents:
        flat = ByPlace(flat_entities(document))
        if document.words is not None:
            yield conll.TaggedText(document.text, document.words, word_tags(document.words, flat))
            continue
        for start, end in sentences(document.text):
            words = words_of(document.text, start, end)
            if words:
                yield conll.TaggedText(document.text, words, word_tags(words, flat))


def _class_lines(
    labeller: TextLabeller, logits: Any, examples: Sequence[LabelledText]
) -> Iterator[dict[str, Any]]:
    """An object for each example: its name, what was predicted, what is right, and how sure the model is."""
    rows = zip(examples, labeller.targets(logits), labeller.probabilities(logits), strict=True)
    for example, target, probabilities in rows:
        record = {
            "id": example.name,
            "predicted": plain(labeller.kind, target),
            "gold": plain(labeller.kind, example.target),
        }
        yield {**record, "probabilities": probabilities} if probabilities else record


def plain(kind: str, target: Any) -> Any:
    """A target as JSON has it: a class, a list of classes or a number."""
    if kind == "single_label":
        return target[0]
    return list(target) if kind == "multi_label" else target

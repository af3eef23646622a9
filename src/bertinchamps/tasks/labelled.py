"""Texts with what a model says of them, as `predict` writes them: what the user's file has, and the answer beside it.

    {"id": "P-77", "text": "Bon livre", "ward": "B2", "predicted": "good", "probabilities": {"good": 0.98, "bad": 0.02}}
    {"id": "P-77", "text": "Une toux", "entities": [{"start": 4, "end": 8, "label": "DISO", …}], "ward": "B2"}

In a table a text has one row where it gets classes, and one for each of its entities, or one without an entity.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.classification import TextLabeller
from bertinchamps.tasks.formats import brat, conll, displacy, spans_jsonl, tables
from bertinchamps.tasks.inputs import ID, Input, Inputs, unique
from bertinchamps.tasks.outputs import plain, tagged
from bertinchamps.textfiles import json_lines

ENTITY_COLUMNS = ("entity_type", "entity_start", "entity_end", "entity_text", "confidence")
PREDICTED, PROBABILITY, PROBABILITIES = "predicted", "probability", "probabilities"
ENTITIES = "entities"


class Answer(NamedTuple):
    """What a model says of a text: a class, any number of classes or a number, and the probability of each class."""

    target: str | list[str] | float
    probabilities: Mapping[str, float]


def answers_of(labeller: TextLabeller, logits: Any) -> list[Answer]:
    """What logits [texts, C] say of each text."""
    rows = zip(labeller.targets(logits), labeller.probabilities(logits), strict=True)
    return [Answer(plain(labeller.kind, target), probabilities) for target, probabilities in rows]


def write(
    place: Path | None,
    form: str,
    kind: str,
    labelled: Iterable[tuple[Input, Any]],
    inputs: Inputs,
    columns: Sequence[str],
) -> None:
    """Write texts with their answers, as they come.

    Args:
        place: a file, an empty folder for brat, or None for standard output.
        form: "brat", "jsonl", "csv", "tsv", "conll" or "html"; the last two and the first one for entities alone.
        kind: of the model.
        labelled: each text with an `Answer`, or with its document for entities.
        inputs: where the texts are from.
        columns: all that the rows of a table may have.
    """
    if form not in ("jsonl", "csv", "tsv"):
        _write_documents(cast(Path, place), form, (document for _, document in labelled))
        return
    with _opened(place) as stream:
        if form == "jsonl":
            as_object = partial(entity_object, inputs=inputs) if kind == "ner" else class_object
            for given, answer in labelled:
                stream.write(json_lines.line(as_object(given, answer)))
            return
        rows: Iterable[list[str]]
        if kind == "ner":
            added: tuple[str, ...] = ENTITY_COLUMNS
            dropped = inputs.text_column
            rows = (row for each in labelled for row in entity_rows(*each, columns, dropped))
        else:
            added, dropped = class_columns(kind), None
            rows = (class_row(*each, columns) for each in labelled)
        kept = [column for column in columns if column != dropped]
        tables.write(stream, [*kept, *added], rows, None if form == "tsv" else inputs.separator or ",")


def _write_documents(place: Path, form: str, documents: Iterable[AnnotatedText]) -> None:
    if form == "conll":
        conll.write(place, tagged(documents))
    elif form == "html":
        displacy.write_page(place, documents, place.name.split(".")[0])
    else:
        for document in documents:
            brat.write_document(place, document)


@contextmanager
def _opened(place: Path | None) -> Iterator[TextIO]:
    """A file, or standard output, for text in UTF-8 with the line ends as they are written."""
    where = sys.stdout.fileno() if place is None else place
    with open(where, "w", encoding="utf-8", newline="", closefd=place is not None) as stream:
        yield stream


def class_columns(kind: str) -> tuple[str, ...]:
    """The columns that a table gets beside those of the user."""
    return {
        "single_label": (PREDICTED, PROBABILITY),
        "multi_label": (PREDICTED, PROBABILITIES),
        "number": (PREDICTED,),
    }[kind]


def class_object(given: Input, answer: Answer) -> dict[str, Any]:
    """The object of a text in JSON lines."""
    said: dict[str, Any] = {PREDICTED: answer.target}
    if answer.probabilities:
        said[PROBABILITIES] = dict(answer.probabilities)
    return {**dict(given.fields), **said}


def class_row(given: Input, answer: Answer, columns: Sequence[str]) -> list[str]:
    """The row of a text in a table: the cells of these columns, and what `class_columns` names."""
    target, probabilities = answer
    if isinstance(target, list):
        said = [tables.joined(tuple(target)), tables.cell(dict(probabilities))]
    elif isinstance(target, str):
        said = [target, tables.cell(probabilities[target])]
    else:
        said = [tables.cell(target)]
    return [*_cells(given, columns, None), *said]


def entity_object(given: Input, document: AnnotatedText, inputs: Inputs) -> dict[str, Any]:
    """The object of a text in JSON lines: its name, its text and its entities, and whatever else the file has of it.

    Lists of entities that the file has are not written again: the new one stands for them.
    """
    others = {
        name: value
        for name, value in given.fields
        if name not in (ID, inputs.text_column)
        and not (name in spans_jsonl.LISTS and isinstance(value, list))
    }
    return {**spans_jsonl.as_item(document), **others}


def entity_rows(
    given: Input, document: AnnotatedText, columns: Sequence[str], text_column: str | None
) -> Iterator[list[str]]:
    """The rows of a text in a table: the cells of these columns but for the text, and ENTITY_COLUMNS."""
    beside = _cells(given, columns, text_column)
    for entity, confidence in document.by_place():
        covered = document.text[entity.start : entity.end].translate(brat.SPACES)
        share = "" if confidence is None else f"{confidence:.{spans_jsonl.DIGITS}f}"
        yield [*beside, entity.label, str(entity.start), str(entity.end), covered, share]
    if not document.entities:
        yield [*beside, *[""] * len(ENTITY_COLUMNS)]


def _cells(given: Input, columns: Sequence[str], dropped: str | None) -> list[str]:
    """The cells of the columns, of which some may stand twice, in their order."""
    if [name for name, _ in given.fields] == list(columns):
        return [tables.cell(value) for name, value in given.fields if name != dropped]
    fields = dict(given.fields)  # of JSON lines, whose objects may have other keys, and in another order
    return [tables.cell(fields.get(column)) for column in columns if column != dropped]


def checker(kind: str, form: str, inputs: Inputs) -> Callable[[Input], None]:
    """What raises UserError for a text that the format cannot hold beside its answer.

    Args:
        kind: of the model.
        form: "brat", "jsonl", "csv", "tsv", "conll" or "html".
        inputs: the texts.
    """
    if form == "brat":
        return _brat_checker()
    if form in ("conll", "html"):
        return lambda given: None
    taken = _taken(kind, form, inputs)

    def check(given: Input) -> None:
        names = [name for name, _ in given.fields]
        for name in taken & set(names):
            if not (name == ENTITIES and isinstance(dict(given.fields)[name], list)):
                raise UserError(
                    f"{given.place}: a column is called {name!r}, as one that is to be written is; rename it"
                )
        if form == "jsonl":
            if len(set(names)) < len(names):
                raise UserError(
                    f"{given.place}: two columns have one name, which JSON cannot hold; write a .csv"
                )
            return
        for name, value in given.fields:
            written = tables.cell(value)
            if not json_lines.is_text(written):
                raise UserError(f"{given.place}: a field {json_lines.HALF}, or write .jsonl")
            dropped = kind == "ner" and name == inputs.text_column
            if form == "tsv" and not (dropped or (tables.fits_tsv(written) and tables.fits_tsv(name))):
                raise UserError(
                    f"{given.place}: a field has a tab or a line end, which a .tsv cannot hold; write a .csv"
                )

    return check


def _taken(kind: str, form: str, inputs: Inputs) -> set[str]:
    """The names of columns that are written beside those of the user."""
    if form != "jsonl":
        return set(ENTITY_COLUMNS if kind == "ner" else class_columns(kind))
    if kind != "ner":
        return {PREDICTED, PROBABILITIES}
    return {ENTITIES} | ({ID, "text"} - {inputs.id_column, inputs.text_column})


def _brat_checker() -> Callable[[Input], None]:
    is_new = unique(())

    def check(given: Input) -> None:
        if not is_new(brat.file_name(given.name)):
            raise UserError(
                f"{given.place}: its id is also that of an earlier text, and brat names files by ids; give each its"
                " own, or write .jsonl"
            )

    return check

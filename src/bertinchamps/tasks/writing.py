"""Writes the output of `predict`: the user's fields of each text, and the prediction beside them.

    {"id": "P-77", "text": "Bon livre", "ward": "B2", "predicted": "good", "probabilities": {"good": 0.98, "bad": 0.02}}
    {"id": "P-77", "text": "Une toux", "entities": [{"start": 4, "end": 8, "label": "DISO", …}], "ward": "B2"}

A table has one row a text for classes, and one row an entity for entities.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.formats import (
    brat,
    brat_relations,
    conll,
    displacy,
    doccano,
    label_studio,
    prodigy,
    relations_jsonl,
    tables,
    xmi_writing,
)
from bertinchamps.tasks.inputs import Input, Inputs, unique
from bertinchamps.tasks.journal import Journal
from bertinchamps.tasks.kinds import Kind
from bertinchamps.tasks.outputs import FOLDERS
from bertinchamps.tasks.tagging.columns import tagged
from bertinchamps.textfiles import json_lines

LISTS = ("entities", relations_jsonl.RELATIONS)  # what predictions replace in the user's objects
ROWS = ("jsonl", "csv", "tsv")  # formats that keep the user's other fields
# What annotation tools import: path, objects of JSON lines, model → the file; they keep the other fields, too.
TOOLS = {"label_studio": label_studio.write, "doccano": doccano.write, "prodigy": prodigy.write}
OWN_KEYS = {"doccano": {doccano.LABEL}}  # of a tool's file beside those of JSON lines


def write(
    place: Path | None,
    form: str,
    kind: Kind,
    facts: TaskFacts,
    labelled: Iterable[tuple[Input, Any]],
    inputs: Inputs,
    columns: Sequence[str],
    journal: Journal | None = None,
) -> None:
    """Write texts with their predictions, as they come.

    Args:
        place: a file, an empty folder for brat, or None for standard output.
        form: one of the kind's formats.
        kind: of the model.
        facts: of the model.
        labelled: each text with its prediction.
        inputs: where the texts are from.
        columns: all columns of the texts' rows.
        journal: of what is there already, for formats of ROWS.
    """
    if form in TOOLS:
        objects = (kind.as_object(facts, given, prediction, inputs) for given, prediction in labelled)
        TOOLS[form](cast(Path, place), objects, facts.title)
        return
    if form not in ROWS:
        _write_documents(cast(Path, place), form, (document for _, document in labelled))
        return
    begun = journal is not None and journal.done > 0
    with _opened(place, begun) as stream:
        if journal is not None:
            journal.go_on(stream)
        if form == "jsonl":
            for given, prediction in labelled:
                stream.write(json_lines.line(kind.as_object(facts, given, prediction, inputs)))
            return
        dropped = None if kind.keeps_text else inputs.text_column
        rows = (
            row
            for given, prediction in labelled
            for row in kind.rows(facts, prediction, cells(given, columns, dropped))
        )
        kept = [column for column in columns if column != dropped]
        header = [*kept, *kind.columns(facts)]
        separator = None if form == "tsv" else inputs.separator or ","
        tables.write(stream, None if begun else header, rows, separator)


def _write_documents(place: Path, form: str, documents: Iterable[AnnotatedText]) -> None:
    if form == "conll":
        conll.write(place, tagged(documents))
    elif form == "html":
        displacy.write_page(place, documents, place.name.split(".")[0])
    elif form == "xmi":
        for document in documents:
            xmi_writing.write_document(place, document)
    else:
        for document in documents:
            brat_relations.write_document(place, document, annotated=form != "txt")


@contextmanager
def _opened(place: Path | None, begun: bool) -> Iterator[TextIO]:
    """A file, which may have been begun, or standard output, for UTF-8 text; line ends are written unchanged."""
    where = sys.stdout.fileno() if place is None else place
    with open(
        where, "r+" if begun else "w", encoding="utf-8", newline="", closefd=place is not None
    ) as stream:
        yield stream


def cells(given: Input, columns: Sequence[str], dropped: str | None) -> list[str]:
    """The cells of the columns in order; a column may occur twice."""
    if [name for name, _ in given.fields] == list(columns):
        return [tables.cell(value) for name, value in given.fields if name != dropped]
    fields = dict(given.fields)  # of JSON lines, whose objects may differ in keys and their order
    return [tables.cell(fields.get(column)) for column in columns if column != dropped]


def checker(kind: Kind, facts: TaskFacts, form: str, inputs: Inputs) -> Callable[[Input], None]:
    """A function that raises UserError for a text that the format cannot hold beside its prediction.

    Args:
        kind: of the model.
        facts: of the model.
        form: one of the kind's formats.
        inputs: the texts.
    """
    if form in FOLDERS:
        return _folder_checker(form)
    if form not in (*ROWS, *TOOLS):
        return lambda given: None
    in_json = form not in ROWS or form == "jsonl"
    taken = kind.output_keys(inputs) | OWN_KEYS.get(form, set()) if in_json else set(kind.columns(facts))
    dropped = None if kind.keeps_text else inputs.text_column

    def check(given: Input) -> None:
        _refuse_taken(given, taken)
        if in_json:
            _refuse_twins(given)
        else:
            _refuse_cells(given, form, dropped)

    return check


def _refuse_taken(given: Input, taken: set[str]) -> None:
    names = [name for name, _ in given.fields]
    for name in taken & set(names):
        if not (name in LISTS and isinstance(dict(given.fields)[name], list)):
            raise UserError(
                f"{given.place}: a column is called {name!r}, which is also a column of the output; rename it"
            )


def _refuse_twins(given: Input) -> None:
    names = [name for name, _ in given.fields]
    if len(set(names)) < len(names):
        raise UserError(
            f"{given.place}: two columns have the same name, which JSON cannot hold; write a .csv"
        )


def _refuse_cells(given: Input, form: str, dropped: str | None) -> None:
    for name, value in given.fields:
        written = tables.cell(value)
        if not json_lines.is_text(written):
            raise UserError(f"{given.place}: a field {json_lines.HALF}, or write .jsonl")
        fits = tables.fits_tsv(written) and tables.fits_tsv(name)
        if form == "tsv" and name != dropped and not fits:
            raise UserError(
                f"{given.place}: a field has a tab or a line end, which a .tsv cannot hold; write a .csv"
            )


def _folder_checker(form: str) -> Callable[[Input], None]:
    is_new = unique(())

    def check(given: Input) -> None:
        if not is_new(brat.file_name(given.name)):
            raise UserError(
                f"{given.place}: its id is also that of an earlier text, and its file is named by it; give each "
                "text an id of its own, or write .jsonl"
            )
        if form == "xmi" and not xmi_writing.fits(given.text):
            raise UserError(
                f"{given.place}: a control character, which XML cannot hold; remove it, or write another format"
            )

    return check

"""The texts that `predict` labels, streamed from files, folders and tables with their other columns.

The input is read twice: once to report all that is wrong before anything is computed, then in portions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.formats import annotated_files, brat, brat_relations, conll, spans_jsonl, tables
from bertinchamps.tasks.formats.json_lines import string
from bertinchamps.tasks.tagging.windows import Words
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.limits import Room, key, limits, remedy
from bertinchamps.textfiles.opening import whole, within
from bertinchamps.textfiles.tables import QUOTED_TSV, in_quotes

STREAM = "-"
ID = "id"  # the default column of ids
TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 4096, 1 << 21  # of a portion in memory; many enough to batch by length
KNOWN = "a folder of .txt, .txt, and .csv .tsv .jsonl, each of which may be .gz or .zst"


class Input(NamedTuple):
    """One text to label.

    Attributes:
        name: the id, or else file and line; brat files are named after it.
        text: the text.
        place: file and line, for messages.
        pair: the second text, for models of pairs.
        words: character ranges of words, where the file has words; the text is one sentence then.
        entities: the text's entities, where they are asked for.
        fields: (column, value) of the text's row, the id included; a table may have a column twice.
    """

    name: str
    text: str
    place: str
    pair: str | None = None
    words: Words | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    entities: tuple[Entity, ...] | None = None


@dataclass(frozen=True)
class Inputs:
    """All texts to label; they can be read repeatedly.

    Attributes:
        read: a new iterator over the texts.
        id_column: the column of ids.
        text_column: the column of texts; None for files of plain text.
        separator: of a `.csv`; None for other files.
        quotes: whether quotes are ordinary characters, as in a `.tsv`.
        bad: records that cannot be read, as the last reading found them.
    """

    read: Callable[[], Iterator[Input]]
    id_column: str = ID
    text_column: str | None = None
    separator: str | None = None
    quotes: bool = False
    bad: BadRecords = STOP

    def portions(self) -> Iterator[list[Input]]:
        """Lists of texts in order, each of TEXTS_AT_ONCE texts or CHARACTERS_AT_ONCE characters."""
        portion: list[Input] = []
        size = 0
        for given in self.read():
            portion.append(given)
            size += len(given.text) + len(given.pair or "")
            if len(portion) >= TEXTS_AT_ONCE or size >= CHARACTERS_AT_ONCE:
                yield portion
                portion, size = [], 0
        if portion:
            yield portion


def open_inputs(
    config: PredictConfig, words: bool, pairs: bool, entities: bool = False, annotated: bool = False
) -> Inputs:
    """Open the texts to label.

    Args:
        config: input and columns.
        words: CoNLL files are allowed, and names of texts must be usable as file names (`Kind.reads_words`).
        pairs: the model reads pairs of texts.
        entities: the entities of the texts are read as well, from brat files, JSON lines or XMI.
        annotated: entities of a brat folder are read where there are any.

    Raises:
        UserError: the format is unknown or has no entities, a table lacks a column, or a model of pairs gets single
            texts.
    """
    if (config.pair_field is not None) != pairs:
        raise UserError(
            f"pair_field={config.pair_field}: the model reads "
            + ("pairs; name the key or column of the second text" if pairs else "one text at a time")
        )
    columns = tables.Columns(config.text_field, config.pair_field, None, setting="{}_field")
    bad = BadRecords(config.on_error)
    if entities:
        return _with_entities(config, columns, bad)
    inputs = _open(config.input, words, columns, config.id_field, annotated, bad)
    if pairs and inputs.text_column is None:
        raise UserError(
            f"input={config.input}: single texts, but the model reads pairs: give a .csv, .tsv or .jsonl of pairs"
        )
    return inputs


def _open(
    source: str,
    words: bool,
    columns: tables.Columns,
    id_field: str | None,
    annotated: bool,
    bad: BadRecords,
) -> Inputs:
    if source == STREAM:
        text = brat.decoded(within(sys.stdin.buffer, Room("standard input")), "standard input")
        return Inputs(lambda: iter([_alone("stdin", text, "standard input")]))
    path = Path(source).expanduser()
    if path.is_dir():
        return Inputs(lambda: _documents(brat.read_texts(path, annotated, bad.anew())), bad=bad)
    if path.suffix == ".txt":
        return Inputs(lambda: iter([_alone(path.stem, _whole(path), str(path))]))
    if words and conll.is_named_so(path):
        return Inputs(lambda: _sentences(path, bad.anew()), bad=bad)
    suffix = tables.format_of(path)
    if suffix is None:
        more = f", and {' '.join(conll.SUFFIXES)}" if words else ""
        raise UserError(f"{path}: unknown kind of file; known are {KNOWN}{more}")
    separator = tables.open_rows(path, _wanted(columns, id_field)).separator
    return Inputs(
        lambda: _rows(path, words, columns, id_field, bad.anew()),
        id_field or ID,
        columns.text,
        separator if suffix == ".csv" else None,
        suffix == ".tsv",
        bad,
    )


def _with_entities(config: PredictConfig, columns: tables.Columns, bad: BadRecords) -> Inputs:
    source, id_field = config.input, config.id_field
    path = Path(source).expanduser()
    form = annotated_files.form_of(path) if source != STREAM else None
    if form == "xmi":
        return Inputs(
            lambda: _documents(annotated_files.stream_xmi(path, config.layers, bad.anew())), bad=bad
        )
    if form == "brat" and path.is_dir():
        return Inputs(lambda: _documents(brat_relations.read_entities(path, bad.anew())), bad=bad)
    if source == STREAM or tables.format_of(path) != ".jsonl":
        raise UserError(
            f"input={source}: no entities in it, and the model finds relations between entities: give a brat folder, "
            ".jsonl with lists of entities, or XMI; or let a model find them (ner=MODEL)"
        )

    def rows() -> Iterator[Input]:
        for given in _rows(path, True, columns, id_field, bad.anew()):
            with bad.record():
                found = spans_jsonl.entities_of(dict(given.fields), given.text, given.place)
                yield given._replace(entities=tuple(sorted(found)))

    return Inputs(rows, id_field or ID, columns.text, bad=bad)


def _documents(documents: Iterable[AnnotatedText]) -> Iterator[Input]:
    for each in documents:
        yield _alone(each.name, each.text, each.name)._replace(entities=each.entities)


def _alone(name: str, text: str, place: str, words: Words | None = None) -> Input:
    """A text without other columns."""
    return Input(name, text, place, words=words, fields=((ID, name),))


def _whole(path: Path) -> str:
    return brat.decoded(whole(path), str(path))


def _sentences(path: Path, bad: BadRecords) -> Iterator[Input]:
    for each in conll.read(path, annotated=False, bad=bad):
        yield _alone(each.name, each.text, each.name, each.words)


def _wanted(columns: tables.Columns, id_field: str | None) -> dict[str, str]:
    return columns.wanted() | ({id_field: "id_field"} if id_field else {})


def _rows(
    path: Path, words: bool, columns: tables.Columns, id_field: str | None, bad: BadRecords
) -> Iterator[Input]:
    some = False
    for row in tables.open_rows(path, _wanted(columns, id_field), bad=bad).rows:
        some = True
        with bad.record():
            yield _of_row(path, row, words, columns, id_field or ID)
    if not (some or bad.count):
        raise UserError(f"{path}: no row in it")


def _of_row(path: Path, given: tables.Row, words: bool, columns: tables.Columns, id_column: str) -> Input:
    fields, place = tuple(zip(given.names, given.cells, strict=True)), f"{path}: {given.where}"
    row = dict(fields)
    text = string(row, columns.text, place, "text_field")
    pair = string(row, columns.pair, place, "pair_field") if columns.pair else None
    name = _identity(row.get(id_column), f"{place}: column {id_column!r}")
    if not name:  # a file of brat has no comma in its name
        stem = path.name.split(".")[0]
        name = f"{stem}-{given.where.replace(' ', '-')}" if words else f"{path.name}, {given.where}"
    if id_column not in row:
        fields = ((id_column, name), *fields)
    return Input(name, text, place, pair, None, fields)


def _identity(value: Any, where: str) -> str:
    """A string or a number as an id; "" for any other value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if not json_lines.is_text(str(value)):
        raise UserError(f"{where}: {json_lines.HALF}")
    return str(value).strip()


class Survey(NamedTuple):
    """What the first pass over all texts found.

    Attributes:
        texts: how many.
        columns: those of all rows, in order of first occurrence; for a table, those of the header.
        quoted: texts of a `.tsv` that begin and end with a quote.
    """

    texts: int
    columns: tuple[str, ...]
    quoted: int

    def notes(self) -> list[str]:
        """Warnings to print before labelling starts."""
        if not self.quoted:
            return []
        return [f"{self.quoted:,} of {self.texts:,} texts are in quotes, which are kept: {QUOTED_TSV}"]


def survey(inputs: Inputs, check: Callable[[Input], None]) -> Survey:
    """Read all texts once.

    Args:
        inputs: the texts.
        check: raises UserError for a text that the output format cannot hold.

    Raises:
        UserError: a text cannot be read or written, most records cannot be read, or the rows have too many different
            keys.
    """
    columns: dict[str, None] = {}
    header: tuple[str, ...] = ()
    texts = quoted = 0
    for given in inputs.read():
        texts += 1
        check(given)
        quoted += inputs.quotes and in_quotes(given.text)
        names = tuple(name for name, _ in given.fields)
        header = header or names
        if names != header or texts == 1:
            columns.update(dict.fromkeys(names))
        if len(columns) > limits().columns:
            raise UserError(
                f"{given.place}: more than {limits().columns:,} different keys, which cannot all be columns; "
                f"{remedy(key('columns'))}"
            )
    inputs.bad.check(texts)
    same = len(columns) <= len(header) and set(columns) == set(header)
    return Survey(texts, header if same else tuple(columns), quoted)


def unique(names: Iterable[str]) -> Callable[[str], bool]:
    """A function that is true for the first occurrence of a name; `names` occurred before. Only hashes are stored."""
    seen = set(map(hash, names))

    def is_new(name: str) -> bool:
        size = len(seen)
        seen.add(hash(name))
        return len(seen) > size

    return is_new

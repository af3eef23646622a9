"""What `predict` labels: the texts of files, folders and tables, one after the other, with all that stands beside them.

They are read twice: first as a whole, so that whatever is wrong is told before anything is computed, then in portions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.errors import UserError
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.formats import brat, conll, tables
from bertinchamps.tasks.formats.json_lines import string
from bertinchamps.tasks.tagging.windows import Words
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.opening import whole
from bertinchamps.textfiles.tables import QUOTED_TSV, in_quotes

STREAM = "-"
ID = "id"  # the column of names where none is named
TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 4096, 1 << 21  # of a portion in memory; enough to have many of a length
MOST_COLUMNS = 10_000
KNOWN = "a folder of .txt, .txt, and .csv .tsv .jsonl, each of which may be .gz or .zst"


class Input(NamedTuple):
    """One text to label.

    Attributes:
        name: its id where it has one, or its file and place; names its files of brat.
        text: the text.
        place: file and place, for messages.
        pair: the second text, for models of pairs.
        words: of its one sentence, where the file says them.
        fields: what the file has of it, column by column, its name among them; a column of a table may stand twice.
    """

    name: str
    text: str
    place: str
    pair: str | None = None
    words: Words | None = None
    fields: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Inputs:
    """All texts to label, as often as they are asked for.

    Attributes:
        read: reads them.
        id_column: the column of names.
        text_column: the column of texts; None where the files hold nothing else.
        separator: of the `.csv` that they are from; None for other files.
        quotes: whether a quote is a character like any other there, as in a `.tsv`.
    """

    read: Callable[[], Iterator[Input]]
    id_column: str = ID
    text_column: str | None = None
    separator: str | None = None
    quotes: bool = False

    def portions(self) -> Iterator[list[Input]]:
        """The texts in their order, TEXTS_AT_ONCE or as many as have CHARACTERS_AT_ONCE."""
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


def open_inputs(config: PredictConfig, words: bool, pairs: bool) -> Inputs:
    """The texts to label, if they are what the model reads.

    Args:
        config: input and columns.
        words: files of words (CoNLL) are read, too, and names of texts are to be names of files (`Kind.reads_words`).
        pairs: the model reads pairs of texts.

    Raises:
        UserError: the name tells no known format, a table lacks a column, or single texts are given for pairs.
    """
    if (config.pair_field is not None) != pairs:
        raise UserError(
            f"pair_field={config.pair_field}: the model reads "
            + ("pairs; name the key or column of the second text" if pairs else "one text at a time")
        )
    columns = tables.Columns(config.text_field, config.pair_field, None, setting="{}_field")
    inputs = _open(config.input, words, columns, config.id_field)
    if pairs and inputs.text_column is None:
        raise UserError(
            f"input={config.input}: single texts, and the model reads pairs: give a .csv, .tsv or .jsonl with both"
        )
    return inputs


def _open(source: str, words: bool, columns: tables.Columns, id_field: str | None) -> Inputs:
    if source == STREAM:
        text = brat.decoded(sys.stdin.buffer.read(), "standard input")
        return Inputs(lambda: iter([_alone("stdin", text, "standard input")]))
    path = Path(source).expanduser()
    if path.is_dir():
        return Inputs(lambda: (_alone(each.name, each.text, each.name) for each in brat.read_texts(path)))
    if path.suffix == ".txt":
        return Inputs(lambda: iter([_alone(path.stem, _whole(path), str(path))]))
    if words and conll.is_named_so(path):
        return Inputs(lambda: _sentences(path))
    suffix = tables.format_of(path)
    if suffix is None:
        more = f", and {' '.join(conll.SUFFIXES)}" if words else ""
        raise UserError(f"{path}: unknown kind of file; known are {KNOWN}{more}")
    wanted = columns.wanted() | ({id_field: "id_field"} if id_field else {})
    separator = tables.open_rows(path, wanted).separator
    return Inputs(
        lambda: _rows(path, words, columns, wanted, id_field),
        id_field or ID,
        columns.text,
        separator if suffix == ".csv" else None,
        suffix == ".tsv",
    )


def _alone(name: str, text: str, place: str, words: Words | None = None) -> Input:
    """A text with nothing beside it but its name."""
    return Input(name, text, place, words=words, fields=((ID, name),))


def _whole(path: Path) -> str:
    return brat.decoded(whole(path), str(path))


def _sentences(path: Path) -> Iterator[Input]:
    for each in conll.read(path, annotated=False):
        yield _alone(each.name, each.text, each.name, each.words)


def _rows(
    path: Path, words: bool, columns: tables.Columns, wanted: dict[str, str], id_field: str | None
) -> Iterator[Input]:
    id_column = id_field or ID
    some = False
    for where, names, cells in tables.open_rows(path, wanted).rows:
        some = True
        fields, place = tuple(zip(names, cells, strict=True)), f"{path}: {where}"
        row = dict(fields)
        text = string(row, columns.text, place, "text_field")
        pair = string(row, columns.pair, place, "pair_field") if columns.pair else None
        name = _identity(row.get(id_column), f"{place}: column {id_column!r}")
        if not name:  # a file of brat has no comma in its name
            stem = path.name.split(".")[0]
            name = f"{stem}-{where.replace(' ', '-')}" if words else f"{path.name}, {where}"
        if id_column not in row:
            fields = ((id_column, name), *fields)
        yield Input(name, text, place, pair, None, fields)
    if not some:
        raise UserError(f"{path}: no row in it")


def _identity(value: Any, where: str) -> str:
    """A text or a number as a name; nothing for whatever else stands there."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if not json_lines.is_text(str(value)):
        raise UserError(f"{where}: {json_lines.HALF}")
    return str(value).strip()


class Survey(NamedTuple):
    """What a first reading of all texts found.

    Attributes:
        texts: how many.
        columns: all that the rows have, in the order in which they are met; of a table as its header has them.
        quoted: texts of a `.tsv` in quotes that perhaps enclose them.
    """

    texts: int
    columns: tuple[str, ...]
    quoted: int

    def notes(self) -> list[str]:
        """What the user may want to know before all texts are labelled."""
        if not self.quoted:
            return []
        return [f"{self.quoted:,} of {self.texts:,} texts are in quotes, which are kept: {QUOTED_TSV}"]


def survey(inputs: Inputs, check: Callable[[Input], None]) -> Survey:
    """Read all texts once.

    Args:
        inputs: the texts.
        check: raises UserError for one that cannot be written again.

    Raises:
        UserError: a text cannot be read, see `check`, or rows have more different keys than columns can be.
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
        if len(columns) > MOST_COLUMNS:
            raise UserError(f"{given.place}: more than {MOST_COLUMNS:,} different keys are no columns")
    same = len(columns) <= len(header) and set(columns) == set(header)
    return Survey(texts, header if same else tuple(columns), quoted)


def unique(names: Iterable[str]) -> Callable[[str], bool]:
    """Whether a name was not seen before, in little memory; begins with some that were."""
    seen = set(map(hash, names))

    def is_new(name: str) -> bool:
        size = len(seen)
        seen.add(hash(name))
        return len(seen) > size

    return is_new

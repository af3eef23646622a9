"""Words with IOB2 or BIOES tags in columns, as the shared tasks of CoNLL wrote them (Tjong Kim Sang, 2003).

    -DOCSTART- -X- O

    # text = Fracture du col
    Fracture N B-DISO
    du P I-DISO
    col N I-DISO

The word is the first column and its tag the last; a blank line ends a sentence. Columns are separated by tabs, or,
in a line without one, by spaces. A line that begins with "# " and does not end with a tag is a comment. Each
sentence is a document; its text is its words with one space between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.data.sources.readers_bytes import Progress, decoded, lines
from bertinchamps.errors import UserError

TAG = re.compile(r"O|([BIES])-(\S+)")
DOCUMENT_START = "-DOCSTART-"


class TaggedText(NamedTuple):
    """A text with a tag for each of its words.

    Attributes:
        text: the text.
        words: half-open character ranges (start, end) of its words, in order; no word holds a blank.
        tags: one a word, such as "B-DISO", "I-DISO" or "O".
    """

    text: str
    words: Sequence[tuple[int, int]]
    tags: Sequence[str]


def read(path: Path) -> list[AnnotatedText]:
    """The sentences of a file, plain, `.gz` or `.zst`; each is named by the line of its first word.

    Raises:
        UserError: a line lacks a word or a tag, or a tag does not fit its place; there is no sentence.
    """
    documents = [_document(path, sentence) for sentence in _sentences(path)]
    if not documents:
        raise UserError(f"{path}: no sentence in it; a line holds a word, and its tag in the last column")
    return documents


def document(words: Sequence[str], tags: Sequence[str], name: str, places: Sequence[str]) -> AnnotatedText:
    """The words with one space between them, and the entities that the tags spell.

    Args:
        words: the words.
        tags: IOB2 or BIOES, one a word.
        name: of the document.
        places: where each word is, for messages.

    Raises:
        UserError: a tag is none, or goes on with an entity that was not begun.
    """
    entities: list[Entity] = []
    position, label, start, end = 0, "", 0, 0  # label: that of the entity being read, or nothing
    for word, tag, place in zip(words, tags, places, strict=True):
        prefix, kind = _parts(tag, place)
        if prefix in "IE" and kind != label:
            raise UserError(
                f"{place}: {tag} goes on with an entity that was not begun; an entity begins with B-"
                f" (IOB2) or is one word with S- (BIOES); write IOB1 files as IOB2"
            )
        if label and prefix not in "IE":
            entities.append(Entity(label, ((start, end),)))
        if prefix in "BS":
            start = position
        end, label = position + len(word), kind
        if prefix in "ES":
            entities.append(Entity(kind, ((start, end),)))
            label = ""
        position = end + 1
    if label:
        entities.append(Entity(label, ((start, end),)))
    return AnnotatedText(name, " ".join(words), tuple(sorted(entities)))


def write(path: Path, documents: Iterable[TaggedText]) -> None:
    """A line a word, word and tag separated by a tab, and a blank line after each document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        for text, words, tags in documents:
            rows = [f"{text[start:end]}\t{tag}\n" for (start, end), tag in zip(words, tags, strict=True)]
            file.write("".join(rows) + "\n")


Row = tuple[int, str, str]  # line number, word, tag


def _sentences(path: Path) -> Iterator[list[Row]]:
    sentence: list[Row] = []
    for number, content in lines(path, Progress()):
        line = decoded(path, number, content).rstrip("\r\n")
        columns = line.split("\t") if "\t" in line else [part for part in line.split(" ") if part]
        if not any(columns):
            if sentence:
                yield sentence
            sentence = []
        elif columns[0] != DOCUMENT_START and not (line.startswith("# ") and not TAG.fullmatch(columns[-1])):
            if len(columns) < 2 or not columns[0]:
                raise UserError(
                    f"{path}: line {number}: a word and its tag are needed, separated by a tab or a space"
                )
            sentence.append((number, columns[0], columns[-1]))
    if sentence:
        yield sentence


def _document(path: Path, sentence: list[Row]) -> AnnotatedText:
    numbers, words, tags = zip(*sentence, strict=True)
    places = [f"{path}: line {number}" for number in numbers]
    return document(words, tags, f"{path.name.split('.')[0]}-line-{numbers[0]}", places)


def _parts(tag: str, place: str) -> tuple[str, str]:
    """Prefix and type: ("B", "DISO"), or ("O", "")."""
    match = TAG.fullmatch(tag)
    if match is None:  # the last column may be a word of the text, so it is not quoted
        raise UserError(
            f"{place}: the last column is no tag; tags are O, B-TYPE, I-TYPE, and in BIOES E-TYPE, S-TYPE"
        )
    return match[1] or "O", match[2] or ""

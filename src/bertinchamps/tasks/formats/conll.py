"""Words with tags in columns, as the shared tasks of CoNLL wrote them (Tjong Kim Sang, 2003).

    -DOCSTART- -X- O

    # text = Fracture du col
    Fracture N B-DISO
    du P I-DISO
    col N I-DISO

By default the first column is the word, and the last column its tag. Each sentence is a document, whose text is the
words with one space between them. A scheme decides what tags mean:

    auto    IOB2 or BIOES; other tags are refused
    iob2    B-TYPE begins an entity, I-TYPE continues it
    bioes   as iob2; E-TYPE ends an entity, and S-TYPE is an entity of one word
    iob1    I-TYPE begins or continues; B-TYPE begins after an entity of the same type
    io      I-TYPE, or TYPE alone: consecutive words of one type are one entity
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.textfiles import conll_rows
from bertinchamps.textfiles.bad_records import STOP, BadRecords
from bertinchamps.textfiles.conll_rows import Row
from bertinchamps.textfiles.json_lines import is_text
from bertinchamps.textfiles.lines import not_utf8
from bertinchamps.textfiles.opening import unpacked_name

TAGS = {
    "auto": re.compile(r"O|([BIES])-(\S.*)"),
    "iob2": re.compile(r"O|([BI])-(\S.*)"),
    "bioes": re.compile(r"O|([BIES])-(\S.*)"),
    "iob1": re.compile(r"O|([BI])-(\S.*)"),
    "io": re.compile(r"O|(I)-(\S.*)|(?![BES]-)(\S.*)"),
}
SUFFIXES = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes")
BEGIN_WITHOUT_B = ("iob1", "io")
LINE_ENDS = str.maketrans("\t\n\r", "   ")


class Layout(NamedTuple):
    """The columns of words and tags, counted from 1, and the scheme of the tags.

    Attributes:
        word: the column of words.
        label: the column of tags; None: the last one.
        scheme: one of TAGS.
    """

    word: int = 1
    label: int | None = None
    scheme: str = "auto"

    def is_tag(self, cell: str) -> bool:
        """Whether a cell is a tag of the scheme."""
        return TAGS[self.scheme].fullmatch(cell) is not None


class TaggedText(NamedTuple):
    """A text with a tag for each of its words.

    Attributes:
        text: the text.
        words: half-open character ranges (start, end) of its words, in order.
        tags: one a word, such as "B-DISO", "I-DISO" or "O".
    """

    text: str
    words: Sequence[tuple[int, int]]
    tags: Sequence[str]


FIRST_AND_LAST = Layout()


def is_named_so(path: Path) -> bool:
    """Whether the file has a suffix that only CoNLL files have."""
    return unpacked_name(path).endswith(SUFFIXES)


def read(
    path: Path, layout: Layout = FIRST_AND_LAST, annotated: bool = True, bad: BadRecords = STOP
) -> list[AnnotatedText]:
    """The sentences of a file, plain, `.gz` or `.zst`; each is named by the line of its first word.

    Args:
        path: the file.
        layout: columns and scheme.
        annotated: whether each word must have its tag; otherwise only the words are read, from the second column
            where the first column numbers the words.
        bad: what is done with sentences that cannot be read.

    Raises:
        UserError: a line lacks a word or a tag; a tag does not fit the scheme; the column of words has no words; or
            there is no sentence.
    """
    found = conll_rows.sentences(path, layout.is_tag if annotated else lambda cell: True, bad.skips)
    if not found:
        raise UserError(f"{path}: no sentence in it; a line holds a word, and its tag in the last column")
    judged = found
    if bad.skips:  # a line that lacks columns says nothing of those of the file
        found = list(_complete(path, found, layout, annotated, bad))
        judged = [rows for rows in found if all(len(row.columns) > 2 for row in rows)] or found
    if not found:
        return []
    counted = conll_rows.is_count(judged, gaps=bad.skips)
    if annotated:
        _check_columns(path, judged, layout, counted)
    elif counted:
        layout = layout._replace(word=max(2, layout.word))
    if counted:  # contractions such as 2-3, whose words follow
        found = [
            [row for row in sentence if not conll_rows.PART_OF_WORDS.fullmatch(row.columns[0])]
            for sentence in found
        ]
    documents = []
    for sentence in filter(None, found):
        with bad.record():
            documents.append(_document(path, sentence, layout, annotated))
    return documents


def _complete(
    path: Path, found: Sequence[list[Row]], layout: Layout, annotated: bool, bad: BadRecords
) -> Iterator[list[Row]]:
    """The sentences that are text and have the columns that are needed."""
    for sentence in found:
        with bad.record():
            for line, columns in sentence:
                if not all(map(is_text, columns)):
                    raise not_utf8(path, f"line {line}")
            _check_rows(path, sentence, layout, annotated)
            yield sentence


def document(
    words: Sequence[str], tags: Sequence[str], name: str, places: Sequence[str], scheme: str = "auto"
) -> AnnotatedText:
    """The words with one space between them, and the entities of the tags.

    Args:
        words: the words.
        tags: one a word.
        name: of the document.
        places: where each word is, for messages.
        scheme: one of TAGS.

    Raises:
        UserError: a word is empty, a tag is unknown, or a tag continues an entity that was not begun.
    """
    entities: list[Entity] = []
    ranges: list[tuple[int, int]] = []
    position, label, start, end = 0, "", 0, 0  # label: of the open entity, or ""
    for word, tag, place in zip(words, tags, places, strict=True):
        if not word:
            raise UserError(f"{place}: an empty word")
        prefix, kind = _parts(tag, place, scheme)
        if prefix in "IE" and kind != label:
            prefix = "B"
            if scheme not in BEGIN_WITHOUT_B:
                raise UserError(
                    f"{place}: the tag continues an entity that was not begun: an entity begins with B- (IOB2), or is "
                    "one word with S- (BIOES); where I- begins entities, set task.scheme=iob1 or task.scheme=io"
                )
        if label and prefix not in "IE":
            entities.append(Entity(label, ((start, end),)))
        if prefix in "BS":
            start = position
        end, label = position + len(word), kind
        if prefix in "ES":
            entities.append(Entity(kind, ((start, end),)))
            label = ""
        ranges.append((position, end))
        position = end + 1
    if label:
        entities.append(Entity(label, ((start, end),)))
    return AnnotatedText(name, " ".join(words), tuple(sorted(entities)), tuple(ranges))


def write(path: Path, documents: Iterable[TaggedText]) -> None:
    """A line a word, word and tag separated by a tab, and a blank line after each document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        for text, words, tags in documents:
            for (start, end), tag in zip(words, tags, strict=True):
                file.write(f"{text[start:end].translate(LINE_ENDS)}\t{tag.translate(LINE_ENDS)}\n")
            file.write("\n")


def _check_columns(path: Path, found: list[list[Row]], layout: Layout, counted: bool) -> None:
    """Raise UserError where the column of words holds no words, or the column of tags has to be named."""
    where = f"{path}: line {found[0][0].line}"
    # in IO whatever is no blank may be a tag
    tags = [] if layout.scheme == "io" else conll_rows.columns_of_tags(found, layout.is_tag)
    several = counted and layout.label is None and len(tags) > 1
    if counted and layout.word == 1:
        wrong = "the first column counts 1, 2, 3, …: it numbers the words"
    elif layout.word == 1 and conll_rows.is_constant(found):
        wrong = "the first column is the same in every line, so it holds no words"
    elif several:
        wrong = "more than one column holds tags"
    else:
        return
    remedy = f"task.word_column={max(2, layout.word)} task.label_column={layout.label or (tags or [3])[0]}"
    kinds = f" (columns of tags here: {', '.join(map(str, tags))})" if tags else ""
    raise UserError(
        f"{where}: {wrong}; name the columns of words and of tags, counted from 1, such as {remedy}{kinds}"
    )


def _document(path: Path, sentence: Sequence[Row], layout: Layout, annotated: bool) -> AnnotatedText:
    places = [f"{path}: line {row.line}" for row in sentence]
    _check_rows(path, sentence, layout, annotated)
    words = [row.columns[layout.word - 1] for row in sentence]
    tags = [row.columns[(layout.label or 0) - 1] if annotated else "O" for row in sentence]
    name = f"{path.name.split('.')[0]}-line-{sentence[0].line}"
    return document(words, tags, name, places, layout.scheme)


def _check_rows(path: Path, sentence: Sequence[Row], layout: Layout, annotated: bool) -> None:
    """Raise UserError where a line lacks a word or a column that is needed."""
    needed = max(layout.word, layout.label or 2) if annotated else layout.word
    for line, columns in sentence:
        if len(columns) < needed or not columns[layout.word - 1]:
            raise UserError(
                f"{path}: line {line}: a word and its tag are needed, separated by a tab or a space"
                if needed <= 2
                else f"{path}: line {line}: {len(columns)} columns, and column {needed} is needed; "
                "task.word_column and task.label_column count from 1"
            )


def _parts(tag: str, place: str, scheme: str) -> tuple[str, str]:
    """Prefix and type: ("B", "DISO"), or ("O", "")."""
    match = TAGS[scheme].fullmatch(tag)
    if match is None:  # it may be a word of the text, so it is not quoted
        raise UserError(
            f"{place}: the column of tags, which is the last one unless task.label_column names another, holds no tag"
            f" of task.scheme={scheme}; tags are O, B-TYPE, I-TYPE, in BIOES also E-TYPE and S-TYPE, and plain types"
            " are read with task.scheme=io"
        )
    prefix, kind, *plain = match.groups()
    return ("I", plain[0]) if any(plain) else (prefix or "O", kind or "")

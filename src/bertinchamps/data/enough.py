"""Whether there is text for a block of each split: checked before a tokenizer is trained.

A word makes at least one token, so words are counted, because there are no tokens yet.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from bertinchamps.console import Tell
from bertinchamps.contract import Document, Source
from bertinchamps.data.cleaning.cleaner import Cleaner
from bertinchamps.data.held_out import held_out_rule, is_held_out, number_of
from bertinchamps.errors import UserError
from bertinchamps.schemas import PrepareConfig

LOOKED_AT = 100_000_000  # characters at most; an ordinary share finds its block within some ten thousand
READ_AHEAD = 32  # documents
NUMBERS_KEPT = 1 << 16
WORD = re.compile(r"\w\S*")
LENGTHS = (256, 128, 64, 32, 16, 8)  # tokens, proposed where the blocks asked for are too long


@dataclass
class _Looked:
    """Counts of the documents that were looked at.

    Attributes:
        length: words of a block.
        documents: number of documents.
        characters: of all documents.
        words: of all documents, with one more for the separator of each.
        of_number: number of a document → words of the document and its copies; of the smallest numbers only.
    """

    length: int
    documents: int = 0
    characters: int = 0
    words: int = 0
    of_number: dict[int, int] = field(default_factory=dict)

    def add(self, document: Document) -> int:
        """Count a document; returns its words."""
        words = len(WORD.findall(document.text)) + 1
        self.documents += 1
        self.characters += len(document.text)
        self.words += words
        number = number_of(document)
        self.of_number[number] = self.of_number.get(number, 0) + words
        if len(self.of_number) > NUMBERS_KEPT:
            self.of_number = {
                number: self.of_number[number] for number, _ in self._held_out_up_to(self.length)
            }
        return words

    def share(self, length: int) -> float | None:
        """The smallest share that holds out a block of so many words, if a block to train on remains; else None."""
        *_, (number, held_out) = self._held_out_up_to(length)
        enough = held_out >= length and self.words - held_out >= length
        return math.nextafter((number + 1) / 2**64, 1) if enough else None

    def _held_out_up_to(self, length: int) -> list[tuple[int, int]]:
        """The smallest numbers, each with the words up to it, until there are so many."""
        held_out, found = 0, list[tuple[int, int]]()
        for number in sorted(self.of_number):
            held_out += self.of_number[number]
            found.append((number, held_out))
            if held_out >= length:
                break
        return found


def with_enough(config: PrepareConfig, source: Source, tell: Tell) -> PrepareConfig:
    """The settings, with another held-out share where a small corpus needs one for a block of each split.

    Args:
        config: data, cleaning and blocks.
        source: checked.
        tell: reports another share.

    Raises:
        UserError: documents cannot be read, or there are too few for a block of each split.
    """
    length, share = config.blocks.sequence_length, config.blocks.held_out_share
    documents = _cleaned(source.documents(), config.cleaning)
    own = source.held_out()
    if own is not None:
        is_copy = held_out_rule(source, share)
        _check_beside(own, (document for document in documents if not is_copy(document)), length)
        return config
    looked, held_out = _Looked(length), 0
    for document in documents:
        words = looked.add(document)
        held_out += words if is_held_out(document, share) else 0
        if min(held_out, looked.words - held_out) >= length:
            return config
        if looked.characters > LOOKED_AT:
            break
    another = looked.share(length) if looked.documents else None
    if another is None:
        raise _too_little(looked)
    tell(
        f"held out: a share of {another:.2%} instead of {share:.2%}, which would leave a split without a block of "
        f"{length} tokens"
    )
    return replace(config, blocks=replace(config.blocks, held_out_share=another))


def _cleaned(documents: Iterator[Document], nodes: list[dict[str, Any]]) -> Iterator[Document]:
    """What the cleaning leaves of documents; few documents are read ahead."""
    cleaner = Cleaner(nodes)
    while some := list(itertools.islice(documents, READ_AHEAD)):
        yield from cleaner.clean(some)


def _check_beside(own: Iterable[Document], others: Iterable[Document], length: int) -> None:
    """Refuse held-out documents of the user's own, or others to train on, that are less than a block."""
    others_said = "the documents to train on, copies of held-out ones apart"
    looked = {}
    for what, documents in (("data.held_out_files", own), (others_said, others)):
        looked[what] = _Looked(length)
        for document in documents:
            looked[what].add(document)
            if looked[what].words >= length:
                break
    fewest = min(part.words for part in looked.values())
    ways = _ways_out("give more text", lambda shorter: fewest >= shorter, length)
    for what, part in looked.items():
        if part.words < length:
            raise UserError(f"{what}: {_said(part)}, less than a block of {length} tokens; {ways}")


def _too_little(looked: _Looked) -> UserError:
    if not looked.documents:
        return UserError(
            "there is no text to train on: the source has no document, or the cleaning leaves none"
        )
    ways = "give more text, or data.held_out_files"
    if len(looked.of_number) == 1 and looked.documents > 1:
        ways = "all of them have the same text; give more"
    elif len(looked.of_number) == 1:
        ways = "split it (data.txt_documents=line makes a document of each line of a .txt), or give data.held_out_files"
    ways = _ways_out(ways, lambda shorter: looked.share(shorter) is not None, looked.length)
    return UserError(
        f"the source gives {_said(looked)}, less than a block of {looked.length} tokens to train on and one, of other "
        f"documents, to evaluate on; {ways}"
    )


def _ways_out(ways: str, fits: Callable[[int], bool], length: int) -> str:
    """The ways out, behind shorter blocks if there are any that fit."""
    shorter = next((shorter for shorter in LENGTHS if shorter < length and fits(shorter)), None)
    return (
        ways if shorter is None else f"give blocks.sequence_length={shorter}, or {ways.removeprefix('give ')}"
    )


def _said(looked: _Looked) -> str:
    words = looked.words - looked.documents
    of_words = "1 word" if words == 1 else f"{words:,} words"
    if looked.documents == 1:
        return f"1 document of {of_words}"
    return f"{looked.documents:,} documents of {of_words} together"

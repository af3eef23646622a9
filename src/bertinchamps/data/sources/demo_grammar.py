"""The grammar of the toy corpus: templates with slots, scenes of templates, and portable dice.

A template such as `{drug.Le} {drug?soulage|soulagent} {pain.le}.` is cut once, at import, into pieces
that each know their slot. Writing a sentence looks every piece up, so the span of a slot (for the toy
of named entities, `tasks/demo.py`) is read off the same pieces: it is the tail `word[""]` of the
piece, and what stands before that tail is the article.

The notation of a piece, where NOUN and WORD are slots of the scene:
    {WORD}              the bare form                    {WORD.^}            … with a capital
    {NOUN.le}           with an article, see `noun`     {NOUN.Le}          … with a capital
    {ADJECTIVE@NOUN}    in the gender and number of the noun; a slot, or the adjective itself
    {NOUN?il mange|ils mangent}                 by number: singular|plural
    {NOUN?petit|petite|petits|petites}          by gender and number: ms|fs|mp|fp
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bertinchamps.data.sources.demo_words import AGREEMENTS, Row, Word, adjective

Bindings = dict[str, Word]  # slot → the word that a document has there

PRONOUNS = ("il", "Il")  # the forms of a noun that do not hold the noun


class Dice:
    """Random choices that are the same in every process and Python version.

    Only `Random.random` is promised to stay the same for a seed, so everything is drawn from it.
    """

    def __init__(self, seed: str) -> None:
        self.roll = random.Random(seed).random

    def pick(self, things: Sequence[Word]) -> Word:
        """One of the words."""
        return things[int(self.roll() * len(things))]

    def index(self, count: int) -> int:
        """An index below count."""
        return int(self.roll() * count)


class Piece(NamedTuple):
    """Literal text, then one slot. An empty slot ends a template."""

    literal: str
    slot: str
    form: str
    agrees_with: str
    alternatives: Word | None


class Span(NamedTuple):
    """Where the word of a slot lies in a text, without its article; half-open."""

    slot: str
    start: int
    end: int


class Template(NamedTuple):
    """One sentence or clause with slots."""

    pieces: tuple[Piece, ...]

    def write(self, bindings: Bindings) -> str:
        """The sentence, its slots filled."""
        return self.write_with_spans(bindings)[0]

    def write_with_spans(self, bindings: Bindings) -> tuple[str, list[Span]]:
        """The sentence, and where the words of its slots lie, in order; pronouns and agreeing words have no span."""
        text, spans = "", []
        for literal, slot, form, agrees_with, alternatives in self.pieces:
            text += literal
            if alternatives is not None:
                text += alternatives[bindings[agrees_with]["agreement"]]
            elif agrees_with:
                text += bindings[slot][bindings[agrees_with]["agreement"]]
            elif slot:
                text += bindings[slot][form]
                if form not in PRONOUNS:
                    spans.append(Span(slot, len(text) - len(bindings[slot][""]), len(text)))
        return text, spans


class Step(NamedTuple):
    """One place in the discourse: one of these templates, or with `optional` sometimes none."""

    templates: tuple[Template, ...]
    optional: bool


class Scene(NamedTuple):
    """A kind of document: what is drawn once for all of it, then its steps in order."""

    name: str
    tables: tuple[tuple[Row, ...], ...]
    pools: tuple[tuple[tuple[str, ...], tuple[Word, ...]], ...]
    steps: tuple[Step, ...]

    def bind(self, dice: Dice) -> Bindings:
        """Words for every slot: one row of each table, distinct words of each pool."""
        bindings: Bindings = {}
        for table in self.tables:
            for slot, words in table[dice.index(len(table))].items():
                bindings[slot] = dice.pick(words)
        for slots, pool in self.pools:
            at, reach = dice.index(len(pool)), len(pool) // len(slots)
            for slot in slots:  # the steps add up to less than one turn, so no word comes twice
                bindings[slot] = pool[at % len(pool)]
                at += 1 + dice.index(reach)
        return bindings

    def write(self, dice: Dice) -> str:
        """One document."""
        return self.write_with_spans(dice)[0]

    def write_with_spans(self, dice: Dice) -> tuple[str, list[Span]]:
        """The same document, and where the words of its slots lie, in order."""
        bindings = self.bind(dice)
        text, spans = "", []
        for templates, optional in self.steps:
            if not optional or dice.roll() < 0.6:
                sentence, places = templates[dice.index(len(templates))].write_with_spans(bindings)
                text += " " if text else ""
                spans += [Span(slot, len(text) + start, len(text) + end) for slot, start, end in places]
                text += sentence
        return text, spans


def template(text: str, slots: Iterable[str]) -> Template:
    """Cut a template into pieces.

    Raises:
        ValueError: it names a slot that the scene does not have, or alternatives that are not 2 or 4.
    """
    known, pieces, end = list(slots), [], 0
    for match in re.finditer(r"\{([^}]*)\}", text):
        inside, literal = match[1], text[end : match.start()]
        end = match.end()
        slot, mark, rest = [*re.split(r"([.@?])", inside, maxsplit=1), "", ""][:3]
        agrees_with, alternatives = (rest if mark == "@" else ""), None
        if mark == "?":
            choices = rest.split("|")
            if len(choices) not in (2, 4):
                raise ValueError(f"{inside}: give 2 or 4 alternatives")
            by_agreement = choices if len(choices) == 4 else [choices[0], choices[0], choices[1], choices[1]]
            agrees_with, alternatives = slot, dict(zip(AGREEMENTS, by_agreement, strict=True))
        if mark == "@" and slot not in known:
            alternatives = adjective(slot)
        if (alternatives is None and slot not in known) or (agrees_with and agrees_with not in known):
            raise ValueError(f"{inside}: the scene has no such slot")
        pieces.append(Piece(literal, slot, rest if mark == "." else "", agrees_with, alternatives))
    return Template((*pieces, Piece(text[end:], "", "", "", None)))


def scene(
    name: str, tables: Sequence[tuple[Row, ...]], pools: Mapping[str, tuple[Word, ...]], text: str
) -> Scene:
    """A scene; in the text a line is a step, `||` separates templates, a leading `?` makes it optional.

    Args:
        name: for messages and tests.
        tables: one row of each is drawn for a document.
        pools: "slot" or "slot slot2" → words, drawn without repetition.
        text: the steps.

    Raises:
        ValueError: a template is malformed.
    """
    named = tuple((tuple(slots.split()), pool) for slots, pool in pools.items())
    known = [slot for rows in tables for slot in rows[0]] + [slot for slots, _ in named for slot in slots]
    steps = []
    for line in (line.strip() for line in text.strip().splitlines()):
        alternatives = line.removeprefix("?").split("||")
        steps.append(Step(tuple(template(one.strip(), known) for one in alternatives), line.startswith("?")))
    return Scene(name, tuple(tables), named, tuple(steps))
